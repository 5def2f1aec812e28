"""A value given twice in a file or on a command line: the last one wins, and the other is silently dropped.

It applies to options of the command line, to keys of the JSON and TOML that a person writes, and to the cameras that a
service is started with. What may be repeated, and a flag that says the same again, stay. `test_query_keys.py` holds the
same of requests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from core.cli.app import root
from core.cli.app import run as xaiva
from core.cli.single_use_options import Command
from core.errors import InputError
from core.inference.flows.flow_file import read_flows
from core.inference.models.onnx_detector import read_description
from core.inference.startup_cameras import cameras_from_environment, parse_camera_entries, read_camera_file
from core.presets.validation import validate_text
from core.site import Site

OPTIONS = {
    "side by side": ("event list --limit 1 --limit 2", "xaiva event list --limit"),
    "the same value": ("event list --limit 1 --limit 1", "xaiva event list --limit"),
    "with and without =": ("event list --limit=1 --sort time --limit 2", "xaiva event list --limit"),
    "not side by side": ("launch p --name a --wait --name b", "xaiva launch --name"),
    "yes and no": ("event list --acknowledged --unacknowledged", "xaiva event list --acknowledged"),
    "before a command": ("--site a --site b ps", "xaiva --site"),
    "behind an argument": ("user add ada --role viewer --role admin", "xaiva user add --role"),
    "a line of a log": ("logs c --tail 1 --tail=2", "xaiva logs --tail"),
}


@pytest.mark.parametrize(("words", "what"), OPTIONS.values(), ids=OPTIONS.keys())
def test_an_option_is_given_once(words: str, what: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert xaiva([*words.split(), "--json"]) == 2
    error = json.loads(capfd.readouterr().out)["error"]
    assert (error["what"], error["why"]) == (what, "it was given 2 times")


REPEATED = ("preset schema --help", "event list --json --json --help", "preset check p --gpu a --gpu b --help")


@pytest.mark.parametrize("words", REPEATED)
def test_what_may_be_repeated_is(words: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert xaiva(words.split()) == 0
    assert "Usage:" in capfd.readouterr().out


def commands(group: click.Group) -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


def test_every_command_looks_at_it() -> None:
    assert [command.name for command in commands(root) if not isinstance(command, Command)] == []


# -- files and what a service is started with ---


def config(folder: Path, text: str) -> None:
    (folder / "cameras.json").write_text(text)
    read_camera_file(folder / "cameras.json")


def flows(folder: Path, text: str) -> None:
    file = folder / ("flows.json" if text.startswith("{") else "flows.toml")
    file.write_text(text)
    read_flows(file)


def site(folder: Path, text: str) -> None:
    (folder / "site.toml").write_text(text)
    Site.open(folder, {})


def model(folder: Path, text: str) -> None:
    (folder / "m.json").write_text(text)
    read_description(folder / "m.json")


def option(_: Path, text: str) -> None:
    parse_camera_entries(text.split(), "--camera")


def variable(_: Path, text: str) -> None:
    cameras_from_environment({"XAIVA_CAMERAS": text})


A, B = '{"id": "a", "source": "rtsp://h/1"', '{"id": "a", "source": "rtsp://h/2"}'
STEP = '"steps": [{"kind": "notify"}]'
FILES: dict[str, tuple[Callable[[Path, str], None], str, str]] = {
    "a camera's key": (config, f'{{"cameras": [{A}, "source": "rtsp://h/2"}}]}}', '"source"'),
    "the list": (config, f'{{"cameras": [{A}}}], "cameras": []}}', '"cameras"'),
    "written otherwise": (config, f'{{"cameras": [{A}, "\\u0069d": "b"}}]}}', '"id"'),
    "two cameras of an id": (config, f'{{"cameras": [{A}}}, {B}]}}', "cameras.json: a"),
    "--camera": (option, "a=rtsp://h/1 b=rtsp://h/1 a=rtsp://h/2", "--camera: a"),
    "XAIVA_CAMERAS": (variable, "a=rtsp://h/1 a=rtsp://h/2", "XAIVA_CAMERAS: a"),
    "a flow": (flows, f'{{"night": {{{STEP}}}, "night": {{{STEP}}}}}', '"night"'),
    "a step's key": (flows, '{"night": {"steps": [{"kind": "notify", "kind": "keep_clip"}]}}', '"kind"'),
    "a flow in TOML": (flows, "[night]\nsteps = []\n[night]\nsteps = []\n", "night"),
    "a model's description": (model, '{"input": {"width": 1, "width": 2}}', '"width"'),
    "site.toml": (site, 'name = "a"\nname = "b"\n', "at line 2"),
    "a table of site.toml": (site, "[sync]\nretries = 1\n[sync]\nretries = 2\n", "at line 3"),
}


@pytest.mark.parametrize(("read", "text", "named"), FILES.values(), ids=FILES.keys())
def test_a_key_is_given_once(read: Callable[[Path, str], None], text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, text)
    assert named in refused.value.summary
    assert "rtsp://" not in str(refused.value)


def test_a_preset_names_the_key_and_both_lines(tmp_path: Path) -> None:
    text = '{"name": "a",\n "layers": [{"name": "x",\n "name": "y"}]}'
    (problem, *_) = [problem for problem in validate_text(text, tmp_path / "a.json") if "is already " in problem.what]
    assert (problem.field, problem.line) == ("layers[0].name", 3)
    assert "line 2" in problem.what
