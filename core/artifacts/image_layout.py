"""The documents that describe an image's blobs: its OCI manifest, and what docker and OCI readers find it by.

They depend on the blobs alone, so the same image always has the same manifest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from core.files import sha256_bytes

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MAGIC_BYTES = 4  # of a layer, which tell how it is compressed
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class LayoutBlob:
    """A configuration or a layer."""

    sha256: str
    size: int
    magic: bytes = b""
    """The first bytes of a layer."""

    @property
    def layer_type(self) -> str:
        """Its media type as a layer."""
        if self.magic.startswith(GZIP_MAGIC):
            return f"{_LAYER_TYPE}+gzip"
        return f"{_LAYER_TYPE}+zstd" if self.magic.startswith(ZSTD_MAGIC) else _LAYER_TYPE


def oci_manifest(config: LayoutBlob, layers: Sequence[LayoutBlob]) -> bytes:
    """The manifest of one platform's image: it names nothing that is not there."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [_descriptor(layer.layer_type, layer) for layer in layers],
    }
    return json.dumps(manifest, indent=1).encode()


def layout_documents(
    tag: str, config: str, layers: Sequence[str], manifest: bytes, platform: str = "linux/amd64"
) -> dict[str, bytes]:
    """Name → content of `index.json` and `oci-layout` (OCI) and `manifest.json` (docker load), in that tag's name."""
    system, _, architecture = platform.partition("/")
    architecture, _, variant = architecture.partition("/")
    reference = {
        "mediaType": OCI_MANIFEST,
        "digest": f"sha256:{sha256_bytes(manifest)}",
        "size": len(manifest),
        "annotations": {
            "io.containerd.image.name": _full_name(tag),
            "org.opencontainers.image.ref.name": tag.rpartition(":")[2],
        },
        "platform": {"architecture": architecture, "os": system, **({"variant": variant} if variant else {})},
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [reference]}
    paths = [f"blobs/sha256/{layer}" for layer in layers]
    listing = [{"Config": f"blobs/sha256/{config}", "RepoTags": [tag], "Layers": paths}]
    return {
        "index.json": (json.dumps(index, indent=1) + "\n").encode(),
        "manifest.json": (json.dumps(listing) + "\n").encode(),
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}\n',
    }


def _descriptor(media_type: str, blob: LayoutBlob) -> dict[str, str | int]:
    return {"mediaType": media_type, "digest": f"sha256:{blob.sha256}", "size": blob.size}


def _full_name(tag: str) -> str:
    """The tag with the registry and the folder that docker leaves out."""
    first, slash, _ = tag.partition("/")
    if not slash:
        return f"docker.io/library/{tag}"
    return tag if "." in first or ":" in first or first == "localhost" else f"docker.io/{tag}"
