"""Whether a medium may be pulled out: only what was proved, and only of the medium that is there now."""

from __future__ import annotations

from typing import Any

import pytest

from core.carry.medium_contents import MediumContents, ShipmentSummary
from core.carry.removal import RemovalState, judge_removal, operations_on
from core.findings import Finding
from core.operations.model import Operation, OperationFailure, OperationState

PATH = "/media/stick"
SHIPMENT = "20261101-120000-0a1b2c"
SAFE = {"shipment": SHIPMENT, "safe_to_remove": True}
FINDING = Finding.warning("read-back-memory", "perhaps from memory", "no direct reads", "unplug it")
FROM_MEMORY = {
    "shipment": SHIPMENT,
    "safe_to_remove": False,
    "findings": [
        Finding.warning("read-back-memory", "perhaps from memory", "no direct reads", "unplug it").model_dump(
            mode="json"
        )
    ],
}
CONTENTS = MediumContents(
    medium="exFAT",
    file_system="exFAT",
    free_bytes=None,
    total_bytes=None,
    shipments=[ShipmentSummary(id=SHIPMENT, state="signed by a trusted key")],
)


def operation(kind: str, state: OperationState = OperationState.DONE, subject: str = PATH, **more: Any) -> Operation:
    fields: dict[str, Any] = {"key": "", "options": {}, "attempt": 1, "created": 1, "started": 1, "ended": 2}
    fields |= {"seconds": 1, "cancel_requested": False, "by": "", "pid": 1, "log": "", "id": 7}
    return Operation(kind=kind, subject=subject, state=state, **{**fields, **more})


CHECKED = operation("check", result={"shipment": SHIPMENT, "read_back": "from the medium"})
CHECKED_IN_MEMORY = operation(
    "check", result={"shipment": SHIPMENT, "read_back": "perhaps from memory: no direct reads"}
)
DAMAGED = operation("check", OperationState.FAILED, failure=OperationFailure(what="damaged", remedy="pack it again"))
PACKED, PACKED_IN_MEMORY = operation("pack", result=SAFE), operation("pack", result=FROM_MEMORY)
CUT_OFF = operation("pack", OperationState.CRASHED)
UNPACKED = operation("unpack", result={"shipment": SHIPMENT})


@pytest.mark.parametrize(
    ("operations", "state", "words"),
    [
        ([], RemovalState.UNKNOWN, "nothing was done"),
        ([operation("pack", OperationState.RUNNING), PACKED], RemovalState.BUSY, "operation 7"),
        ([UNPACKED, operation("check", OperationState.QUEUED)], RemovalState.BUSY, "check"),
        ([PACKED], RemovalState.SAFE, SHIPMENT),
        ([PACKED_IN_MEMORY], RemovalState.UNPROVEN, "no direct reads"),
        ([CHECKED, PACKED_IN_MEMORY], RemovalState.SAFE, "read back from the medium"),
        ([CHECKED_IN_MEMORY, PACKED], RemovalState.UNPROVEN, "perhaps from memory"),
        ([DAMAGED, PACKED], RemovalState.UNPROVEN, "damaged"),
        ([operation("check", OperationState.CANCELLED), PACKED], RemovalState.SAFE, SHIPMENT),
        ([CUT_OFF, PACKED], RemovalState.UNPROVEN, "did not finish"),
        ([UNPACKED], RemovalState.SAFE, "nothing but a line"),
        ([UNPACKED, CUT_OFF], RemovalState.UNPROVEN, "did not finish"),
        ([UNPACKED, PACKED_IN_MEMORY], RemovalState.UNPROVEN, "no direct reads"),
        ([operation("pack", result={"shipment": SHIPMENT})], RemovalState.UNPROVEN, "not read back"),
        ([operation("pack", result={**SAFE, "shipment": "20261102-120000-0a1b2c"})], RemovalState.UNKNOWN, "not on it"),
    ],
)
def test_only_what_was_proved_is_safe(operations: list[Operation], state: RemovalState, words: str) -> None:
    removal = judge_removal(operations, CONTENTS)
    assert removal.state is state
    assert words in removal.why
    assert bool(removal.remedy) is (state is RemovalState.UNPROVEN)


def test_a_medium_that_cannot_be_read_is_not_called_safe() -> None:
    assert judge_removal([PACKED], None).state is RemovalState.UNKNOWN
    elsewhere = operation("pack", subject="ssh://edge/srv", result=SAFE)
    assert judge_removal([elsewhere], None).state is RemovalState.SAFE  # nobody looks into another machine


def test_the_operations_on_a_medium_are_those_on_its_folders_too() -> None:
    inside, beside = operation("pack", subject=f"{PATH}/site-7"), operation("pack", subject=f"{PATH}2")
    assert operations_on(PATH, [inside, beside, PACKED, operation("build")]) == [inside, PACKED]
