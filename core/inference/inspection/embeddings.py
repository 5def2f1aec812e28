"""The embeddings of earlier runs, by the content of their pictures: a later run computes only what is new.

One file for each index and encoder, to which a run appends as it goes; a killed one costs at most the record it was
writing. A record is the SHA-256 of a picture's file, its vector, and a checksum of both.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from core.errors import TransientError, XaivaError, os_reason
from core.files import replace_atomically, write_remedy
from core.inference.inspection.encoder import EncoderIdentity

logger = logging.getLogger(__name__)

SUFFIX = ".vectors"
KEPT_ENCODERS = 2  # files of an index: of the encoder in use, and of the one before
_UNUSED_SHARE = 0.25  # of a file, from which on it is worth writing it again without the unused records
_SHA_BYTES = 32

Vector = NDArray[np.float32]


class EmbeddingCache:
    """The embeddings of one index under one encoder; one process at a time has it open.

    A disk that is full or read-only costs the next run time, not this one: it goes on without keeping embeddings.
    """

    def __init__(self, folder: Path, name: str, encoder: EncoderIdentity) -> None:
        self._folder = folder
        self._name = name
        self._path = folder / f"{name}-{encoder.sha256[:16]}{SUFFIX}"
        self._header = f"xaiva embeddings 1 {encoder.sha256} {encoder.dimension}\n".encode()
        self._record = np.dtype(
            [("sha256", np.uint8, _SHA_BYTES), ("vector", "<f4", encoder.dimension), ("checksum", "<u4")]
        )
        self._vectors: dict[str, Vector] = {}
        self._file: BinaryIO | None = None
        self.trouble = ""
        """Why embeddings are not kept; empty: they are."""

    def __enter__(self) -> Self:
        """Read what is there. Raises TransientError while another process has it open, XaivaError for a bad disk."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "a+b")
            self._lock()
            self._read()
        except OSError as error:
            self._close()
            raise XaivaError(f"{self._path}", os_reason(error), write_remedy(error)) from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, sha256: str) -> Vector | None:
        """The vector of a picture's file with that hash. Thread-safe."""
        return self._vectors.get(sha256)

    def add(self, vectors: Mapping[str, Vector]) -> None:
        """Keep the vectors of files with these hashes."""
        self._vectors.update(vectors)
        if self._file is None:
            return
        try:
            self._file.write(self._records(vectors))
            self._file.flush()
        except OSError as error:
            self.trouble = os_reason(error)
            logger.warning("%s: embeddings are not kept for the next run: %s", self._path, self.trouble)
            self._close()

    def keep_only(self, used: Collection[str]) -> None:
        """Drop what is no longer used, and the files of encoders that are no longer used. Ends the keeping."""
        unused = self._vectors.keys() - used
        if self._file is not None and len(unused) > _UNUSED_SHARE * len(self._vectors):
            for sha256 in unused:
                del self._vectors[sha256]
            with contextlib.suppress(OSError), replace_atomically(self._path) as file:
                file.write(self._header)
                file.write(self._records(self._vectors))
        self._close()
        with contextlib.suppress(OSError):
            files = sorted(self._folder.glob(f"{self._name}-*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
            for path in [path for path in files if path != self._path][: 1 - KEPT_ENCODERS]:
                path.unlink(missing_ok=True)

    def _records(self, vectors: Mapping[str, Vector]) -> bytes:
        records: NDArray[Any] = np.zeros(len(vectors), self._record)
        for record, (sha256, vector) in zip(records, vectors.items(), strict=True):
            record["sha256"] = np.frombuffer(bytes.fromhex(sha256), np.uint8)
            record["vector"] = vector
            record["checksum"] = self._checksum(record)
        return records.tobytes()

    def _checksum(self, record: Any) -> int:
        return zlib.crc32(record.tobytes()[:-4])

    def _read(self) -> None:
        """Read the good records, and cut off what a killed run left behind them."""
        assert self._file is not None
        self._file.seek(0)
        content = self._file.read()
        if not content.startswith(self._header):
            self._file.truncate(0)
            self._file.write(self._header)
            self._file.flush()
            return
        count = (len(content) - len(self._header)) // self._record.itemsize
        records: NDArray[Any] = np.frombuffer(content, self._record, count, len(self._header))
        for record in records:
            if record["checksum"] == self._checksum(record):
                self._vectors[record["sha256"].tobytes().hex()] = record["vector"]
        self._file.truncate(len(self._header) + count * self._record.itemsize)

    def _lock(self) -> None:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(f"{self._path}", "another job has it open") from None

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # the buffer of a full disk
                self._file.close()
            self._file = None
