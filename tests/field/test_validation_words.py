"""A value that cannot be used is explained in the raw words of a validator, differently at every door.

The field, what was given (no secret) and what is expected are said in the same plain words wherever a value comes in:
the API's bodies, paths, queries and headers, the command lines, forms of the console, `site.toml`, the service's
variables, presets, rows of a site's tables, cameras given at the start, flows, models' descriptions, locks, events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from core.api_schema import CameraRequest, Channel, EventQuery, RuleRequest, UserRequest, Zone
from core.artifacts.lock_store import read_lock
from core.cli.app import run
from core.errors import InputError
from core.inference import __main__ as service_command
from core.inference import startup_cameras
from core.inference.events.spool_records import _validated
from core.inference.flows.flow_file import read_flows
from core.inference.models.onnx_detector import read_description
from core.inference.settings import read_settings
from core.presets.compat import facts
from core.presets.validation import validate_text
from core.service_client import text_formats
from core.site import Site
from core.validation_errors import every_problem
from tests.api.serving import TOKEN, Running, served
from tui.screens.field_form import Field, FieldForm

RAW = re.compile(
    r"Input should|String should|Value error|Field required|not permitted|Invalid value|invalid \w+ value"
    r"|valid (integer|number|string|float)|unable to parse|No such option|Missing (argument|option)|pydantic"
)
SECRET = "hunter2"
ID = "write at most 63 characters: letters, digits, _ . -; the first is a letter or digit"
NAME = ID.replace(". -", ". @ -")
MOMENT = "write it as 2026-12-31T23:59:59Z"


def fitting(words: str, shown: str) -> None:
    """The words are there; a validator's own, and a secret, are not."""
    assert words in shown
    assert not RAW.search(shown), shown
    assert SECRET not in shown


# -- the API -----------------------------------------------------------------------------------------------------------

