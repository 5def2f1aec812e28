"""An output that takes nothing is an error in one line with an exit code: never "unexpected", never silence with 0.

It applies to every command, with and without `--json`: a full disk or a closed stream behind the standard output, the
error output or the standard input. A reader that leaves early (`| head`) is silent, as with other programs, but not 0.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import main
from core.cli.app import COMMANDS
from core.site import Site
from core.site_operations import site_ledger
from tests.support.artifacts import write_lock_of

FAILED = "error: The output cannot be written: "
FULL, CLOSED = "No space left on device\n  → free some space there", "standard output is closed\n"

DOCUMENTS = ["preset list", "ops list", "builds list", "doctor", "host", "gpu", "preset schema"]
COMMAND_LINES = [
    "--help",
    *(f"{name} --help" for name in COMMANDS),
    *DOCUMENTS,
    *(f"{words} --json" for words in DOCUMENTS),
    "completion bash",
    "nosuch --json",
    "preset show nosuch --json",
    "camera list --json",
]


def _xaiva(site: Site, words: str, streams: dict[int, str | None], errors: Path) -> tuple[int, str]:
    """Run a command with other standard streams, or closed ones. Returns its exit code and error output."""
    before = sys.stdin, sys.stdout, sys.stderr
    saved = {number: os.dup(number) for number in range(3)}
    try:
        for number, name in {2: str(errors), **streams}.items():
            os.close(number)
            if name:
                os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
            else:
                setattr(sys, ("stdin", "stdout", "stderr")[number], None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["xaiva", "--site", str(site.root), *words.split()])
            code = main()
            for stream in {sys.stdout, sys.stderr} - set(before):
                stream.close()  # what it still holds goes where it was to go, as at the end of a process
    finally:
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)
        sys.stdin, sys.stdout, sys.stderr = before
    return code, errors.read_text() if errors.exists() else ""


@pytest.mark.parametrize(("output", "why"), [("/dev/full", FULL), (None, CLOSED)], ids=["full", "closed"])
@pytest.mark.parametrize("words", COMMAND_LINES)
def test_a_standard_output_that_takes_nothing(
    site: Site, tmp_path: Path, words: str, output: str | None, why: str
) -> None:
    code, errors = _xaiva(site, words, {1: output}, tmp_path / "errors")
    assert code == 1
    assert errors.startswith(FAILED + why)
    assert not (site.root / ".xaiva/errors.log").exists()


@pytest.mark.parametrize("error_output", ["/dev/full", None], ids=["full", "closed"])
@pytest.mark.parametrize(("words", "expected"), [("preset show nosuch", 2), ("nosuch", 2), ("preset list", 0)])
def test_an_error_output_that_takes_nothing(
    site: Site, tmp_path: Path, words: str, expected: int, error_output: str | None
) -> None:
    code, _ = _xaiva(site, words, {1: os.devnull, 2: error_output}, tmp_path / "errors")
    assert code == expected


def test_no_standard_input_answers_a_question_with_no(site: Site, tmp_path: Path) -> None:
    code, errors = _xaiva(site, "preset delete any", {0: None, 1: os.devnull}, tmp_path / "errors")
    assert code == 130
    assert "unexpected" not in errors


@pytest.mark.parametrize("streams", [">/dev/full", ">&-", ">/dev/full 2>/dev/full", ">&- 2>&- <&-", "| true"])
def test_the_interpreter_adds_nothing_at_its_end(site: Site, streams: str) -> None:
    """The same in a process of its own, with what stays in its buffers."""
    script = f'{{ "$0" -m core.cli --site "$1" preset schema --json; echo "code $?" >&9; }} {streams}'
    script = f'exec 9>"$1/code"; {script}'
    done = subprocess.run(["sh", "-c", script, sys.executable, site.root], capture_output=True, text=True, check=False)
    assert (site.root / "code").read_text() == "code 1\n"
    assert "Exception" not in done.stderr
    assert "Traceback" not in done.stderr


def test_work_whose_lines_cannot_be_written_goes_on(site: Site, tmp_path: Path) -> None:
    (site.presets / "any.json").write_text('{"base_image": "debian:bookworm-slim", "python_version": "3.11"}')
    write_lock_of(site, "any", [])
    code, errors = _xaiva(site, "verify any", {1: "/dev/full"}, tmp_path / "errors")
    assert code == 1
    (operation,) = site_ledger(site).list(1)
    assert f"operation {operation.id} goes on; follow it with: xaiva ops follow {operation.id}\n{FAILED}" in errors
    site_ledger(site).wait(operation.id, timeout=60)
