"""A preset with one layer, whose requirement file a test writes."""

from __future__ import annotations

import json

from core.artifacts.lock_check import check_preset
from core.findings import Finding
from core.presets.layer_file import LayerFile, read_layer_file
from core.presets.store import load_named
from core.site import Site

NAME = "site"
FILE = "layers/model.txt"


def preset_text(**fields: object) -> str:
    layers = [{"name": "model", "file": FILE}]
    return json.dumps({"base_image": "ubuntu:22.04", "python_version": "3.10", "layers": layers, **fields})


def write(site: Site, body: str | bytes, name: str = FILE) -> None:
    path = site.presets / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body if isinstance(body, bytes) else body.encode())


def read(site: Site, body: str | bytes) -> LayerFile:
    write(site, body)
    return read_layer_file(site.presets, FILE)


def findings(site: Site, **fields: object) -> list[Finding]:
    """What the check says of the layer's file."""
    (site.presets / f"{NAME}.json").write_text(preset_text(**fields))
    everything = check_preset(site, NAME, load_named(site, NAME))
    return [finding for finding in everything if finding.code.startswith("layer-") or finding.code == "index-missing"]
