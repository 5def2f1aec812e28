"""What the operations of a ledger hold, read without changing it: also from inside an operation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.operations import sql
from core.operations.database import read_rows


@dataclass(frozen=True)
class RecordedOperation:
    """An operation of the ledger, as far as its key goes."""

    id: int
    kind: str
    subject: str
    key: str
    live: bool
    """Whether it holds its key. One that has crashed may count as live until a ledger is opened the next time."""

    def title(self) -> str:
        """Number, kind and subject."""
        return f"operation {self.id} ({self.kind} {self.subject})"


def recorded_operations(ledger: Path) -> list[RecordedOperation]:
    """All operations of a ledger, in any order. Raises XaivaError when it cannot be read."""
    rows = read_rows(ledger, sql.EVERY_KEY, {})
    return [RecordedOperation(row["id"], row["kind"], row["subject"], row["key"], bool(row["live"])) for row in rows]
