"""Checks a medium without taking anything from it: the chain of trust, then every byte of every blob."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from core.carry.medium import Medium
from core.carry.opened_shipment import open_shipment
from core.carry.shipment import blob_path
from core.errors import ChecksFailed
from core.progress import OUTCOME, ByteCounter, Progress, stage
from core.site import Site

FROM_MEDIUM = "from the medium"
"""How an outcome says that every byte came from the medium, and not from this machine's memory."""
_MOST_NAMED = 5


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Check the medium mounted at `subject`. Option `trust`: the fingerprint of a key, compared with paper.

    The outcome: `shipment`, `signer`, `created`, `files`, `bytes`, `read_back` and `findings`. Raises ChecksFailed
    naming the damaged files, XaivaError for the first fault of signature, manifest and names; Cancelled.
    """
    with stage(progress, "signature", "check signature, manifest and names"):
        shipment = open_shipment(site, Path(subject), trusted=str(options.get("trust") or ""), allow_older=True)
    blobs = shipment.index.needed_blobs()
    with (
        Medium(Path(subject)) as medium,
        ByteCounter(progress, "read", "read every byte", sum(blobs.values())) as counter,
    ):
        paths = {blob_path(sha256): (sha256, size) for sha256, size in blobs.items()}
        result = medium.check(paths, counter.add, progress.cancelled)
    for path, problem in sorted(result.problems.items()):
        progress.log(f"error: {path}: {problem}", OUTCOME)
    if result.problems:
        named = [f"{path}: {problem}" for path, problem in sorted(result.problems.items())]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        why = "; ".join(named[:_MOST_NAMED]) + more
        raise ChecksFailed(f"Shipment {shipment.manifest.shipment} on {subject}", why, "pack it again: that repairs it")
    return {
        "shipment": shipment.manifest.shipment,
        "created": shipment.manifest.created.isoformat(),
        "office": shipment.manifest.office,
        "signer": shipment.signer,
        "presets": list(shipment.manifest.presets),
        "files": len(shipment.index.files),
        "bytes": sum(blobs.values()),
        "read_back": FROM_MEDIUM if result.from_medium else f"perhaps from memory: {result.why_not}",
        "findings": [finding.model_dump(mode="json") for finding in shipment.findings],
    }
