"""A changed field changes its own place in a file and nothing else: the author's layout stays.

It applies to whatever writes a preset over one that is there (the editor's form, the command line, programs), in every
layout that people write JSON in.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping

import pytest

from core.presets.json_spans import parse_json
from core.presets.model import Preset
from core.presets.serialization import dump
from tui.formatters.preset_form import PRESET_FIELDS, apply_changes, field_texts

PRETTY = """{
  "base_image": "debian:bookworm-slim",
  "python_version": "3.11",
  "layers": [
    {"name": "common", "requirements": ["numpy==1.26.4", "six"]}
  ],
  "run": {
    "ports": ["8600:8600"],
    "volumes": ["./data:/data", "./models:/models"],
    "gpus": "all",
    "health_check": {"command": ["true"], "interval": 30.0}
  }
}
"""
ONE_LINE = json.dumps(json.loads(PRETTY))
LAYOUTS = {
    "as it is written": PRETTY,
    "four blanks": json.dumps(json.loads(PRETTY), indent=4) + "\n",
    "tabs": json.dumps(json.loads(PRETTY), indent="\t") + "\n",
    "one line": ONE_LINE + "\n",
    "compact": json.dumps(json.loads(PRETTY), separators=(",", ":")),
    "no newline at its end": PRETTY.rstrip(),
    "CRLF": PRETTY.replace("\n", "\r\n"),
    "tabs and CRLF": json.dumps(json.loads(PRETTY), indent="\t").replace("\n", "\r\n") + "\r\n",
    "blank lines": PRETTY.replace(",\n", ",\n\n"),
    "blanks before commas": PRETTY.replace(",", " ,"),
    "blanks before colons": PRETTY.replace('":', '" :'),
    "run in one line": PRETTY.replace(
        PRETTY[PRETTY.index('"run"') : -3], '"run": ' + json.dumps(json.loads(PRETTY)["run"])
    ),
    "one port a line": PRETTY.replace('["8600:8600"]', '[\n      "8600:8600"\n    ]'),
    "commas first": PRETTY.replace(",\n  ", "\n  , "),
    "other order": json.dumps(dict(reversed(json.loads(PRETTY).items())), indent=3),
    "blank lines around": "\n\n" + PRETTY + "\n\n",
}
EDITS = [  # fields of the form that change, and how many pieces of text differ then
    ({"ports": "8601:8600"}, 1),
    ({"ports": "8600:8600, 9000:9000"}, 1),
    ({"python": "3.12"}, 1),
    ({"gpus": ""}, 1),
    ({"volumes": "./models:/models"}, 1),
    ({"volumes": "./data:/data"}, 1),
    ({"devices": "/dev/video0"}, 1),
    ({"torch": "2.5.1"}, 1),
    ({"health_interval": "10"}, 1),
    ({"layers": "[common]\nnumpy==1.26.4\nsix\ntqdm"}, 1),
    ({"layers": "[common]\nnumpy==2.0\nsix"}, 1),
    ({"layers": "[common]\nnumpy==1.26.4\nsix\n[more]\ntqdm"}, 1),
    ({"ports": "8601:8600", "python": "3.12"}, 2),
]


def pieces(before: str, after: str) -> int:
    """How many places of the text differ, by whole words of JSON."""
    words = re.compile(r'"(?:[^"\\]|\\.)*"|\s+|.')
    matcher = difflib.SequenceMatcher(None, words.findall(before), words.findall(after), autojunk=False)
    changed = [(a1, a2) for what, a1, a2, _, _ in matcher.get_opcodes() if what != "equal"]
    joined = 0
    end = -99
    for start, stop in changed:
        joined += start > end + 4  # an opening bracket that matched by chance does not part a piece
        end = stop
    return joined


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("changed", "places"), EDITS, ids=range(len(EDITS)))
def test_a_field_changes_its_own_place(layout: str, changed: Mapping[str, str], places: int) -> None:
    before = LAYOUTS[layout]
    after = apply_changes(before, changed)
    expected = apply_changes(PRETTY, changed)
    assert Preset.model_validate_json(after) == Preset.model_validate_json(expected)
    assert pieces(before, after) <= places, after
    assert after.count("\r\n") == after.count("\n") or "\r\n" not in before
    root, changed_root = parse_json(before).spans[()], parse_json(after).spans[()]
    assert after[changed_root.end :] == before[root.end :]
    assert ("\n" in after.strip()) == ("\n" in before.strip())


@pytest.mark.parametrize("name", [field.name for field in PRESET_FIELDS])
def test_a_field_that_is_set_and_cleared_leaves_nothing(name: str) -> None:
    """In two edits, each saved. What the author wrote stays, also at its default."""
    for before in (PRETTY, ONE_LINE, PRETTY.replace('"gpus"', '"shm_size": "", "gpus"')):
        old_value = field_texts(json.loads(before))[name]
        after = json.loads(apply_changes(apply_changes(before, {name: "3"}), {name: old_value}))
        assert after == json.loads(before)
    assert "devices" not in apply_changes(PRETTY.replace('"gpus"', '"devices": ["/dev/a"], "gpus"'), {"devices": ""})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_and_back_is_the_same_text(layout: str) -> None:
    before = LAYOUTS[layout]
    for there, back in [
        ({"ports": "8601:8600"}, {"ports": "8600:8600"}),
        ({"ports": "8600:8600, 1:1"}, {"ports": "8600:8600"}),
        ({"python": "3.12"}, {"python": "3.11"}),
    ]:
        assert apply_changes(apply_changes(before, there), back) == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_unchanged_preset_keeps_every_byte(layout: str) -> None:
    before = LAYOUTS[layout]
    assert dump(Preset.model_validate_json(before), before) == before
