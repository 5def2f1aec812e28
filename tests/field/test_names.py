"""A name that does what it says: colours a terminal, turns the line around, ends a mail's subject, leaves a folder.

It applies to every name that somebody may give over the API: ids of cameras, names of users and rules are of a few
ASCII characters; labels of cameras and zones are free text, in which what nobody would see is written out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from core.inference.schemas import CameraRequest, Channel, ChannelKind, Event, RuleRequest, UserRequest

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
