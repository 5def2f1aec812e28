"""Where a shipment is written to, whatever it is: a medium, a folder, a folder of another machine over ssh."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from typing_extensions import Buffer, Self

from core.carry.shipment import UNFINISHED as UNFINISHED
from core.carry.shipment import Content

CHUNK_BYTES = 1 << 20
BATCH_BYTES = 30 << 20  # written until they are made durable; twice as much is on its way at most: below 64 MB
BATCH_FILES = 2000
GOES_ON = "run the same command again: it goes on"

OnBytes = Callable[[int], None]
"""Called with more bytes that are done, or fewer: a negative number takes back what has to be done again."""


class Source(Protocol):
    """Where the bytes of a file come from: a file opened for reading, a member of a tar."""

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Fill the buffer; 0 at the end."""

    def close(self) -> None:
        """Give back what it holds."""


OpenAt = Callable[[int], Source]
"""Opens the content at an offset."""


@dataclass
class ReadBack:
    """What reading everything again has shown."""

    problems: dict[str, str] = field(default_factory=dict)
    """Path → what is wrong with it. What is not in here has the right size and content."""
    from_medium: bool = True
    """Whether the bytes came from the medium, and not from this machine's memory."""
    why_not: str = ""
    """Why they may have come from memory."""


class Target(Protocol):
    """A place for blobs and shipments. Paths are relative, with slashes. It is used by one thread at a time."""

    @property
    def name(self) -> str:
        """How messages name it."""

    @property
    def summary(self) -> str:
        """What it is, in words: `exFAT (through FUSE) at /media/stick on /dev/sdb1`."""

    def require_writable(self) -> None:
        """Raise XaivaError when nothing can be written there; leaves nothing behind."""

    def free_bytes(self) -> int | None:
        """How much still fits; None when the target does not say."""

    def names(self) -> dict[str, int]:
        """The size of every file in `blobs/` and `shipments/`; unfinished ones end with `.new`."""

    def put(self, path: str, size: int, sha256: str, open_at: OpenAt, on_durable: OnBytes) -> None:
        """Write `<path>.new`, going on inside what is there of it.

        `on_durable` is called with bytes once they are on the medium, of the last ones maybe only at `flush`. Raises
        WrongContent when the source has another content, XaivaError when the target fails.
        """

    def put_stream(self, sha256: str | None, source: Source, on_durable: OnBytes) -> Content:
        """Write what can be read only once as blobs `….new` of a part each; the result names them."""

    def flush(self) -> None:
        """Make everything durable that was put, and report it."""

    def check(self, blobs: Mapping[str, tuple[str, int]], on_read: OnBytes, cancelled: Callable[[], bool]) -> ReadBack:
        """Read files (path → SHA-256 and size; also `….new`) back and compare. Raises Cancelled."""

    def finish(self, paths: Iterable[str]) -> None:
        """Give complete files their final names, durably. Those that have them already stay."""

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files that may be there, and the folders of shipments that are empty."""

    def write_small(self, path: str, data: bytes) -> None:
        """Write a whole small file in one step, durably."""

    def read_small(self, path: str, limit: int) -> bytes | None:
        """The content of a file of at most `limit` bytes; None when there is none. A longer one raises."""

    def sync(self) -> None:
        """Make everything durable; after it the medium may be pulled out."""

    def close(self) -> None:
        """Give back what it holds; what was not flushed may be lost."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def require_plain_path(path: str) -> str:
    """The path, when every file system can hold it. Raises ValueError for others: that is a mistake of the caller."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*", path):
        raise ValueError(f"not a path on a medium: {path!r}")
    return path
