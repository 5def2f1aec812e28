"""However it ends, the terminal is left as it was, and soon; nothing goes on without one."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.support import until
from tests.support.pty_session import PtySession
from tui.terminal.output_buffer import OutputBuffer

ROOT = Path(__file__).parents[2]
OWN_MODES = {1000, 1002, 1003, 1006, 2004, 1004, 1049}  # mouse, paste, focus, the other screen
pytestmark = pytest.mark.terminal


def sample(what: str = "counting", *arguments: str, **options: object) -> PtySession:
    command = [sys.executable, "-m", "tests.terminal.sample", what, *arguments]
    return PtySession(command, columns=100, rows=30, cwd=ROOT, **options)  # type: ignore[arg-type]


def left_clean(session: PtySession) -> bool:
    return not session.modes & OWN_MODES and {25, 7} <= session.modes


def test_quit_gives_the_exit_code_though_a_thread_never_ends() -> None:
    with sample() as session:
        session.wait_for("count")
        assert session.modes >= {1049, 1000, 1006}
        session.press("x")
        assert session.wait_end() == 7
        assert left_clean(session)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_leaves_a_clean_terminal(number: signal.Signals) -> None:
    with sample() as session:
        session.wait_for("count")
        session.signal(number)
        assert session.wait_end() == 128 + number
        assert left_clean(session)


def test_signal_ends_it_even_while_something_holds_the_event_loop() -> None:
    with sample() as session:
        session.wait_for("count")
        session.press("b")
        session.wait_quiet(0.5)
        session.signal(signal.SIGTERM)
        assert session.wait_end() == 128 + signal.SIGTERM
        assert left_clean(session)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_vanished_terminal_ends_it(ignored: bool) -> None:
    """Also when SIGHUP was ignored at the start, as under nohup: only the end of the input tells then."""

    def prepare() -> None:
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with sample(before_exec=prepare) as session:
        session.wait_for("count")
        session.hang_up()
        assert session.process.wait(5) == 128 + signal.SIGHUP


def test_a_terminal_that_vanished_while_it_was_stopped_ends_it() -> None:
    with sample() as session:
        session.wait_for("count")
        session.stop()
        session.hang_up()
        session.signal(signal.SIGCONT)
        assert session.wait_end() == 128 + signal.SIGHUP


def test_stopped_by_force_and_continued_it_still_leaves_a_clean_terminal() -> None:
    with sample() as session:
        session.wait_for("count")
        modes = session.line_modes
        session.stop()
        session.signal(signal.SIGCONT)
        session.wait_for(lambda _: session.sent.count(b"\x1b[?1049h") == 2)  # it has taken the terminal over again
        session.press("x")
        assert session.wait_end() == 7
        assert left_clean(session)
        assert session.line_modes != modes
        assert session.line_modes & termios.ECHO


@pytest.mark.parametrize("answers", [True, False])
def test_a_full_line_never_holds_the_end(answers: bool) -> None:
    """A line of 8 kbit/s with a program that redraws everything all the time: it ends at once and cleanly."""
    with sample("flood", answers=answers) as session:
        session.wait_for("count")
        session.bits_per_second = 8000
        before = session.count
        while session.count < before + 1000:
            time.sleep(0.01)
        session.press("q")
        assert session.wait_end(5) == 0
        assert left_clean(session)


def test_a_line_that_takes_nothing_at_all_does_not_hold_the_end() -> None:
    with sample("flood") as session:
        session.wait_for("count")
        session.bits_per_second = 0.5
        session.press("q")
        assert session.wait_end(5) == 0


def test_the_newest_state_is_shown_on_a_slow_line() -> None:
    """Frames are not queued: what arrives after a while is what holds then, not what held long ago."""
    with sample("flood", bits_per_second=64_000) as session:

        def count() -> int:
            match = re.match(r"count (\d+) ", session.text)
            return int(match[1]) if match else 0

        changes = until(count, lambda count: count >= 100)
        whole_frames = session.count / (80 * 24)  # each change is one of all cells
        assert whole_frames < changes / 2


def test_a_terminal_that_never_answers_is_drawn_on_all_the_same() -> None:
    with sample(answers=False) as session:
        session.wait_for("count 000020")


def test_a_terminal_that_stops_answering_is_drawn_on_all_the_same() -> None:
    with sample("flood") as session:
        session.wait_for("count")
        session._answers = False
        now = int(session.text.split()[1])
        session.wait_for(lambda text: int(text.split()[1]) > now + 100)


def test_a_shell_in_between_has_the_terminal_to_itself() -> None:
    with sample() as session:
        session.wait_for("count")
        session.press("s")
        session.wait_for("IN-THE-SHELL")
        assert left_clean(session)
        session.wait_quiet(0.4)
        session.press("yes", "enter")
        session.wait_for(lambda text: "count" in text and "IN-THE-SHELL" not in text)
        session.press("q")
        assert session.wait_end() == 0
        assert left_clean(session)


def test_what_others_print_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "state" / "console.log"
    with sample("counting", str(log)) as session:
        session.wait_for("count")
        session.press("p")
        session.wait_for("count 0000")
        session.press("q")
        assert session.wait_end() == 0
    printed = log.read_text()
    assert "STRAY-STDERR" in printed
    assert "STRAY-CHILD" in printed
    assert b"STRAY" not in session.sent


def test_a_fault_of_ours_is_said_in_words_and_kept_in_full(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    with sample("counting", str(log)) as session:
        session.wait_for("count")
        session.press("f")
        assert session.wait_end() == 1
        assert left_clean(session)
        assert "The console has failed: RuntimeError: a fault of ours" in session.text
        assert "Traceback" not in session.text
    assert "in action_fail" in log.read_text()


def test_a_resized_terminal_is_drawn_anew() -> None:
    with sample() as session:
        session.wait_for("at 100x30")
        session.resize(61, 17)
        session.wait_for("at 61x17")
        session.resize(140, 50)
        session.wait_for("at 140x50")


def test_a_still_screen_sends_nothing() -> None:
    with sample("still") as session:
        session.wait_for("count")
        session.wait_quiet(1.5)


async def test_a_signal_in_the_middle_of_a_write_may_finish_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler of SIGTSTP or SIGCONT runs between two steps of whatever the event loop is doing."""
    reader, writer = os.pipe()
    buffer = OutputBuffer(writer, lambda: None, lambda: None)
    write = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        count = write(descriptor, data[:3])
        buffer.discard()
        buffer.finish(0)
        return count

    monkeypatch.setattr("tui.terminal.output_buffer.os.write", interrupted)
    buffer.write("a frame")
    assert os.read(reader, 100) == b"a f"
    os.close(reader)
    os.close(writer)
