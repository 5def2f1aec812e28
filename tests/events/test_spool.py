"""The spool: what is read back whatever happened to its files, and what it says when the disk refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.api_schema import Clip
from core.errors import InputError
from core.inference.events import spool as spool_module
from core.inference.events.spool import Spool, SpoolError
from core.inference.events.spool_records import Record, change_record, decode, encode, event_record
from tests.events.support import an_event
from tests.support.disks import fill, small_disk

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.dictionaries(TEXT, VALUES, max_size=4)
RECORDS = st.builds(Record, event=TEXT, new=st.booleans(), at=st.floats(0, 2e9), fields=FIELDS)


def opened(folder: Path) -> closing[Spool]:
    return closing(Spool(folder))


def read(spool: Spool) -> list[Record]:
    return [record for record, _ in spool.records(spool.first)]


def nothing() -> None:
    """A database that is always durable."""


def a_record(number: int) -> Record:
    return change_record("some", {"note": str(number)})


@given(RECORDS)
def test_a_record_is_read_back(record: Record) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1
    assert decode(line) == record


@given(RECORDS, st.data())
@settings(max_examples=300)
def test_a_changed_byte_is_seen(record: Record, data: st.DataObject) -> None:
    line = bytearray(encode(record))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):
        decode(bytes(line))


@given(st.lists(RECORDS, min_size=1, max_size=4), st.data())
@settings(max_examples=10, deadline=None)
def test_cut_at_every_byte_the_whole_records_before_are_read(records: list[Record], data: st.DataObject) -> None:
    """And what the next run appends is read behind them, without doubt about its position."""
    lines = [encode(record) for record in records]
    whole = b"".join(lines)
    appended_at = data.draw(st.sets(st.integers(0, len(whole)), max_size=3))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cut in range(len(whole) + 1):
            for old in folder.glob("*.spool"):
                old.unlink()
            (folder / f"{0:020d}.spool").write_bytes(whole[:cut])
            expected = [record for at, record in enumerate(records) if len(b"".join(lines[: at + 1])) <= cut]
            with opened(folder) as spool:
                assert read(spool) == expected
            if cut in appended_at:
                with opened(folder) as spool:
                    spool.append(encode(a_record(1)))
                    assert spool.end > cut
                    assert [record.fields for record in read(spool)[len(expected) :]] == [{"note": "1"}]
                with opened(folder) as spool:
                    assert len(read(spool)) == len(expected) + 1


@given(st.lists(RECORDS, min_size=3, max_size=6), st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_byte_costs_only_its_own_line_or_two(records: list[Record], data: st.DataObject) -> None:
    lines = [encode(record) for record in records]
    whole = bytearray(b"".join(lines))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    ends = [len(b"".join(lines[: number + 1])) for number in range(len(lines))]
    hit = next(number for number, end in enumerate(ends) if at < end)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{0:020d}.spool").write_bytes(whole)
        with opened(Path(folder)) as spool:
            survivors = read(spool)
    lost_too = hit + 1 if at == ends[hit] - 1 else hit  # without its end, a line takes the next one with it
    assert survivors == [record for number, record in enumerate(records) if not hit <= number <= lost_too]


def test_a_file_with_a_damaged_line_is_kept_for_people(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(encode(a_record(1)))
        spool.append(encode(a_record(2)))
    (file,) = tmp_path.glob("*.spool")
    file.write_bytes(file.read_bytes().replace(b'"note":"1"', b'"note":"7"'))
    with opened(tmp_path) as spool:
        spool.append(encode(a_record(3)))
        assert [record.fields["note"] for record in read(spool)] == ["2", "3"]
        spool.release(spool.end, nothing)
    assert b'"note":"7"' in next(tmp_path.glob("*.damaged")).read_bytes()


def test_segments_go_once_they_are_needed_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 500)
    settled: list[int] = []
    with opened(tmp_path) as spool:
        for number in range(20):
            spool.append(encode(a_record(number)))
        before = len(list(tmp_path.glob("*.spool")))
        assert before > 3
        middle = [end for _, end in spool.records(0)][9]
        spool.release(middle, lambda: settled.append(len(list(tmp_path.glob("*.spool")))))
        assert [record.fields["note"] for record, _ in spool.records(middle)] == [str(n) for n in range(10, 20)]
        spool.release(middle, lambda: settled.append(0))
        assert settled == [before]  # made sure of before anything went, and only when something did
        spool.release(spool.end, nothing)
        end = spool.end
    assert len(list(tmp_path.glob("*.spool"))) == 1  # the newest stays: it says where the spool goes on
    with opened(tmp_path) as spool:
        assert spool.end == end
        spool.append(encode(a_record(20)))
        assert spool.end > end


def test_positions_never_go_back(tmp_path: Path) -> None:
    """A database remembers positions: one that meant two records would lose the second."""
    with opened(tmp_path) as spool:
        spool.append(encode(a_record(1)))
    ends = []
    for _ in range(3):
        with opened(tmp_path) as spool:  # two runs that write nothing, then one that does
            ends.append(spool.end)
    with opened(tmp_path) as spool:
        spool.release(spool.end, nothing)
        spool.append(encode(a_record(2)))
        ends.append(spool.end)
        spool.release(spool.end, nothing)
        assert [record.fields["note"] for record, _ in spool.records(ends[0])] == ["2"]
    assert ends[0] == ends[1] == ends[2] < ends[3]


def test_threads_that_append_at_once_share_an_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    held, go = threading.Event(), threading.Event()
    real = os.fdatasync

    def counted(handle: int) -> None:
        syncs.append(handle)
        held.set()
        go.wait(10)  # the first one, until all others wait
        real(handle)

    monkeypatch.setattr(os, "fdatasync", counted)
    with opened(tmp_path) as spool:
        threads = [threading.Thread(target=spool.append, args=(encode(a_record(n)),)) for n in range(20)]
        threads[0].start()
        assert held.wait(10)
        for thread in threads[1:]:
            thread.start()
        while len(spool._waiting) < 19:  # nobody else can see that they wait
            pass
        go.set()
        for thread in threads:
            thread.join()
        assert len(read(spool)) == 20
    assert len(syncs) == 2


def test_one_process_alone_may_have_it(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from core.inference.events.spool import Spool; Spool(Path({str(tmp_path)!r}))"
    with opened(tmp_path):
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "another process uses it" in process.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_that_could_not_be_opened_holds_nobody_out(tmp_path: Path) -> None:
    (tmp_path / "id").mkdir()
    with pytest.raises(SpoolError, match="Is a directory"):
        Spool(tmp_path)
    (tmp_path / "id").rmdir()
    with opened(tmp_path) as spool:
        spool.append(encode(a_record(1)))


def test_a_full_disk_is_told_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk, opened(disk / "spool") as spool:
        acknowledged = []

        def append_until_refused() -> None:
            for number in range(len(acknowledged), 100_000):
                spool.append(encode(a_record(number)))
                acknowledged.append(str(number))

        spool.append(encode(event_record(an_event())))
        hog = fill(disk)
        with pytest.raises(SpoolError, match="No space left"):
            append_until_refused()
        with pytest.raises(SpoolError, match="No space left"):
            spool.probe()
        hog.unlink()
        spool.probe()
        spool.append(encode(a_record(len(acknowledged))))
        acknowledged.append(str(len(acknowledged)))
        assert [record.fields["note"] for record in read(spool)[1:]] == acknowledged
        spool.close()
        with opened(disk / "spool") as again:
            assert [record.fields["note"] for record in read(again)[1:]] == acknowledged


@pytest.mark.parametrize("shortens", [True, False], ids=["cut-back", "not-even-that"])
def test_a_half_failed_write_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shortens: bool) -> None:
    """The disk takes half of a line, then refuses; in the second case the file cannot even be cut back."""
    real = os.write
    with opened(tmp_path) as spool:
        spool.append(encode(a_record(1)))
        monkeypatch.setattr(os, "write", _half(real))
        if not shortens:
            monkeypatch.setattr(os, "ftruncate", _refused)
        with pytest.raises(SpoolError, match="Input/output error"):
            spool.append(encode(a_record(2)))
        monkeypatch.undo()
        spool.append(encode(a_record(3)))
        assert [record.fields["note"] for record in read(spool)] == ["1", "3"]
        end = spool.end
    with opened(tmp_path) as spool:
        assert [record.fields["note"] for record in read(spool)] == ["1", "3"]
        assert spool.end == end


def _half(real: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
    calls: list[int] = []

    def write(handle: int, data: bytes) -> int:
        if calls:
            raise OSError(5, "Input/output error")
        calls.append(handle)
        return real(handle, data[: len(data) // 2])

    return write


def _refused(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_what_an_event_cannot_have_is_refused_before_it_is_acknowledged() -> None:
    with pytest.raises(TypeError, match="colour"):
        change_record("some", {"colour": "red"})
    with pytest.raises(TypeError, match="id"):
        change_record("some", {"id": "other"})
    with pytest.raises(InputError, match="priority"):
        change_record("some", {"priority": "soon"})
    with pytest.raises(InputError, match="cannot be stored"):
        encode(event_record(an_event(score=float("nan"))))
    assert change_record("some", {"clip": Clip(state="done")}).fields["clip"]["state"] == "done"


def test_nothing_is_appended_after_closing(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        pass
    with pytest.raises(SpoolError, match="closed"):
        spool.append(encode(a_record(1)))
