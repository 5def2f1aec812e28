"""Whether a medium may be pulled out now, by what was done with it here and what lies on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.carry.medium_check import FROM_MEDIUM
from core.carry.medium_contents import MediumContents
from core.findings import Level, read_finding
from core.open_enum import OpenEnum
from core.operations.model import Operation, OperationState

KINDS = ("pack", "unpack", "check")
"""The operations that work on a medium."""


class RemovalState(OpenEnum):
    """UNKNOWN: nothing was done with this medium here, or it does not answer. It never means that it is safe."""

    SAFE = "safe to remove"
    BUSY = "do not remove"
    UNPROVEN = "not proven"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Removal:
    """The state, why it is so, and what to do about it."""

    state: RemovalState
    why: str = ""
    remedy: str = ""


def operations_on(medium: str, operations: Sequence[Operation]) -> list[Operation]:
    """The operations on a medium or a folder of it, in their order."""
    folder = medium.rstrip("/") + "/"
    return [
        operation
        for operation in operations
        if operation.kind in KINDS and (operation.subject == medium or operation.subject.startswith(folder))
    ]


def judge_removal(operations: Sequence[Operation], contents: MediumContents | None) -> Removal:
    """Judge a medium by the operations on it, the newest first. `contents` is None for one that nobody could read.

    Another medium at the same place gets no credit for what was written to the one before.
    """
    live = next((operation for operation in operations if operation.state.live), None)
    if live is not None:
        return Removal(RemovalState.BUSY, f"{live.kind}, operation {live.id}, is using it")
    if not operations:
        return Removal(RemovalState.UNKNOWN, "nothing was done with it here")
    newest = operations[0]
    if newest.state is not OperationState.DONE:
        if newest.kind == "check" and newest.failure is not None:
            return Removal(RemovalState.UNPROVEN, newest.failure.headline, newest.failure.remedy)
        if newest.kind != "pack":
            return judge_removal(operations[1:], contents)
        why = f"{newest.title()}, operation {newest.id}, did not finish; what was complete on it before stays"
        return Removal(RemovalState.UNPROVEN, why, "pack again: it goes on where it stopped")
    result = newest.result or {}
    shipment = str(result.get("shipment") or "")
    if "://" not in newest.subject:
        if contents is None:
            return Removal(RemovalState.UNKNOWN, "the medium cannot be read now")
        if shipment not in [summary.id for summary in contents.shipments]:
            why = f"{newest.kind}, operation {newest.id}, was about shipment {shipment}, which is not on it"
            return Removal(RemovalState.UNKNOWN, why)
    if newest.kind == "unpack":
        written = [operation for operation in operations[1:] if operation.kind != "unpack"]
        why = "it was read, and nothing but a line of its audit log was written to it"
        return judge_removal(written, contents) if written else Removal(RemovalState.SAFE, why)
    return _by_reading_back(newest, shipment)


def _by_reading_back(operation: Operation, shipment: str) -> Removal:
    """What a pack or a check proved that ended well."""
    result = operation.result or {}
    read_back = str(result.get("read_back") or "")
    if result.get("safe_to_remove") is True or read_back == FROM_MEDIUM:
        why = f"shipment {shipment} is complete, and every byte was read back from the medium"
        return Removal(RemovalState.SAFE, why)
    records = result.get("findings")
    for finding in map(read_finding, records if isinstance(records, list) else []):
        if finding.code == "read-back-memory" and finding.level is not Level.NOTE:
            return Removal(RemovalState.UNPROVEN, f"{finding.what}: {finding.why}", finding.remedy)
    why = f"every byte was right, but it was read {read_back}" if read_back else "it was not read back"
    remedy = f"unplug it, plug it in again, then check it: xaiva medium check {operation.subject}"
    return Removal(RemovalState.UNPROVEN, why, remedy)
