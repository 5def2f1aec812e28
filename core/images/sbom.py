"""The bill of materials (CycloneDX). It has no time and no host name, so that equal locks give equal bytes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from core.artifacts.lock_store import lock_sha256
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage

SPECIFICATION = "1.5"  # https://cyclonedx.org/docs/1.5/json/
SBOM_PATH = "/usr/share/xaiva/sbom.json"
SBOM_LABEL = "org.xaiva.sbom"  # the image's label with the path of the bill of materials
Component = dict[str, Any]  # as CycloneDX has it
_TYPES = {
    FileKind.WHEEL: "library",
    FileKind.DEB: "library",
    FileKind.SOURCE: "library",
    FileKind.MODEL: "machine-learning-model",
}


def render_sbom(lock: Lock) -> str:
    """The bill of materials as JSON text: wheels, debs, sources, models and the base images with their hashes."""
    identity = lock_sha256(lock)
    subject = {"type": "container", "name": lock.preset, "version": identity[:12]}
    return sbom_text(identity, subject, lock_components(lock))


def sbom_text(identity: str, subject: Component, components: Sequence[Component], **more: Any) -> str:
    """The text of a bill of materials of `subject`; its serial number follows from `identity`."""
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identity)}",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
        **more,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def lock_components(lock: Lock) -> list[Component]:
    """The base images and files of a lock as components; `bom-ref` is a tag or a path in the artifacts folder."""
    components = [_component(lock, file) for file in lock.files if file.kind in _TYPES]
    bases = [image for image in (lock.base_image, lock.runtime_base_image) if image is not None]
    return [*map(_base_image, bases), *sorted(components, key=lambda part: str(part["bom-ref"]))]


def sha256_hashes(sha256: str) -> list[dict[str, str]]:
    """The `hashes` of a component."""
    return [{"alg": "SHA-256", "content": sha256}]


def wheel_purl(name: str, version: str) -> str:
    """The package URL of a wheel; `version` may be empty."""
    return f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='')}{_purl_version(version)}"


def generic_purl(name: str, version: str, sha256: str) -> str:
    """The package URL of a file that belongs to no package system; `version` may be empty."""
    return f"pkg:generic/{quote(name, safe='')}{_purl_version(version)}?checksum=sha256:{sha256}"


def _component(lock: Lock, file: LockedFile) -> Component:
    name = file.name or file.path.rpartition("/")[2]
    component: Component = {"type": _TYPES[file.kind], "bom-ref": file.path, "name": name}
    if file.version:
        component["version"] = file.version
    component["hashes"] = sha256_hashes(file.sha256)
    component["purl"] = _purl(lock, file, name)
    return component


def _purl(lock: Lock, file: LockedFile, name: str) -> str:
    if file.kind is FileKind.WHEEL:
        return wheel_purl(name, file.version)
    if file.kind is FileKind.DEB:
        system = "ubuntu" if "ubuntu" in lock.base_image.os_release.lower() else "debian"
        return f"pkg:deb/{system}/{quote(name, safe='')}{_purl_version(file.version)}"
    return generic_purl(name, file.version, file.sha256)


def _purl_version(version: str) -> str:
    return f"@{quote(version, safe='')}" if version else ""


def _base_image(image: LockedImage) -> Component:
    digest = (image.manifest_digest or image.config_digest).removeprefix("sha256:")
    return {
        "type": "container",
        "bom-ref": image.tag,
        "name": image.reference,
        "hashes": sha256_hashes(digest),
    }
