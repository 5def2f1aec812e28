"""Logs as numbered lines: big, growing, replaced, cut short, odd; searched, filtered, spooled."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from core.log_lines import (
    INDEX_BLOCK_BYTES,
    MAX_LINE_CHARACTERS,
    FileLines,
    FilteredLines,
    LineSpool,
    clean_line,
    compile_search,
    find_line,
)
from core.operations.log import LogWriter


def counted(path: Path) -> FileLines:
    lines = FileLines(path)
    while not lines.complete:
        lines.update()
    return lines


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """200,000 lines over many blocks, some longer than a block."""
    path = tmp_path / "big.log"
    with open(path, "w") as file:
        for n in range(200_000):
            file.write(f"{n} {'x' * (INDEX_BLOCK_BYTES * 2) if n in (5, 100_000) else n % 7}\n")
    return path


def test_every_line_has_its_number(big: Path) -> None:
    lines = counted(big)
    assert len(lines) == 200_000
    for number in [*range(0, 200_000, 1777), 4, 5, 6, 99_999, 100_000, 100_001, 199_999]:
        assert lines.read(number, number + 1)[0].split()[0] == str(number)
    assert [line.split()[0] for line in lines.read(99_990, 100_010)] == [str(n) for n in range(99_990, 100_010)]
    assert lines.read(199_998, 200_005) == ["199998 1", "199999 2"]


def test_the_end_shows_before_anything_is_counted(big: Path) -> None:
    lines = FileLines(big)
    assert lines.tail(2) == ["199998 1", "199999 2"]
    assert len(lines) == 0


def test_a_log_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    lines = FileLines(path)
    assert not lines.update()  # not there yet
    with open(path, "w") as file:
        file.write("one\ntw")
        file.flush()
        assert lines.update()
        assert lines.read(0, 9) == ["one", "tw"]
        file.write("o\nthree\n")
        file.flush()
        assert lines.update()
        assert not lines.update()
    assert lines.read(0, 9) == ["one", "two", "three"]
    assert len(lines) == 3


def test_a_log_that_is_replaced_or_cut_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n" * 10)
    lines = counted(path)
    first = lines.generation
    other = tmp_path / "y.log"
    other.write_text("new\n" * 20)
    os.replace(other, path)
    lines.update()
    assert (lines.generation != first, len(lines), lines.read(0, 1)) == (True, 20, ["new"])
    os.truncate(path, 4)
    lines.update()
    assert len(lines) == 1
    assert lines.read(0, 99) == ["new"]


def test_the_bounded_log_of_an_operation_says_what_it_left_out(tmp_path: Path) -> None:
    path = tmp_path / "op.log"
    writer = LogWriter(path, 20_000)
    for n in range(2000):
        writer.write([("compile", f"line {n}")])
    writer.close()
    lines = counted(path)
    texts = lines.read(0, len(lines))
    assert sum("bytes left out here" in text for text in texts) == 1
    assert texts[-1].endswith("\tcompile\tline 1999")
    stage = FilteredLines(lines, lambda line: "\tcompile\t" in line)
    while not stage.complete:
        stage.update()
    assert len(stage) == len(lines) - 1


def test_lines_are_shown_as_a_terminal_would_leave_them() -> None:
    assert clean_line("\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain") == "red and plain"
    assert clean_line("10 %\r50 %\r100 %\r") == "100 %"
    assert clean_line("a\x07b\x7fc\td") == "a·b·c\td"
    assert clean_line("x" * (MAX_LINE_CHARACTERS + 5)).endswith("[5 more characters]")


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"\xff\xfe\x00ok\nnext\n")
    assert counted(path).read(0, 2)[1] == "next"


@pytest.mark.parametrize(
    ("start", "backwards", "hit"),
    [(0, False, 150_000), (150_001, False, 150_000), (9, True, 150_000), (-1, True, 150_000)],
)
def test_search_goes_round(big: Path, start: int, backwards: bool, hit: int) -> None:
    assert find_line(counted(big), compile_search("^150000 ").search, start, backwards) == hit


def test_search_finds_the_nearest_and_tells_when_there_is_none(big: Path) -> None:
    lines = counted(big)
    assert find_line(lines, compile_search(" 3$").search, 100, False) == 101
    assert find_line(lines, compile_search(" 3$").search, 100, True) == 94
    assert find_line(lines, compile_search("nowhere").search, 0, False) is None
    assert find_line(lines, compile_search(" 3$").search, 0, False, stop=lambda: True) is None


def test_no_line_of_many_long_ones_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    width = MAX_LINE_CHARACTERS - 100
    path.write_text("".join(f"{n:05d} {'x' * width}\n" for n in range(600)) + "y" * (10 << 20) + "\nend\n")
    lines = counted(path)
    texts = lines.read(0, 602)
    assert [text[:5] for text in texts] == [*(f"{n:05d}" for n in range(600)), "yyyyy", "end"]
    assert {len(text) for text in texts[:600]} == {width + 6}
    assert find_line(lines, compile_search("^00599").search, 0, False) == 599


def test_upper_case_makes_case_matter() -> None:
    assert compile_search("error").search("ERROR")
    assert not compile_search("Error").search("ERROR")
    with pytest.raises(re.error):
        compile_search("(")


def test_a_filter_follows_a_log_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"{'bad' if n % 10 == 0 else 'good'} {n}\n" for n in range(10_000)))
    matching = FilteredLines(FileLines(path), compile_search("^bad").search)
    while not matching.complete:
        matching.update()
    assert len(matching) == 1000
    assert matching.read(998, 1000) == ["bad 9980", "bad 9990"]
    assert matching.number(999) == 9990
    with open(path, "a") as file:
        file.write("good x\nbad y\n")
    while matching.update():
        pass
    assert matching.tail(1) == ["bad y"]
    assert matching.number(1000) == 10_001


def test_a_spool_keeps_the_newest_and_counts_the_rest() -> None:
    spool = LineSpool(limit=10_000)
    for n in range(5000):
        spool.add([f"line {n:05d}"])
    assert spool.dropped + len(spool) == 5000
    assert 10_000 // 11 // 2 <= len(spool) <= 10_000 // 11 + 2
    assert spool.tail(1) == ["line 04999"]
    assert spool.read(0, 1) == [f"line {spool.dropped:05d}"]
    assert spool.read(0, len(spool)) == [f"line {n:05d}" for n in range(spool.dropped, 5000)]
    assert spool.update()
    assert not spool.update()


def test_a_filter_over_a_spool_survives_what_is_dropped() -> None:
    spool = LineSpool(limit=4000)
    matching = FilteredLines(spool, compile_search("7$").search)
    for n in range(1000):
        spool.add([f"line {n:05d}"])
        if n % 50 == 0:
            while matching.update():
                pass
    while matching.update():
        pass
    kept = [f"line {n:05d}" for n in range(spool.dropped, 1000) if n % 10 == 7]
    assert matching.read(0, len(matching)) == kept
    assert spool.read(matching.number(0), matching.number(0) + 1) == kept[:1]
