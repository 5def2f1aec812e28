"""Shipments made by hand, so that a test can make a hostile one: every part may be replaced before it is signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.carry import signing
from core.carry.opened_shipment import CHECKSUMS
from core.carry.shipment import INDEX, MANIFEST, SHIPMENTS, SIGNATURE, blob_path
from core.files import sha256_bytes
from core.site import Site

NAME = "small"
LOCK: dict[str, Any] = {
    "version": 1,
    "preset": NAME,
    "preset_sha256": "0" * 64,
    "python_version": "3.11",
    "base_image": {"reference": "debian:test", "tag": "xaiva-base/debian:test", "config_digest": "sha256:0"},
}


@dataclass
class HandMade:
    """A shipment before it is written. `write` gives it to a medium; what a test changes stays as it is."""

    office: Site
    files: dict[str, bytes] = field(default_factory=dict)
    """Path below the site → content."""
    shipment: str = "20261101-120000-0a1b2c"
    created: str = "2026-11-01T12:00:00Z"
    index: dict[str, Any] = field(default_factory=dict)
    """Keys that replace those of the index."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Keys that replace those of the manifest."""
    extra_blobs: list[bytes] = field(default_factory=list)
    left_out: list[bytes] = field(default_factory=list)
    """Contents that are not stored as one blob."""

    def write(self, medium: Path) -> Path:
        """Write blobs, documents, signature and top folder; returns the medium."""
        contents = {sha256_bytes(data): data for data in self.files.values()}
        stored = [data for data in contents.values() if data not in self.left_out] + self.extra_blobs
        for data in stored:
            write(medium / blob_path(sha256_bytes(data)), data)
        index = {
            "contents": [{"sha256": sha256, "size": len(data)} for sha256, data in sorted(contents.items())],
            "files": [_entry(path, data) for path, data in self.files.items()],
        }
        index_text = _json({**index, **self.index})
        root = {"START-HERE.txt": b"start here\n", "xaiva": b"#!/bin/sh\n"}
        manifest = {
            "format": 1,
            "shipment": self.shipment,
            "created": self.created,
            "office": "tests@office",
            "xaiva": "0.1.0",
            "documents": {INDEX: _blob(index_text)},
            "root": {name: _blob(data) for name, data in root.items()},
        }
        text = _json({**manifest, **self.manifest})
        signature = signing.sign(self.office, text)
        folder = f"{SHIPMENTS}/{self.shipment}"
        documents = {INDEX: index_text, MANIFEST: text, SIGNATURE: signature}
        sums = {f"{folder}/{name}": data for name, data in documents.items()} | root
        hashes = {path: sha256_bytes(data) for path, data in sums.items()}
        hashes |= {blob_path(sha256_bytes(data)): sha256_bytes(data) for data in stored}
        listing = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(hashes.items()))
        for path, data in {**sums, CHECKSUMS: listing.encode()}.items():
            write(medium / path, data)
        return medium


def small_files(**wheels: bytes) -> dict[str, bytes]:
    """A preset with its lock and these wheels, as a site has them."""
    folder = f"artifacts/{NAME}"
    locked = []
    for name, data in wheels.items():
        path = f"layers/common/wheels/{name}-1.0-py3-none-any.whl"
        entry = {"path": path, "size": len(data), "sha256": sha256_bytes(data), "kind": "wheel", "url": "file:x"}
        locked.append({**entry, "name": name, "version": "1.0"})
    files = {f"{folder}/{file['path']}": wheels[file["name"]] for file in locked}
    preset = {"base_image": "debian:test", "python_version": "3.11", "inference_service": False}
    return {
        **files,
        f"{folder}/lock.json": _json({**LOCK, "files": locked}),
        f"presets/{NAME}.json": _json(preset),
    }


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def tree(folder: Path) -> Mapping[str, bytes]:
    """Every file of a site below the folders that a shipment writes to, without those on their way."""
    tops = ("presets", "artifacts", "docker")
    paths = (
        path for top in tops for path in (folder / top).rglob("*") if path.is_file() and ".incoming" not in path.parts
    )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def _entry(path: str, data: bytes) -> dict[str, str]:
    kind = {"presets": "preset", "artifacts": "artifact"}.get(path.split("/")[0], "site")
    preset = path.split("/")[1] if kind == "artifact" else ""
    return {"path": path, "kind": kind, "sha256": sha256_bytes(data), "preset": preset}


def _blob(data: bytes) -> dict[str, Any]:
    return {"sha256": sha256_bytes(data), "size": len(data)}


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode()
