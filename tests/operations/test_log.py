"""The log is readable and bounded, and says how much was dropped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.operations.ledger import Ledger
from core.operations.log import MAX_LINE_CHARACTERS, LogReader, LogWriter, tail
from core.operations.model import TRACEBACK, OperationState
from core.redaction import redact_text, set_secrets
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.support import KINDS


def test_lines_come_back_as_they_were(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", 1 << 20)
    writer.write([("one", "first"), ("", "no stage\twith a tab"), ("ü", "last ü")])
    writer.close()
    lines = LogReader(tmp_path / "log").read()
    assert [(line.stage, line.text) for line in lines] == [
        ("one", "first"),
        ("", "no stage\twith a tab"),
        ("ü", "last ü"),
    ]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", line.clock) for line in lines)
    assert tail(tmp_path / "log", 2) == ["no stage\twith a tab", "last ü"]
    assert tail(tmp_path / "none", 2) == []


def test_the_last_lines_are_whole_and_hold_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LogWriter(path, 4 << 20)
    long = "긴" * MAX_LINE_CHARACTERS
    writer.write([("", "first"), (TRACEBACK, long), ("", long), (TRACEBACK, "x" * 2_000), ("", "last")])
    assert tail(path, 2) == [long, "last"]
    writer.write([(TRACEBACK, long), (TRACEBACK, long), (TRACEBACK, long)])
    assert tail(path, 2) == []
    writer.close()


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("10 %\r50 %\r100 %\r", "100 %"),
        ("\x1b]0;title\x07text", "text"),
        ("bell\x07 null\x00 two\nlines", "bell· null· two·lines"),
        ("tab\tstays", "tab\tstays"),
        ("x" * (MAX_LINE_CHARACTERS + 7), "x" * MAX_LINE_CHARACTERS + " [7 more characters]"),
    ],
)
def test_a_line_is_one_line_that_cannot_act_on_the_readers_terminal(tmp_path: Path, raw: str, cleaned: str) -> None:
    writer = LogWriter(tmp_path / "log", 1 << 20)
    writer.write([("stage", raw)])
    writer.close()
    assert [(line.stage, line.text) for line in LogReader(tmp_path / "log").read()] == [("stage", cleaned)]


def test_head_and_tail_stay_within_the_limit_and_the_gap_is_counted(tmp_path: Path) -> None:
    path, limit = tmp_path / "log", 64 << 10
    writer = LogWriter(path, limit)
    written = 0
    for number in range(20_000):
        writer.write([("s", f"line {number:06d}")])
        written += len("00:00:00\ts\tline 000000\n")
        assert path.stat().st_size <= limit
    writer.close()
    lines = LogReader(path).read()
    gaps = [line.text for line in lines if line.clock == "--:--:--"]
    assert len(gaps) == 1
    left_out = int(gaps[0][1:].split()[0])
    numbers = [int(line.text.split()[1]) for line in lines if line.clock != "--:--:--"]
    assert numbers[0] == 0
    assert numbers[-1] == 19_999
    assert numbers == sorted(set(numbers))
    assert left_out + len(numbers) * len("00:00:00\ts\tline 000000\n") == written
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_reader_who_keeps_up_misses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer, reader = LogWriter(path, 32 << 10), LogReader(path)
    numbers: list[int] = []
    for number in range(5_000):
        writer.write([("", f"line {number}")])
        if number % 100 == 99:
            while lines := reader.read():
                numbers += [int(line.text.split()[1]) for line in lines if line.clock != "--:--:--"]
    assert numbers == list(range(5_000))


def test_an_offset_finds_its_place_again_after_the_middle_was_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LogWriter(path, 32 << 10)
    whole = LogReader(path)
    offsets: dict[int, int] = {}
    for number in range(5_000):
        writer.write([("", f"line {number}")])
        for line in whole.read():
            offsets[int(line.text.split()[1])] = whole.offset
    for number in (10, 4_990):
        lines = LogReader(path, offsets[number]).read()
        assert lines[0].text == f"line {number + 1}"
    dropped = LogReader(path, offsets[2_500]).read()
    assert "left out here" in dropped[0].text
    assert LogReader(path, whole.offset).read() == []


def test_an_operation_that_pours_stays_within_the_sites_limit(site: Site) -> None:
    settings = site.settings.model_copy(
        update={"operations": site.settings.operations.model_copy(update={"log_limit_mb": 1})}
    )
    (site.root / "site.toml").write_text("[operations]\nlog_limit_mb = 1\n")
    ledger = site_ledger(Site(site.root, settings, site.env), KINDS)
    operation = ledger.wait(ledger.start("pour", "thing", {"lines": 20_000}).id, 60)
    assert operation.state is OperationState.DONE
    text = Path(operation.log).read_text()
    assert len(text) <= 1 << 20
    assert "line 0 " in text
    assert "left out here" in text
    assert "printed" in text


def test_two_followers_see_the_same_and_may_go_on_from_an_offset(ledger: Ledger) -> None:
    operation = ledger.start("pour", "thing", {"lines": 3_000})
    first = [line for update in ledger.follow(operation.id, poll=0.01) for line in update.lines]
    updates = list(ledger.follow(operation.id))
    second = [line for update in updates for line in update.lines]
    assert first == second
    assert sum(line.stage == "pour" for line in first) == 3_000
    assert next(ledger.follow(operation.id, updates[-1].offset)).lines == []


def test_only_secret_values_are_masked() -> None:
    set_secrets({"ACME_INDEX_TOKEN": "abcdef123", "HOME": "/home/someone", "SHORT_TOKEN": "abc"})
    assert redact_text("abcdef123 in /home/someone abc") == "*** in /home/someone abc"
    assert redact_text("git+https://me:pw@host/x http://a.host/a@b") == "git+https://***@host/x http://a.host/***"
    assert redact_text("https://a-token@host/x ssh://git@host/y") == "https://***@host/x ssh://git@host/y"
