"""Prepares a pack: what goes on, checked here, before anything is written to the medium."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from core import labels
from core.artifacts.service_wheel import version
from core.carry import bill_of_materials
from core.carry.console_files import (
    LAUNCHER,
    START_HERE,
    ConsoleFile,
    console_files,
    console_list_text,
    launcher_text,
    start_here_text,
)
from core.carry.contents import Contents, Source, gather
from core.carry.pack_plan import PackPlan, PlanCounter, count_contents
from core.carry.secret_scan import check_own_files
from core.carry.shipment import CONSOLE_LIST, Content
from core.carry.target import Target
from core.engine import connect_engine
from core.engine_image import inspect_image
from core.errors import InputError
from core.operations.ledger import current_user
from core.site import Site
from core.site_report.difference import blobs_at_site
from core.site_report.files import read_report

_CLUSTER_BYTES = 128 << 10  # of a large exFAT or FAT32 medium, which gives each file whole clusters


@dataclass
class Preparation:
    """What a pack puts on the medium, before its documents."""

    presets: list[str]
    contents: Contents
    console: list[ConsoleFile]
    images: dict[str, int] = field(default_factory=dict)
    """Tag → size in bytes, as the engine states it."""
    at_site: set[str] = field(default_factory=set)
    """Contents that the site has by its report."""

    def sources(self) -> dict[str, Source]:
        """SHA-256 → where the bytes come from."""
        return {**self.contents.sources, **{file.sha256: _console_source(file) for file in self.console}}

    @property
    def office(self) -> str:
        """Who packs, and where."""
        return f"{current_user()}@{socket.gethostname()}"

    def documents(self, site: Site) -> dict[str, bytes]:
        """The documents beside the index: name → text."""
        materials = bill_of_materials.documents(site, self.presets, self.console)
        return {CONSOLE_LIST: console_list_text(self.console), **materials}

    def root(self, shipment: str, created: datetime) -> dict[str, bytes]:
        """The files of the medium's top folder: name → text."""
        text = start_here_text(shipment=shipment, created=created, office=self.office, version=version())
        return {LAUNCHER: launcher_text(), START_HERE: text}

    def plan(self, target: Target, names: Mapping[str, int], in_parts: Mapping[str, Content]) -> PackPlan:
        """The numbers, for a target that holds `names`, and in parts the contents `in_parts`."""
        counter = PlanCounter(names, in_parts, self.at_site, _CLUSTER_BYTES)
        count_contents(counter, self.contents)
        counter.add("xaiva itself", [_console_source(file).content for file in self.console])
        if self.images:
            counter.add_estimate("images", len(self.images), sum(self.images.values()))
        return counter.plan(target)


def prepare(site: Site, options: Mapping[str, Any]) -> Preparation:
    """Gather and check what the options name. Raises XaivaError; nothing was written then."""
    presets = [str(name) for name in options.get("presets") or []]
    if not presets:
        raise InputError("Pack", "no preset is named", "name one or several: xaiva pack MEDIUM --preset NAME")
    contents = gather(site, presets)
    check_own_files(contents)
    preparation = Preparation(list(dict.fromkeys(presets)), contents, console_files(site))
    if options.get("images"):
        preparation.images = _image_sizes(site, preparation.presets)
    if report := options.get("report"):
        preparation.at_site = blobs_at_site(read_report(Path(str(report))))
    return preparation


def _image_sizes(site: Site, presets: Iterable[str]) -> dict[str, int]:
    client = connect_engine(site)
    try:
        sizes = {}
        for name in presets:
            tag = labels.image_tag(name)
            description = inspect_image(client, tag)
            if description is None:
                raise InputError(f"Image {tag}", "the engine does not have it", f"build it: xaiva build {name}")
            sizes[tag] = int(description.get("Size") or 0)
        return sizes
    finally:
        client.close()


def _console_source(file: ConsoleFile) -> Source:
    return Source(Content(sha256=file.sha256, size=file.size), file.path, file.open)
