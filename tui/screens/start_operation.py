"""Asks before long work starts, because one letter is easily typed by accident, and shows what it would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from core.errors import XaivaError
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters import carry, previews
from tui.formatters.cells import Span, line
from tui.screens.form import Form
from tui.widgets.panel import Formatter

Preview = Callable[[Site, str, Mapping[str, Any]], Formatter]  # blocks; raises XaivaError when the work cannot start


class StartDialog(Form[bool]):
    """Returns True at Enter, None when the dialog was cancelled. Enter does not wait for the preview."""

    WIDE = True

    def __init__(self, title: str, site: Site, verb: str, preview: Callable[[], Formatter]) -> None:
        super().__init__(title, site)
        self.VERB = verb  # type: ignore[misc]
        self._preview = preview

    def on_mount(self) -> None:
        """Load the preview in a thread."""
        self.query_one("#submit").focus()
        self.query_one(".dialog").border_subtitle = "Enter starts · Esc cancels"
        self.show_message(lambda _: [line(Span("loading the preview…", "dim"))])
        console_of(self).background(self._preview, self._show_preview, self._show_obstacle)

    def _show_preview(self, formatter: Formatter) -> None:
        if self.is_attached:
            self.show_message(formatter)

    def _show_obstacle(self, error: XaivaError) -> None:
        if self.is_attached:
            self.show_error(error)

    def submit(self) -> None:
        self.dismiss(True)


def _lock_preview(site: Site, name: str, options: Mapping[str, Any]) -> Formatter:
    from core.artifacts.lock_store import find_lock
    from core.presets.store import load_named

    return partial(previews.lock_preview, load_named(site, name), find_lock(site, name), bool(options.get("upgrade")))


def _sync_preview(site: Site, name: str, _options: Mapping[str, Any]) -> Formatter:
    from core.artifacts.sync_plan import plan

    return partial(previews.sync_preview, plan(site, name))


def _verify_preview(site: Site, name: str, _options: Mapping[str, Any]) -> Formatter:
    from core.artifacts.lock_store import read_lock

    return partial(previews.verify_preview, read_lock(site, name))


def _build_preview(site: Site, name: str, options: Mapping[str, Any]) -> Formatter:
    from core.images.build_checks import preview_stages

    return partial(previews.build_preview, preview_stages(site, name, str(options.get("target") or "runtime")))


def _up_preview(site: Site, name: str, options: Mapping[str, Any]) -> Formatter:
    from core.up.plan import UpRequest, plan_up

    return partial(previews.up_preview, plan_up(UpRequest(site, name, **options)))


def _stack_preview(site: Site, name: str, options: Mapping[str, Any]) -> Formatter:
    """The plan of `up`, for `services` alone if there are any."""
    from core.stacks.run import read_plan
    from tui.formatters.stack_details import plan_preview

    return partial(plan_preview, read_plan(site, name, options["services"])[1])


def _pack_preview(site: Site, medium: str, options: Mapping[str, Any]) -> Formatter:
    from core.carry.pack import plan_pack

    return partial(carry.pack_preview, plan_pack(site, medium, options))


def _unpack_preview(site: Site, medium: str, options: Mapping[str, Any]) -> Formatter:
    """With a fingerprint in `trust`, that key is trusted from now on."""
    from core.carry.opened_shipment import open_shipment
    from core.carry.unpack_plan import plan_unpack
    from core.disk_space import check_space, free_bytes

    older, trusted = bool(options.get("allow_older")), str(options.get("trust") or "")
    shipment = open_shipment(site, Path(medium), trusted=trusted, allow_older=older)
    plan = plan_unpack(site, shipment, lambda: False)
    check_space({site.artifacts: plan.needed_bytes}, f"shipment {shipment.manifest.shipment}")
    return partial(carry.unpack_preview, plan, shipment.manifest.shipment, free_bytes(site.artifacts))


def _check_preview(site: Site, medium: str, options: Mapping[str, Any]) -> Formatter:
    """With a fingerprint in `trust`, that key is trusted from now on."""
    from core.carry.opened_shipment import open_shipment

    shipment = open_shipment(site, Path(medium), trusted=str(options.get("trust") or ""), allow_older=True)
    blobs = shipment.index.needed_blobs()
    return partial(carry.check_preview, shipment.manifest.shipment, len(blobs), sum(blobs.values()))


PREVIEWS: dict[str, Preview] = {
    "lock": _lock_preview,
    "sync": _sync_preview,
    "verify": _verify_preview,
    "build": _build_preview,
    "up": _up_preview,
    "stack": _stack_preview,
    "pack": _pack_preview,
    "unpack": _unpack_preview,
    "check": _check_preview,
}
