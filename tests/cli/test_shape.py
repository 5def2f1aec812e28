"""The command line as a whole: it starts fast, its table is correct, and every command can print JSON."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from core.cli import crash_log
from core.cli.app import COMMANDS, root, run
from core.site import Site
from tests.cli.conftest import Xaiva, command

HEAVY = {
    "docker",
    "httpx",
    "textual",
    "pydantic",
    "rich",
    "jinja2",
    "sqlite3",
    "psutil",
    "tui",
    "tui.console",
    "core.site",
    "core.operations",
}


@pytest.mark.parametrize("entry", ["core.cli", "tui.__main__"])
def test_help_loads_nothing_heavy(entry: str) -> None:
    code = (
        f"import sys; from {entry} import main\n"
        "sys.argv[1:] = ['--help']\n"
        "assert main() == 0\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Exit codes" in done.stdout
    assert not HEAVY - {entry.partition(".")[0]} & set(done.stderr.split())


def test_the_commands_alone_open_no_console(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "`python -m core.cli` has only the commands" in capsys.readouterr().err


def _commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, (*words, name))
    else:
        yield words, command


ALL = dict(_commands(root))


def test_the_table_is_true() -> None:
    context = click.Context(root)
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize("words", [words for words in ALL if words not in (("exec",), ("completion",))], ids=" ".join)
def test_every_command_has_help_and_speaks_json(words: tuple[str, ...]) -> None:
    command = ALL[words]
    assert command.help
    assert any("--json" in parameter.opts for parameter in command.params), words


def test_no_command_is_lost() -> None:
    expected = (
        "preset list,preset show,preset new,preset check,preset suggest,preset schema,preset rename,preset delete,"
        "preset duplicate,lock,sync,verify,build,builds list,builds show,builds compare,launch,ps,logs,stop,restart,rm,"
        "exec,inspect,stats,ops list,ops follow,ops cancel,ops show,gpu,host,camera list,camera add,camera edit,"
        "camera remove,camera start,camera stop,camera restart,camera learn,camera suspend,camera test,"
        "camera snapshot,camera watch,event list,event show,event ack,event protect,event export,event clip,"
        "event watch,user list,user add,user edit,user remove,rule list,rule add,rule edit,rule remove,"
        "engine images,engine volumes,engine networks,engine cache,engine events,"
        "rule test,service,login,logout,doctor,completion"
    )
    assert {tuple(words.split()) for words in expected.split(",")} <= set(ALL)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(xaiva: Xaiva, shell: str) -> None:
    done = xaiva("completion", shell)
    assert done.code == 0
    assert "_XAIVA_COMPLETE" in done.out


def test_completion_knows_commands_and_presets(xaiva: Xaiva, site: Site) -> None:
    complete = BashComplete(root, {}, "xaiva", "_XAIVA_COMPLETE")
    assert "verify" in [item.value for item in complete.get_completions([], "ver")]
    words = ["--site", str(site.root), "lock"]
    assert [item.value for item in complete.get_completions(words, "sm")] == ["small"]


@pytest.mark.parametrize(
    "words", [["sing"], ["lock"], ["sync", "small", "--loud"], ["ops", "list", "--limit", "-1"], ["completion", "csh"]]
)
def test_bad_words_end_with_two(xaiva: Xaiva, words: list[str]) -> None:
    result = xaiva(*words)
    assert result.code == 2
    assert "error: " in result.err
    assert "--help" in result.err
    json_result = xaiva(*words, "--json")
    assert json_result.code == 2
    assert json_result.document["error"]["exit_code"] == 2


def test_a_group_alone_says_what_it_knows(xaiva: Xaiva) -> None:
    result = xaiva("ops")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Usage: xaiva ops")


def test_a_site_that_is_not_there(xaiva: Xaiva, site: Site) -> None:
    site.root.rename(site.root.with_name("moved"))
    done = xaiva("ops", "list")
    assert done.code == 2
    assert "there is no such folder" in done.err


@pytest.mark.parametrize("words", ["preset list", "preset delete small", "preset new wrong --file -", "sing"])
def test_a_process_of_its_own_says_and_takes_the_same(xaiva: Xaiva, xaiva_process: Xaiva, words: str) -> None:
    result = xaiva_process(*words.split(), stdin='{"base_image": 7}\n')
    assert result == xaiva(*words.split(), stdin='{"base_image": 7}\n')


def test_what_a_terminal_cannot_show_and_names_that_are_no_text_are_no_error(
    xaiva: Xaiva, xaiva_process: Xaiva, tmp_path: Path
) -> None:
    result = xaiva_process("preset", "check", "small", env={"PYTHONIOENCODING": "ascii"})
    assert result.code in (0, 3)
    strange = os.fsdecode(b"\xff")
    assert xaiva_process("preset", "show", strange, "--json").document["error"]["what"]
    assert xaiva(strange, "--json").document["error"]["why"] == f"no such command {strange!r}"
    assert crash_log.write_crash_log(ValueError(strange), ["--site", str(tmp_path), strange])


def test_an_unexpected_error_is_one_sentence_and_its_traceback_a_file(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from core.cli import app
    from core.operations.ledger import Ledger

    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("a wire came loose")

    monkeypatch.setattr(Ledger, "list", breaks)
    monkeypatch.setenv("SOME_TOKEN", "loose")
    assert app.run(["--site", str(site.root), "ops", "list"]) == 1
    error_text = capsys.readouterr().err
    assert "RuntimeError: a wire came loose" in error_text
    assert "Traceback" not in error_text
    log = (site.state / "errors.log").read_text()
    assert "Traceback" in log
    assert "a wire came loose" in log
    assert (site.state / "errors.log").stat().st_mode & 0o077 == 0


def test_a_reader_that_goes_away_is_no_error(site: Site, xaiva: Xaiva) -> None:
    with subprocess.Popen(
        command(site, "preset", "schema"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
