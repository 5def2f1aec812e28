"""Kind: foreign text reaches the terminal unchanged, and the terminal obeys it.

It applies to the output of containers, builds and operations, to the engine's words in errors, findings and tables, and
to JSON. Titles, the clipboard (OSC 52), colours, resets and the 8-bit forms of all of them are taken out, in a pipe as
well.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from pydantic import JsonValue

from core.api_schema.events import Event
from core.cli import output
from core.cli.events import event_command
from core.cli.follow import print_result
from core.errors import XaivaError
from core.findings import Finding, Level
from core.images.buildkit_progress import clean_output_line as build_line
from core.labels import image_tag
from core.log_lines import clean_line as log_line
from core.operations.log import LogWriter
from core.operations.model import Operation
from core.site import Site
from core.terminal_text import strip_controls
from tests.cli.conftest import Xaiva, small_site, xaiva  # noqa: F401 - fixtures
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.pty_session import PtySession

BEL, ST = "\x07", "\x1b\\"
SEQUENCES = {
    "title-bel": f"\x1b]0;owned{BEL}",
    "title-st": f"\x1b]2;owned{ST}",
    "clipboard": f"\x1b]52;c;b3duZWQ={BEL}",
    "link": f"\x1b]8;;https://example.org{ST}",
    "palette": f"\x1b]4;1;rgb:00/00/00{BEL}",
    "notification": f"\x1b]9;owned{ST}",
    "title-8-bit": "\x9d0;owned\x9c",
    "title-8-bit-bel": f"\x9d0;owned{BEL}",
    "colour": "\x1b[31m",
    "colour-colons": "\x1b[38:2::255:0:0m",
    "colour-8-bit": "\x9b31m",
    "cursor": "\x1b[2J\x1b[10;10H",
    "private-mode": "\x1b[?1049h\x1b[?25l",
    "soft-reset": "\x1b[!p",
    "device-status": "\x1b[6n\x1b[>c",
    "sixel": f"\x1bPq#0;2;0;0;0~{ST}",
    "settings-request": f"\x1bP$qm{ST}",
    "dcs-8-bit": "\x90q#0\x9c",
    "kitty-picture": f"\x1b_Ga=T,f=100;AAAA{ST}",
    "privacy-message": f"\x1b^owned{ST}",
    "start-of-string": f"\x1bXowned{ST}",
    "tmux-passthrough": f"\x1bPtmux;\x1b\x1b]0;owned{BEL}{ST}",
    "screen-title": f"\x1bkowned{ST}",
    "reset": "\x1bc",
    "character-set": "\x1b(0",
    "keypad": "\x1b=\x1b>",
    "save-cursor": "\x1b7\x1b8",
    "line-attributes": "\x1b#8",
    "shift-out": "\x0e\x0f",
    "bell": "\x07\x07",
    "backspace": "\x08",
    "delete": "\x7f",
    "nul": "\x00",
    "bare-c1": "\x84\x85\x8d",
    "lonely-escape": "\x1b",
}


@pytest.mark.parametrize("case", SEQUENCES)
def test_text_loses_what_a_terminal_obeys(case: str) -> None:
    text = f"before {SEQUENCES[case]}after"
    for cleaned in (strip_controls(text), build_line(text), XaivaError(text, text).why):
        assert "before " in cleaned
        assert cleaned.endswith("after") or case in ("tmux-passthrough", "lonely-escape")
        assert not _obeyed(cleaned)
    assert not _obeyed(log_line(text))
    assert not _obeyed(Finding(level=Level.NOTE, code="x", what=text, why=text).why)


def _obeyed(text: str) -> bool:
    return any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 for c in text)


@pytest.mark.parametrize("text", ["tab\there", "Größe 日本 🎥 é", "a\u00a0b", "[31m and ]0;x", "100 % \\x1b"])
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert strip_controls(text) == build_line(text) == text


def test_a_sequence_without_an_end_hides_nothing() -> None:
    assert strip_controls("a \x1b]0;the rest of the line") == "a 0;the rest of the line"
    assert strip_controls("a \x9d0;the rest of the line") == "a 0;the rest of the line"


def test_many_beginnings_take_no_long_time() -> None:
    for piece in ("\x1b]", "\x9d", "\x1bP", "\x9b", "\x1b[", "\x1b(", "\x9d\x1b"):
        assert not _obeyed(strip_controls(piece * 200_000))


@pytest.mark.parametrize("case", SEQUENCES)
def test_tables_and_documents(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("NAME",), [(f"a{SEQUENCES[case]}b",)])
    output.print_json({"name": f"a{SEQUENCES[case]}b"})
    printed = capsys.readouterr().out
    assert not _obeyed(printed)
    assert json.loads(printed.partition("\n")[2].partition("\n")[2])["name"] == f"a{SEQUENCES[case]}b"


@pytest.mark.parametrize("case", SEQUENCES)
def test_an_outcome_of_an_operation(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"a{SEQUENCES[case]}b"
    result: dict[str, JsonValue] = {"image": text, "packages": [text, {"what": text, "why": text}]}
    numbers = {"id": 1, "attempt": 1, "created": 1, "started": 1, "ended": 2, "seconds": 1, "pid": 1}
    words = {"kind": "build", "subject": "p", "key": "", "by": "", "log": ""}
    print_result(
        Operation.model_validate(
            {**numbers, **words, "options": {}, "state": "succeeded", "cancel_requested": False, "result": result}
        )
    )
    printed = capsys.readouterr().out
    assert "packages: a" in printed
    assert not _obeyed(printed)


@pytest.mark.parametrize("case", SEQUENCES)
def test_an_event_that_a_model_described(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"a{SEQUENCES[case]}b"
    words = {"camera": "gate", "camera_name": text, "type": text, "note": text, "analysis": {"description": text}}
    moments = dict.fromkeys(("started", "decided"), "2026-01-01T00:00:00Z")
    facts = [{"label": text, "score": 1, "box": [0, 0, 1, 1]}]
    event = Event.model_validate({"id": "1", "score": 1, "facts": facts, **words, **moments})
    service = SimpleNamespace(event=lambda _: event, event_stream=lambda: [event])
    monkeypatch.setattr("core.cli.events.client", lambda _: service)  # the answers alone matter
    for arguments in (["show", "1"], ["watch"]):
        printed = CliRunner().invoke(event_command, arguments, obj=service, catch_exceptions=False).output
        assert "gate" in printed
        assert not _obeyed(printed)


@pytest.mark.parametrize("case", SEQUENCES)
def test_logs_of_operations(case: str, tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", 1 << 20)
    writer.write([("stage", f"a{SEQUENCES[case]}b")])
    writer.close()
    assert not _obeyed((tmp_path / "log").read_text())


# -- on a real engine: a container that writes all of them

EVERYTHING = "".join(f"{name} {text} end\n" for name, text in SEQUENCES.items() if "\x00" not in text)
SECRET = "hunter2-hunter2"


@pytest.fixture
def shouting(engine: TestEngine, engine_site: Site) -> str:
    """A container that has written every sequence, and a secret with colours in the middle."""
    engine.docker("tag", BASE_IMAGE, image_tag("plain"))
    engine.docker("rm", "-f", "shouting", check=False)
    words = EVERYTHING.encode() + f"login {SECRET[:5]}\x1b[1m{SECRET[5:]}\n".encode() + b"raw \x9b31m \xff end\n"
    script = "printf '%b' '" + "".join(f"\\0{byte:03o}" for byte in words) + "'"
    engine.docker("run", "--name", "shouting", "-e", f"PASSWORD={SECRET}", BASE_IMAGE, "bash", "-c", script)
    return "shouting"


@pytest.mark.engine
@pytest.mark.parametrize("words", [[], ["--json"], ["--tail", "5"], ["--follow"]])
def test_logs_in_a_pipe(shouting: str, xaiva: Xaiva, engine: TestEngine, words: list[str]) -> None:  # noqa: F811
    printed = xaiva("logs", shouting, *words, env=engine.env).out
    assert not _obeyed(printed)
    assert SECRET not in printed
    assert "raw " in printed


@pytest.mark.engine
@pytest.mark.terminal
def test_logs_on_a_terminal(shouting: str, engine: TestEngine, engine_site: Site) -> None:
    words = [sys.executable, "-m", "core.cli", "--site", str(engine_site.root), "logs", shouting]
    with PtySession(words, env={**engine.env, "TERM": "xterm-256color"}) as session:
        assert session.wait_end() == 0
        screen = b"".join(data for _, data in session.chunks).decode()
    assert "lonely-escape" in screen
    assert not _obeyed(screen.replace("\r\n", "\n"))