CAMERA = {"id": "gate", "source": f"rtsp://u:{SECRET}@127.0.0.1:9/x"}
API: list[tuple[str, str, object, str, str]] = [  # method, path, body, field, why
    ("POST", "/cameras", {**CAMERA, "id": "a b"}, "body.id", f'"a b" is not allowed here: {ID}'),
    ("POST", "/cameras", {**CAMERA, "id": CAMERA["source"]}, "body.id", f"it is not allowed here: {ID}"),
    ("POST", "/cameras", {**CAMERA, "id": 5}, "body.id", "it is a number, not a string"),
    ("POST", "/cameras", {**CAMERA, "fps": "5"}, "body.fps", "it is a string, not a number"),
    ("POST", "/cameras", {**CAMERA, "fps": 0}, "body.fps", "0 is too small: it must be more than 0"),
    ("POST", "/cameras", {**CAMERA, "loop": 1}, "body.loop", "it is a number, not true or false"),
    ("POST", "/cameras", {**CAMERA, "frob": 1}, "body.frob", "there is no such key"),
    ("POST", "/cameras", {**CAMERA, "\ud800": 1}, "body", "it is not valid Unicode text"),
    ("POST", "/cameras", {**CAMERA, f"rtsp://u:{SECRET}@h": 1}, "body.…", "there is no such key"),
    ("POST", "/cameras", {**CAMERA, "id": "\ud800"}, "body.id", "it is not valid Unicode text"),
    ("POST", "/cameras", {**CAMERA, "id": "a\x1b[31m"}, "body.id", "is not allowed here"),
    ("POST", "/cameras", {**CAMERA, "fps": 10**100}, "body.fps", "it is too large: it must be at most 60"),
    ("POST", "/cameras", {"id": "gate"}, "body.source", "it is missing"),
    ("POST", "/cameras", {**CAMERA, "name": "x" * 300}, "body.name", "it is longer than 200 characters"),
    ("POST", "/cameras", {**CAMERA, "masks": [[[0, 0]]]}, "body.masks[0]", "it has fewer than 3 items"),
    ("POST", "/cameras", {**CAMERA, "priority": "loud"}, "body.priority", "write low, normal, high or critical"),
    ("POST", "/cameras", {**CAMERA, "detection": []}, "body.detection", "it is a list, not an object"),
    ("POST", "/cameras", {**CAMERA, "schedule": [{"start": "25:00"}]}, "body.schedule[0].start", '"25:00" cannot be'),
    ("POST", "/cameras", [], "body", "it is a list, not an object"),
    ("POST", "/cameras", b'{"id": "gate",}', "body", "it is not valid JSON: "),
    ("POST", "/cameras", b"", "body", "it is missing"),
    ("POST", "/users", {"name": "ann", "password": SECRET}, "body.password", "it is shorter than 10 characters"),
    ("POST", "/users", {"name": "an n", "password": SECRET * 2}, "body.name", f'"an n" is not allowed here: {NAME}'),
    ("POST", "/cameras/gate/learn", {"minutes": "x"}, "body.minutes", "it is a string, not a number"),
    ("PUT", "/cameras/a%20b/settings", CAMERA, "path.camera", f'"a b" is not allowed here: {ID}'),
    ("GET", "/events?limit=abc", None, "query.limit", '"abc" is not a whole number'),
    ("GET", "/events?limit=0", None, "query.limit", '"0" is too small: it must be at least 1'),
    ("GET", "/events?since=yesterday", None, "query.since", f'"yesterday" cannot be used: {MOMENT}'),
    ("GET", "/events?since=2026-13-01T00:00:00Z", None, "query.since", f"is not a date and time: {MOMENT}"),
    ("GET", "/events?since=2026-01-01T00:00", None, "query.since", f"not a date and time with a time zone: {MOMENT}"),
    ("GET", "/events?sort=loud", None, "query.sort", '"loud" is not allowed here: write time or score'),
    ("GET", "/events?acknowledged=maybe", None, "query.acknowledged", '"maybe" is not true or false'),
    ("GET", "/events?frob=1", None, "query.frob", "there is no such key"),
    ("GET", "/statistics?first=2026-02-31&last=2026-03-01", None, "query.first", "write it as 2026-12-31"),
    ("GET", "/status/stream?interval=soon", None, "query.interval", '"soon" is not a number'),
    ("GET", "/deliveries?limit=x", None, "query.limit", '"x" is not a whole number'),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.mark.parametrize(("method", "path", "body", "field", "why"), API, ids=range(len(API)))
def test_the_api_says_it(running: Running, method: str, path: str, body: object, field: str, why: str) -> None:
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    answer = httpx.request(method, running.url + path, content=content, headers=headers, timeout=30)
    assert answer.status_code == 422, answer.text
    assert answer.json()["what"] == field
    fitting(why, answer.json()["why"])


def test_a_header_and_a_body_of_another_kind(running: Running) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{running.url}/cameras", content=b"id=gate", headers=headers, timeout=30)
    fitting("it is not sent as JSON: set the header Content-Type: application/json", answer.json()["why"])


# -- command lines -----------------------------------------------------------------------------------------------------

COMMANDS = [  # a command line, and the two sentences of its error
    ("camera learn gate --minutes abc", 'xaiva camera learn --minutes: "abc" is not a number'),
    ("event list --limit x", 'xaiva event list --limit: "x" is not a whole number'),
    ("event list --limit 0", "xaiva event list --limit: 0 is too small: it must be at least 1"),
    ("event list --limit 5000", "xaiva event list --limit: 5000 is too large: it must be at most 1000"),
    ("event list --sort loud", 'xaiva event list --sort: "loud" is not allowed here: write time or score'),
    ("event list --since never", "Time never: it is neither an age, a day nor a time"),
    ("launch p --timeout -3", "xaiva launch --timeout: -3 is too small: it must be at least 0"),
    ("ops show abc", 'xaiva ops show ID: "abc" is not a whole number'),
    ("ops show", "xaiva ops show ID: it is missing"),
    ("lock --frob", "xaiva lock --frob: there is no such option"),
    ("camera add --fp 5", "xaiva camera add --fp: there is no such option; did you mean --fps"),
    ("completion csh", '"csh" is not allowed here: write bash, zsh or fish'),
    ("frob", "xaiva: no such command 'frob'"),  # plain already: its own words
    ("camera add g/1 rtsp://127.0.0.1/x", f'id: "g/1" is not allowed here: {ID}'),
    ("camera add gate rtsp://127.0.0.1/x --fps 0", "fps: 0 is too small: it must be more than 0"),
    ("camera add gate rtsp://127.0.0.1/x --schedule mo-xx", "xx is not a day"),
    (
        f"rule add n webhook:http://u:{SECRET}@h/ secret=low",
        'secret variable: "low" is not allowed here',
    ),
]


@pytest.mark.parametrize(("line", "words"), COMMANDS, ids=[line.split(SECRET)[0] for line, _ in COMMANDS])
def test_the_command_line_says_it(capsys: pytest.CaptureFixture[str], site: Site, line: str, words: str) -> None:
    assert run(["--site", str(site.root), "--service", "http://127.0.0.1:9", *line.split()]) == 2
    fitting(words, capsys.readouterr().err)


@pytest.mark.parametrize("port", ["abc", "70000", "-1", "8.5", ""])
def test_the_services_command_says_it(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as ended:
        service_command.main(["serve", f"--port={port}"])
    assert ended.value.code == 2
    fitting("is not a port: write a number from 0 to 65535", capsys.readouterr().err)


# -- files and variables -----------------------------------------------------------------------------------------------


def site_toml(folder: Path, text: str) -> None:
    (folder / "site.toml").write_text(text)
    Site.open(folder)


def service_variable(folder: Path, text: str) -> None:
    name, _, value = text.partition("=")
    read_settings({name: value}, folder)


def cameras_file(folder: Path, text: str) -> None:
    (folder / "cameras.json").write_text(text)
    startup_cameras.read_camera_file(folder / "cameras.json")


def cameras_variable(_folder: Path, text: str) -> None:
    startup_cameras.cameras_from_environment({"XAIVA_CAMERAS": text})


def flows_file(folder: Path, text: str) -> None:
    (folder / "flows.json").write_text(text)
    read_flows(folder / "flows.json")


def model_description(folder: Path, text: str) -> None:
    (folder / "m.json").write_text(text)
    read_description(folder / "m.json")


def lock_file(folder: Path, text: str) -> None:
    (folder / "artifacts" / "p").mkdir(parents=True)
    (folder / "artifacts" / "p" / "lock.json").write_text(text)
    read_lock(Site.open(folder), "p")


def preset_file(folder: Path, text: str) -> None:
    problems = validate_text('{"base_image": "debian:12", "python_version": "3.11", %s}' % text, folder / "p.json")  # noqa: UP031
    raise InputError("preset", "; ".join(map(str, problems)))


def table_row(folder: Path, text: str) -> None:
    (folder / "gpus.json").write_text('{"rows": [%s]}' % text)  # noqa: UP031
    (problem,) = facts.load_facts(folder).problems
    raise InputError(str(problem.path), problem.what)


def event(_folder: Path, text: str) -> None:
    _validated(json.loads(text))


FILES: list[tuple[Callable[[Path, str], None], str, str]] = [
    (site_toml, "[service]\nurll = 5", "service.urll: there is no such key"),
    (site_toml, "[service]\nurl = 5", "service.url: it is a number, not a string"),
    (site_toml, "service = 5", "service: it is a number, not an object"),
    (service_variable, "XAIVA_MAX_CAMERAS=many", 'XAIVA_MAX_CAMERAS: "many" is not a whole number'),
    (service_variable, "XAIVA_MAX_CAMERAS=0", 'XAIVA_MAX_CAMERAS: "0" is too small: it must be at least 1'),
    (service_variable, "XAIVA_CLIPS_DAYS=a week", 'XAIVA_CLIPS_DAYS: "a week" is not a number'),
    (service_variable, "XAIVA_ANALYSER_TIMEOUT=inf", '"inf" is not a finite number'),
    (service_variable, "XAIVA_ONNX_PROVIDER=gpu", '"gpu" is not allowed here: write auto, cpu, cuda or tensorrt'),
    (service_variable, "XAIVA_ZONE=Mars", '"Mars" cannot be used: write a known time zone, such as Europe/Berlin'),
    (cameras_file, '{"cameras": [{"id": "gate"}]}', "cameras[0].source: it is missing"),
    (cameras_file, f'{{"cameras": [{{"id": "g", "source": "rtsp://u:{SECRET}@h", "fps": "x"}}]}}', "cameras[0].fps"),
    (cameras_file, '{"cams": []}', "cams: there is no such key"),
    (cameras_variable, "a/b=rtsp://h", f'id: "a/b" is not allowed here: {ID}'),
    (cameras_variable, f"rtsp://u:{SECRET}=x@h", "id: it is not allowed here"),
    (flows_file, '{"night": {"steps": [{"kind": "mail"}]}}', '"mail" is not a kind: write notify, keep_clip'),
    (flows_file, '{"night": {"steps": [{}]}}', "night.steps[1]: its kind is missing"),
    (flows_file, '{"night": {"steps": [{"kind": "raise_priority", "to": "soon"}]}}', '[1].to: "soon" is not allowed'),
    (flows_file, '{"night": {"wait": 1}}', "night.steps: it is missing"),
    (model_description, '{"input": {"name": "x", "width": "wide"}}', 'input.width: "wide" is not a whole number'),
    (lock_file, '{"python_from": "air"}', "preset: it is missing"),
    (lock_file, "{", "content: it is not valid JSON"),
    (preset_file, '"run": {"frob": 1}', 'there is no key "frob" here'),
    (preset_file, '"layers": 5', "should be a list, is the number 5"),
    (
        table_row,
        '{"key": "X", "source": "site", "verified_on": "", "sm": "eight"}',
        'sm: "eight" cannot be used: write it as 8.6',
    ),
    (table_row, '{"key": 5}', "key: it is a number, not a string"),
    (event, "{}", "Event field id: it is missing"),
]


@pytest.mark.parametrize(
    ("door", "text", "words"), FILES, ids=[f"{row[0].__name__}-{number}" for number, row in enumerate(FILES)]
)
def test_files_and_variables_say_it(tmp_path: Path, door: Callable[[Path, str], None], text: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        door(tmp_path, text)
    fitting(words, str(refused.value))


# -- forms -------------------------------------------------------------------------------------------------------------

FORMS: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (CameraRequest, {"id": "", "source": "x"}, "id: an empty string is not allowed here"),
    (CameraRequest, {"id": "a", "source": "x", "pre_roll": 99.0}, "pre roll: 99 is too large: it must be at most 30"),
    (UserRequest, {"name": "ann", "password": "short"}, "password: it is shorter than 10 characters"),
    (RuleRequest, {"name": "n", "channels": ()}, "channels: it is empty"),
    (Channel, {"kind": "email", "to": ""}, "to: it is shorter than 3 characters"),
    (Zone, {"name": "", "polygon": [(0, 0), (1, 1), (1, 0)]}, "name: it is empty"),
    (EventQuery, {"minimum_score": 2.0}, "minimum score: 2 is too large: it must be at most 1"),
]


@pytest.mark.parametrize(("kind", "fields", "words"), FORMS, ids=range(len(FORMS)))
def test_forms_say_it(kind: type[BaseModel], fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        text_formats.build_request(kind, fields)
    fitting(words, str(refused.value))


def test_a_figure_in_a_form_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    form = FieldForm.__new__(FieldForm)
    form._fields = {"fps": Field("fps", "Decisions per second", "", "")}
    monkeypatch.setattr(FieldForm, "value", lambda *_: "5 fps")
    with pytest.raises(InputError) as refused:
        form.number("fps")
    fitting('Decisions per second: "5 fps" is not a number', str(refused.value))


# -- what is not known -------------------------------------------------------------------------------------------------


def test_an_error_of_an_unknown_type_keeps_its_own_words() -> None:
    def odd(_value: object) -> object:
        raise PydanticCustomError("of_a_newer_version", "It is odd at http://u:hunter2@h/")

    from typing import Annotated

    from pydantic import BeforeValidator

    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Annotated[int, BeforeValidator(odd)]).validate_python(1)
    (words,) = every_problem(refused.value)
    assert words.startswith("it is odd at http://")
    assert SECRET not in words
