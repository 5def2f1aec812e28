"""What lies on a medium: its shipments in words, each with who signed it. Reads no blob."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.carry.medium_info import describe_medium
from core.carry.opened_shipment import read_index, shipment_ids, verify_signed
from core.carry.shipment import SHIPMENTS, SIGNATURE
from core.errors import XaivaError
from core.findings import Finding
from core.site import Site

PACKING_UNFINISHED = "its packing did not finish"
"""The state of a shipment whose packing was interrupted."""


class ShipmentSummary(BaseModel):
    """One shipment. What could not be trusted has only its id and its state."""

    model_config = ConfigDict(frozen=True)

    id: str
    state: str
    """`signed by a trusted key`, PACKING_UNFINISHED, or why it cannot be used."""
    created: float = 0
    """When it was packed, by the office's clock: a Unix time in seconds; 0 when that cannot be trusted."""
    office: str = ""
    presets: list[str] = []
    images: list[str] = []
    files: int = 0
    bytes: int = 0
    """Of its contents, each once."""
    signer: str = ""
    """The fingerprint of the trusted key; empty for a shipment that cannot be used."""


class MediumContents(BaseModel):
    """A medium and its shipments, the newest first."""

    model_config = ConfigDict(frozen=True)

    medium: str
    """One line, with its file system, where it is mounted, and its device."""
    file_system: str
    free_bytes: int | None
    """None, as in `total_bytes`, when its file system does not say."""
    total_bytes: int | None
    shipments: list[ShipmentSummary]
    findings: list[Finding] = []
    """About the medium itself: that nothing is mounted there."""


def describe_shipments(site: Site, medium: Path) -> MediumContents:
    """Look at every shipment. Raises XaivaError when the medium itself cannot be read."""
    info = describe_medium(medium)
    shipments = [_summary(site, medium, shipment) for shipment in reversed(shipment_ids(medium))]
    return MediumContents(
        medium=info.summary,
        file_system=info.file_system,
        free_bytes=info.free,
        total_bytes=info.total,
        shipments=shipments,
        findings=list(info.findings),
    )


def _summary(site: Site, medium: Path, shipment: str) -> ShipmentSummary:
    folder = medium / SHIPMENTS / shipment
    if not os.path.lexists(folder / SIGNATURE):
        return ShipmentSummary(id=shipment, state=PACKING_UNFINISHED)
    try:
        verified = verify_signed(site, folder, allow_older=True)
        index = read_index(medium, verified.manifest)
    except XaivaError as error:
        return ShipmentSummary(id=shipment, state=f"cannot be used: {error.summary}")
    manifest = verified.manifest
    return ShipmentSummary(
        id=shipment,
        state="signed by a trusted key",
        created=manifest.created.timestamp(),
        office=manifest.office,
        presets=manifest.presets,
        images=[image.tag for image in index.images],
        files=len(index.files),
        bytes=sum(content.size for content in index.contents),
        signer=verified.signer.fingerprint,
    )
