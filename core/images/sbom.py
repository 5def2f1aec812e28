"""The bill of materials (CycloneDX). It depends only on the lock, so that equal locks give equal bytes."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from core.artifacts.lock_store import lock_sha256
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage

SPECIFICATION = "1.5"  # https://cyclonedx.org/docs/1.5/json/
SBOM_PATH = "/usr/share/xaiva/sbom.json"
SBOM_LABEL = "org.xaiva.sbom"  # the image's label with the path of the bill of materials
_TYPES = {
    FileKind.WHEEL: "library",
    FileKind.DEB: "library",
    FileKind.SOURCE: "library",
    FileKind.MODEL: "machine-learning-model",
}


def render_sbom(lock: Lock) -> str:
    """The bill of materials as JSON text: wheels, debs, sources, models and the base images with their hashes."""
    components = [_component(lock, file) for file in lock.files if file.kind in _TYPES]
    bases = [image for image in (lock.base_image, lock.runtime_base_image) if image is not None]
    identity = lock_sha256(lock)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identity)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": lock.preset, "version": identity[:12]}},
        "components": [*map(_base_image, bases), *sorted(components, key=lambda part: str(part["bom-ref"]))],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _component(lock: Lock, file: LockedFile) -> dict[str, Any]:
    name = file.name or file.path.rpartition("/")[2]
    component: dict[str, Any] = {"type": _TYPES[file.kind], "bom-ref": file.path, "name": name}
    if file.version:
        component["version"] = file.version
    component["hashes"] = [{"alg": "SHA-256", "content": file.sha256}]
    if purl := _purl(lock, file, name):
        component["purl"] = purl
    return component


def _purl(lock: Lock, file: LockedFile, name: str) -> str:
    version = f"@{quote(file.version, safe='')}" if file.version else ""
    if file.kind is FileKind.WHEEL:
        return f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='')}{version}"
    if file.kind is FileKind.DEB:
        system = "ubuntu" if "ubuntu" in lock.base_image.os_release.lower() else "debian"
        return f"pkg:deb/{system}/{quote(name, safe='')}{version}"
    return f"pkg:generic/{quote(name, safe='')}{version}?checksum=sha256:{file.sha256}"


def _base_image(image: LockedImage) -> dict[str, Any]:
    digest = (image.manifest_digest or image.config_digest).removeprefix("sha256:")
    return {
        "type": "container",
        "bom-ref": image.tag,
        "name": image.reference,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
