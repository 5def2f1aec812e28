"""Images made of random layers, as blobs in a folder: no engine is needed to make one."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

from core.artifacts.image_layout import LayoutBlob, oci_manifest
from core.files import sha256_bytes
from core.images.image_blobs import DeliveredImage


class Layout:
    """A folder of blobs; `image` adds an image to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def image(self, tag: str, layers: Sequence[tuple[str, int]]) -> DeliveredImage:
        """An image of these layers: a name, which decides the content, and the size of its one file."""
        digests = [self._write(_layer(name, size)) for name, size in layers]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/none"], "Labels": {"made.for": tag}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
            "history": [{"created_by": name} for name, _ in layers],
        }
        config_digest = self._write(json.dumps(config).encode())
        manifest = oci_manifest(self._blob(config_digest), [self._blob(digest) for digest in digests])
        return DeliveredImage(tag, config_digest, self._write(manifest), tuple(digests))

    def compressed(self, image: DeliveredImage, tag: str) -> DeliveredImage:
        """The same image with its layers compressed."""
        layers = [self._write(gzip.compress((self.folder / layer).read_bytes(), 1, mtime=0)) for layer in image.layers]
        manifest = oci_manifest(self._blob(image.config), [self._blob(layer) for layer in layers])
        return DeliveredImage(tag, image.config, self._write(manifest), tuple(layers))

    def flip_byte(self, sha256: str, offset: int) -> None:
        """Damage a blob."""
        with open(self.folder / sha256, "r+b") as file:
            file.seek(offset)
            value = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([value ^ 1]))

    def _write(self, content: bytes) -> str:
        digest = sha256_bytes(content)
        (self.folder / digest).write_bytes(content)
        return digest

    def _blob(self, sha256: str) -> LayoutBlob:
        content = (self.folder / sha256).read_bytes()
        return LayoutBlob(sha256, len(content), content[:4])


def _layer(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(f"layers/{name}")
    entry.size = size
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(entry, io.BytesIO(random.Random(name).randbytes(size)))
    return buffer.getvalue()
