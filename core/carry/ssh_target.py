"""A folder of another machine as the target of a shipment, over ssh: a cut connection goes on inside a file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from typing_extensions import Self

from core.carry.hashed_copy import Both, Digest, read_block, source_name, wrong_source
from core.carry.shipment import BLOBS, PART_BYTES, Blob, Content, blob_path
from core.carry.ssh_sending import SYNC_BYTES, Put, SendingBatch, SendingFile, SendingPiece, ask_all, open_source
from core.carry.ssh_session import SshAddress, SshCut, SshRefused, SshSession
from core.carry.stream_parts import put_parts
from core.carry.target import CHUNK_BYTES, GOES_ON, UNFINISHED, OnBytes, OpenAt, ReadBack, Source, require_plain_path
from core.errors import Cancelled, XaivaError

_SMALL_BYTES = 64 << 10  # up to here files are sent without waiting for the answer to each
_BATCH_BYTES = 4 << 20
_BATCH_FILES = 500  # their answers fit into a pipe
_GROUP_BYTES = 256 << 20
_STREAM = f"{BLOBS}/stream"
_PAUSES = (0.2, 0.5, 1, 2, 4, 8, 15)  # seconds before each new attempt, as long as none gets anything done

ResultT = TypeVar("ResultT")


class SshTarget:
    """`ssh://[user@]host[:port]/folder`. See `Target` for what its methods do. ssh asks for no password."""

    def __init__(self, url: str, env: Mapping[str, str] | None = None) -> None:
        self._address = SshAddress(url)
        self._env = os.environ if env is None else env
        self._batch: list[Put] = []
        self._unsynced: list[tuple[OnBytes, int]] = []
        self._session: SshSession | None = None
        try:
            self._session = SshSession(self._address, self._env)
        except SshCut as error:
            raise self._unreachable(error) from error
        except SshRefused as error:
            raise self._failed(error) from error
        self._buffer = memoryview(bytearray(CHUNK_BYTES))
        self._unfinished: dict[str, int] | None = None  # sizes of files that an earlier run has left

    @property
    def name(self) -> str:
        """How messages name it."""
        return self._address.url

    @property
    def summary(self) -> str:
        """What it is, in words."""
        return f"a folder of another machine, {self.name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def require_writable(self) -> None:
        """Raise XaivaError when nothing can be written there; leaves nothing behind."""
        self.write_small("xaiva-probe", b"x")
        self.remove(["xaiva-probe"])

    def free_bytes(self) -> int | None:
        """How much still fits; None when the other machine does not say."""
        answer = self._run(lambda session: session.ask("free", ".")).strip()
        return int(answer) if answer.isdigit() else None

    def names(self) -> dict[str, int]:
        """The size of every file in `blobs/` and `shipments/`; unfinished ones end with `.new`."""
        return self._run(_list)

    def put(self, path: str, size: int, sha256: str, open_at: OpenAt, on_durable: OnBytes) -> None:
        """Write `<path>.new`, going on inside what is there of it. A small file waits for others until `flush`."""
        file = Put(require_plain_path(path), size, sha256, open_at, on_durable)
        if size <= _SMALL_BYTES:
            self._batch.append(file)
            if len(self._batch) >= _BATCH_FILES or sum(item.size for item in self._batch) >= _BATCH_BYTES:
                self._send_batch()
            return
        self._send_batch()
        self._put_large(file)

    def put_stream(self, sha256: str | None, source: Source, on_durable: OnBytes) -> Content:
        """Write what can be read only once as blobs `….new` of a part each; the result names them."""
        self._send_batch()
        name = source_name(source, sha256 or "the stream")
        return put_parts(
            sha256, name, PART_BYTES, lambda whole: self._put_part(source, name, whole, on_durable), self.remove
        )

    def _put_part(self, source: Source, name: str, whole: Digest, on_durable: OnBytes) -> Blob:
        """Send a part in pieces that stay in memory until they are durable there: they cannot be read again."""
        new, part, position = _STREAM + UNFINISHED, hashlib.sha256(), 0
        self._run(lambda session: session.ask("remove", new))
        piece = memoryview(bytearray(SYNC_BYTES))
        while position < PART_BYTES:
            block = read_block(source, name, piece[: PART_BYTES - position])
            Both(whole, part).update(block)
            sending = SendingPiece(new, position, block)
            self._run(sending.send, lambda sending=sending: sending.arrived)  # type: ignore[misc]
            position += len(block)
            on_durable(len(block))
            if len(block) < len(piece):
                break
        self._run(lambda session: session.ask("adopt", blob_path(part.hexdigest()) + UNFINISHED))
        return Blob(sha256=part.hexdigest(), size=position)

    def flush(self) -> None:
        """Make everything durable that was put, and report it."""
        self._send_batch()
        if self._unsynced:
            self._run(lambda session: session.ask("sync", "."))
            waiting, self._unsynced = self._unsynced, []
            for on_durable, count in waiting:
                on_durable(count)

    def check(self, blobs: Mapping[str, tuple[str, int]], on_read: OnBytes, cancelled: Callable[[], bool]) -> ReadBack:
        """Let the other machine hash its files (path → SHA-256 and size) and compare. Raises Cancelled."""
        self.sync()
        result = ReadBack()
        for paths in _groups(blobs):
            if cancelled():
                raise Cancelled()
            answers = self._run(lambda session, paths=paths: ask_all(session, "sum", paths))  # type: ignore[misc]
            for path, answer in zip(paths, answers, strict=True):
                if problem := _compare(answer, *blobs[path]):
                    result.problems[path] = problem
                if answer.endswith(" memory"):
                    result.why_not = "the file system of the other machine has no direct reads"
                on_read(blobs[path][1])
        kind = self._run(lambda session: session.file_system)
        if not result.why_not and not re.match(r"ext2/ext3|xfs|btrfs|msdos|exfat|f2fs", kind):
            result.why_not = f"its file system there is {kind or 'unknown'}; its memory may have answered"
        result.from_medium = not result.why_not
        return result

    def finish(self, paths: Iterable[str]) -> None:
        """Give complete files their final names, durably. Those that have them already stay."""
        self.sync()
        for group in _groups(dict.fromkeys(paths, ("", 0))):
            answers = self._run(lambda session, group=group: ask_all(session, "finish", group))  # type: ignore[misc]
            for path, answer in zip(group, answers, strict=True):
                if answer != "ok":
                    why = f"{path}{UNFINISHED} is not there: another program has removed it"
                    raise XaivaError(f"{path} on {self.name} cannot be finished", why, GOES_ON)
        self.sync()

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files that may be there, and the folders of shipments that are empty, also those of a cut-off pack."""
        for path in paths:
            require_plain_path(path)
            self._run(lambda session, path=path: session.ask("remove", path))  # type: ignore[misc]
        self.sync()

    def write_small(self, path: str, data: bytes) -> None:
        """Write a whole small file in one step, durably."""
        new = require_plain_path(path) + UNFINISHED

        def write(session: SshSession) -> None:
            session.send("write", new, 0, len(data))
            session.write(data)
            session.answer()

        self._run(write)
        self.finish([path])

    def read_small(self, path: str, limit: int) -> bytes | None:
        """The content of a file of at most `limit` bytes; None when there is none."""
        require_plain_path(path)

        def read(session: SshSession) -> bytes | None:
            answer = session.ask("size", path)
            if int(answer) > limit:
                raise XaivaError(f"{path} on {self.name} cannot be used", f"it is longer than {limit} bytes")
            answer = session.ask("read", path)
            return None if answer == "absent" else session.read(int(answer))

        return self._run(read)

    def sync(self) -> None:
        """Make everything durable on the other machine."""
        self.flush()
        self._run(lambda session: session.ask("sync", "."))

    def _send_batch(self) -> None:
        """Send small files, each whole, without waiting for the answer to each."""
        batch, self._batch = self._batch, []
        sending = SendingBatch([(file, self._read_small_source(file)) for file in batch])
        if batch:
            self._run(sending.send, lambda: sending.arrived)
            self._unsynced += [(file.on_durable, file.size) for file in batch]

    def _read_small_source(self, file: Put) -> bytes:
        source, name = open_source(file, 0)
        with contextlib.closing(source):
            data = bytes(read_block(source, name, self._buffer[: file.size]))
        actual = hashlib.sha256(data).hexdigest()
        if actual != file.sha256:
            raise wrong_source(name, file.sha256, actual, file.size, len(data))
        return data

    def _put_large(self, file: Put) -> None:
        if self._unfinished is None:
            self._unfinished = {path: size for path, size in self.names().items() if path.endswith(UNFINISHED)}
        sending = SendingFile(file, self._buffer)
        before = self._unfinished.pop(file.path + UNFINISHED, 0)
        if 0 < before <= file.size:
            answer = self._run(lambda session: session.ask("sum", file.path + UNFINISHED)).split()
            sending.start_after(before, answer[0])
        self._run(sending.send, lambda: sending.arrived)
        if sending.digest.hexdigest() != file.sha256:
            self.remove([file.path + UNFINISHED])
            raise wrong_source(sending.name, file.sha256, sending.digest.hexdigest(), file.size, file.size)

    def _run(self, work: Callable[[SshSession], ResultT], progress: Callable[[], int] = lambda: 0) -> ResultT:
        """Do it, again after each cut of the connection, until several attempts in turn have got nothing done."""
        attempt, before = 0, progress()
        while True:
            try:
                if self._session is None:
                    self._session = SshSession(self._address, self._env)
                return work(self._session)
            except SshRefused as error:
                self.close()
                raise self._failed(error) from error
            except SshCut as error:
                self.close()
                attempt, before = (0 if progress() > before else attempt + 1), progress()
                if attempt >= len(_PAUSES):
                    raise self._unreachable(error) from error
                time.sleep(_PAUSES[attempt])
            except BaseException:
                self.close()  # answers to what was sent are still on their way
                raise

    def _unreachable(self, error: Exception) -> XaivaError:
        remedy = f"see whether this works: {shlex.join([*self._address.ssh, 'true'])}; then {GOES_ON}"
        return XaivaError(f"{self.name} cannot be reached", str(error), remedy)

    def _failed(self, error: Exception) -> XaivaError:
        return XaivaError(f"{self.name} cannot be used", str(error), f"put that right there, then {GOES_ON}")


def _groups(blobs: Mapping[str, tuple[str, int]]) -> Iterator[list[str]]:
    """Paths that are asked for at once, so that a slow line is not waited for at each, but a cancel comes through."""
    group: list[str] = []
    size = 0
    for path, (_, more) in blobs.items():
        group.append(path)
        size += more
        if len(group) == _BATCH_FILES or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _compare(answer: str, sha256: str, size: int) -> str:
    """What is wrong with a file, by the answer to `sum`."""
    if answer == "absent":
        return "it is missing"
    actual, length, _ = answer.split()
    if int(length) != size:
        return f"it has {length} bytes instead of {size}"
    return "" if actual == sha256 else f"its content is damaged: its SHA-256 is {actual}"


def _list(session: SshSession) -> dict[str, int]:
    sizes: dict[str, int] = {}
    session.send("list", ".")
    while (answer := session.answer()) != "end":
        if match := re.fullmatch(r"(\d+) regular (?:empty )?file:(.+)", answer):
            sizes[match[2]] = int(match[1])
    return sizes
