"""The facts about what happened on the site: operations, unexpected errors, shipments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from core.errors import XaivaError, os_reason
from core.files import read_regular
from core.operations.ledger import Ledger
from core.operations.model import LAST_OUTPUT, Operation
from core.site import Site
from core.site_report.model import AcceptedFacts, CrashFacts, OperationFacts

NEWEST_OPERATIONS = 50
NEWEST_SHIPMENTS = 50
ERROR_LOG = "errors.log"  # of unexpected errors, in the site's state
_ACCEPTED = "carry/accepted.json"
_ENTRY = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) xaiva\b", re.MULTILINE)


def operation_facts(ledger: Ledger) -> list[OperationFacts]:
    """The newest operations. Raises XaivaError when the ledger cannot be read."""
    return [_operation(operation) for operation in ledger.list(NEWEST_OPERATIONS)]


def crash_facts(site: Site) -> CrashFacts:
    """The number of unexpected errors in xaiva's log, and when the newest was. Raises XaivaError."""
    times = _ENTRY.findall(_read(site, ERROR_LOG).decode(errors="replace"))
    return CrashFacts(count=len(times), newest=times[-1] if times else "")


def shipment_facts(site: Site) -> list[AcceptedFacts]:
    """The newest shipments that the site accepted. Raises XaivaError when their list cannot be read."""
    text = _read(site, _ACCEPTED)
    if not text:
        return []
    try:
        rows: list[Mapping[str, Any]] = json.loads(text)["shipments"]
        shipments = [
            AcceptedFacts(
                shipment=str(row["shipment"]),
                created=str(row.get("created", "")),
                accepted=str(row.get("accepted", "")),
                signer=str(row.get("signer", "")),
            )
            for row in rows
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise XaivaError(f"{site.state / _ACCEPTED}", "it is damaged") from error
    return shipments[-NEWEST_SHIPMENTS:]


def _operation(operation: Operation) -> OperationFacts:
    failure = operation.failure
    return OperationFacts(
        id=operation.id,
        kind=operation.kind,
        subject=operation.subject,
        state=operation.state.value,
        started=operation.started,
        seconds=operation.seconds,
        what=failure.what if failure else "",
        why=failure.why.partition(LAST_OUTPUT)[0] if failure else "",
    )


def _read(site: Site, name: str) -> bytes:
    """A file of the site's state; empty without one."""
    path = site.state / name
    try:
        return read_regular(path)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise XaivaError(f"{path}", os_reason(error)) from error
