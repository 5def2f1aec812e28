"""A name that does what it says: colours a terminal, turns the line around, ends a mail's subject, leaves a folder.

It applies to every name that somebody may give over the API or in a file: ids of cameras, names of users, rules,
presets and layers are of a few ASCII characters; labels, notes and descriptions are free text, in which what nobody
would see is written out. The command line and the console do so with whatever they print.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime, timezone
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from core.api_schema import Acknowledge, CameraRequest, Channel, ChannelKind, Event, RuleRequest, UserRequest
from core.cli import output
from core.errors import XaivaError
from core.findings import Finding, Level
from core.inference.notifications.message import Message
from core.presets.validation import validate_text
from core.site import Site
from tests.tui.support import shows
from tui.app import XaivaApp
from tui.formatters.cells import Span, fit, plain_text, width_of
from tui.terminal.frame import cells_of

SOURCE = "rtsp://127.0.0.1:1/none"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))

# name: as it is kept and shown
LABELS = {
    "plain": ("Gate 1", "Gate 1"),
    "of a language": ("Tor Süd – 門", "Tor Süd – 門"),
    "composed": ("Su\u0308d", "S\u00fcd"),
    "a colour": ("a\x1b[31mb", "a\\u001b[31mb"),
    "a C1 control": ("a\x9b31mb", "a\\u009b31mb"),
    "a bell": ("a\x07b", "a\\u0007b"),
    "a header": ("x\r\nBcc: all@example.org", "x\\u000d\\u000aBcc: all@example.org"),
    "a line separator": ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
    "a next line": ("a\x85b", "a\\u0085b"),
    "turned around": ("a\u202egpj.exe", "a\\u202egpj.exe"),
    "isolated": ("a\u2066b\u2069", "a\\u2066b\\u2069"),
    "a direction mark": ("a\u200fb", "a\\u200fb"),
    "no width": ("ad\u200bmin", "ad\\u200bmin"),
    "a joiner between letters": ("ad\u200dmin", "ad\\u200dmin"),
    "a joiner that is needed": (PERSIAN, PERSIAN),
    "a byte order mark": ("\ufeffGate", "\\ufeffGate"),
    "a soft hyphen": ("ga\u00adte", "ga\\u00adte"),
    "tags": ("a\U000e0041", "a\\U000e0041"),
    "blanks around it": ("  Gate \t", "Gate"),
    "wide blanks around it": ("\u3000Gate\u00a0", "Gate"),
    "only blanks": (" \t ", ""),
    "a path": ("../../etc/passwd", "../../etc/passwd"),  # a label is in no file's name: the id is
}  # fmt: skip


@pytest.mark.parametrize(("given", "shown"), LABELS.values(), ids=LABELS.keys())
def test_a_label_is_kept_as_it_can_be_seen(given: str, shown: str) -> None:
    camera = CameraRequest(id="a", source=SOURCE, name=given)
    assert camera.name == shown
    assert CameraRequest.model_validate_json(camera.model_dump_json()) == camera  # what is read back is the same
    now = datetime.now(timezone.utc)
    event = {"id": "e", "camera": "a", "type": "motion", "started": now, "decided": now, "score": 1.0}
    assert Event.model_validate({**event, "camera_name": given}).camera_name == shown  # also of an older database
    zone = {"name": given, "polygon": SQUARE}
    if shown:
        assert CameraRequest.model_validate({"id": "a", "source": SOURCE, "zones": [zone]}).zones[0].name == shown
    else:
        with pytest.raises(ValidationError, match="at least 1 character"):
            CameraRequest.model_validate({"id": "a", "source": SOURCE, "zones": [zone]})


def camera(name: str) -> BaseModel:
    return CameraRequest(id=name, source=SOURCE)


def rule(name: str) -> BaseModel:
    return RuleRequest(name=name, channels=(Channel(kind=ChannelKind.EMAIL, to="a@example.org"),))


def user(name: str) -> BaseModel:
    return UserRequest(name=name, password=SecretStr("some long password"))


def flow(name: str) -> BaseModel:
    return CameraRequest(id="a", source=SOURCE, flow=name)


NAMED = {one.__name__: one for one in (camera, rule, user, flow)}
REFUSED = {
    **{name: given for name, (given, _) in LABELS.items() if name != "plain"},
    "nothing at all": "a\0b",
    "a blank": "a b",
    "a blank before": " a",
    "a line's end": "a\n",
    "empty": "",
    "this folder": ".",
    "the folder above": "..",
    "a slash": "a/b",
    "a backslash": "a\\b",
    "an option": "-a",
    "hidden": ".a",
    "alike in another script": "\u0430dmin",
    "full width": "\uff41dmin",
    "too long": "a" * 64,
}


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED.keys())
@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED.keys())
def test_an_id_is_of_a_few_characters(name: str, named: Callable[[str], BaseModel]) -> None:
    with pytest.raises(ValidationError):
        named(name)


# -- where names and words of others are shown ---


def event(**fields: object) -> Event:
    now = datetime.now(timezone.utc)
    told = {"id": "e", "camera": "a", "type": "motion", "started": now, "decided": now, "score": 1.0}
    return Event.model_validate({**told, **fields})


def site_name(text: str, folder: Path) -> str:
    (folder / "site.toml").write_text(f"name = '{text}'\n", encoding="utf-8")
    return Site.open(folder, {}).settings.name


def printed(text: str, print_it: Callable[[str], None]) -> str:
    with redirect_stdout(StringIO()) as out:
        print_it(text)
    return out.getvalue()


def cell(text: str, _: Path) -> str:
    return printed(text, lambda one: output.print_table(("NAME",), [(one,)]))


DOORS: dict[str, Callable[[str, Path], str]] = {
    "an error": lambda text, _: str(XaivaError(text, text)),
    "a finding": lambda text, _: Finding(level=Level.NOTE, code="a", what=text, where=text).what,
    "a table": cell,
    "a line": lambda text, _: printed(text, output.print_line),
    "JSON": lambda text, _: printed(text, output.print_json),
    "the console": lambda text, _: plain_text(fit(Span(text, "title"), 60)) + plain_text(fit(text, 60)),
    "the site's name": site_name,
    "a description": lambda text, _: event(analysis={"state": "done", "description": text}).analysis.description,
    "a fact": lambda text, _: event(facts=[{"label": text, "score": 1, "box": (0, 0, 1, 1)}]).facts[0].label,
    "a note": lambda text, _: event(note=text).note,
    "a note that is given": lambda text, _: Acknowledge(ids=["e"], note=text).note,
    "a mail's subject": lambda text, _: Message("k", "r", MAIL, event(camera_name=text)).subject(),
    "a mail's text": lambda text, _: Message("k", "r", MAIL, event(camera_name=text)).text(ZoneInfo("UTC")),
}
MAIL = Channel(kind=ChannelKind.EMAIL, to="a@example.org")
HIDDEN = {
    "turned around": "gate\u202egpj.exe",
    "isolated": "gate\u2066b\u2069",
    "a direction mark": "gate\u200f",
    "an Arabic mark": "gate\u061c",
    "no width": "ga\u200bte",
    "a joiner": "ga\u200dte",
    "a word joiner": "ga\u2060te",
    "a byte order mark": "\ufeffgate",
    "a soft hyphen": "ga\u00adte",
    "a tag": "gate\U000e0041",
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN.keys())
def test_no_name_looks_like_another(text: str, door: Callable[[str, Path], str], tmp_path: Path) -> None:
    displayed = door(text, tmp_path)
    assert not any(character in displayed for character in text if not character.isprintable())
    assert "\\u" in displayed or "\\U" in displayed


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
@pytest.mark.parametrize("text", ["Tor S\u00fcd \u9580", PERSIAN, "\U0001f468\u200d\U0001f4bb"], ids=ascii)
def test_what_a_language_needs_is_left_alone(text: str, door: Callable[[str, Path], str], tmp_path: Path) -> None:
    displayed = door(text, tmp_path)
    assert text in (json.loads(displayed) if door is DOORS["JSON"] else displayed)


def test_json_means_the_same() -> None:
    for text in (*HIDDEN.values(), "a\x1b\x85\u2028b\nc"):
        assert json.loads(printed(text, output.print_json)) == text


def test_a_written_out_name_keeps_its_column() -> None:
    assert width_of(fit("ga\u202ete", 20)) == 20
    assert plain_text(fit("ga\u202ete", 20)) == "ga\\u202ete          "


def test_nothing_turns_the_screen_around_where_a_text_is_no_span() -> None:
    displayed = "".join(text for text, _ in cells_of("a\u202eb\u2066c\u200f\u2028", ""))
    assert displayed == "abc"


@pytest.mark.parametrize("field", ["name", "layers"])
@pytest.mark.parametrize("name", [*HIDDEN.values(), "g\u0430te", "gate\n"], ids=ascii)
def test_presets_and_layers_are_of_a_few_characters(name: str, field: str, tmp_path: Path) -> None:
    preset = {"name": "a", "base": {"image": "python:3.11-slim"}, field: [name] if field == "layers" else name}
    assert [
        problem for problem in validate_text(json.dumps(preset), tmp_path / "a.json") if problem.field.startswith(field)
    ]


TOASTS = ("a[/b]c", "[red]gate[/red]", "[Errno 28] No space left", "ga\u202ete", "[@click=app.quit]x[/]")


@pytest.mark.parametrize("text", TOASTS, ids=ascii)
async def test_a_toast_shows_words_as_they_are(text: str, tmp_path: Path) -> None:
    app = XaivaApp(Site.open(tmp_path, {}))
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        app.screen.notify(text, title="words")
        await shows(pilot, text.replace("\u202e", "\\u202e"))
