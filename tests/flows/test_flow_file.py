"""The file of flows: what it can say, and what is said of a bad one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import InputError
from core.inference.flows.flow import label_steps
from core.inference.flows.flow_file import read_flows

TOML = """
[night]
wait = 3
steps = [
    { kind = "raise_priority", to = "critical", when = { types = ["fire", "intrusion"], facts = { person = 2 } } },
    { kind = "keep_clip", when = { priority = "high" } },
    { kind = "webhook", name = "siren", url = "http://10.0.0.9/on", secret_variable = "SIREN_SECRET" },
    { kind = "notify", when = { schedule = [{ start = "22:00", end = "06:00" }] } },
]

[gate]
steps = [
    { kind = "choose", question = "Is somebody in danger?", otherwise = "yes", options = { yes = [
        { kind = "notify" },
    ], no = [] } },
]
"""


def written(folder: Path, text: str, name: str = "flows.json") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_without_a_file_there_is_the_flow_that_notifies() -> None:
    (flow,) = read_flows(None).values()
    assert [step.kind for step in flow.steps] == ["notify"]


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    flows = read_flows(written(tmp_path, TOML, "flows.toml"))
    assert set(flows) == {"default", "night", "gate"}
    assert flows["night"].wait == 3
    assert [label for label, _ in label_steps(flows["night"].steps)] == [
        "raise_priority",
        "keep_clip",
        "siren",
        "notify",
    ]
    spoken = json.dumps({name: flow.model_dump(mode="json") for name, flow in flows.items()})
    assert read_flows(written(tmp_path, spoken)) == flows


def test_a_file_may_say_what_the_default_is(tmp_path: Path) -> None:
    assert read_flows(written(tmp_path, '{"default": {"steps": []}}'))["default"].steps == ()


def test_steps_said_twice_are_counted(tmp_path: Path) -> None:
    steps = [{"kind": "notify"}, {"kind": "notify", "name": "boss"}, {"kind": "notify"}]
    flow = read_flows(written(tmp_path, json.dumps({"f": {"steps": steps}})))["f"]
    assert [label for label, _ in label_steps(flow.steps)] == ["notify", "boss", "notify 2"]


DEEP = {"kind": "notify"}
for _ in range(4):
    DEEP = {"kind": "choose", "question": "?", "options": {"a": [DEEP], "b": []}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"night": {"steps": [\n  {"kind": "notify"},,\n]}}', r"flows.json: not valid JSON: line 2, column 22"),
        (
            '{"night": {"steps": [{"kind": "notfy"}]}}',
            r"night\.steps\[1\]: .notfy. is not a kind: write notify",
        ),
        ('{"night": {"steps": [{"kind": "notify"}, {}]}}', r"night\.steps\[2\]: "),
        ('{"night": {"steps": [{"kind": "raise_priority"}]}}', r"night\.steps\[1\]\.to: it is missing"),
        (
            '{"night": {"steps": [{"kind": "raise_priority", "to": "soon"}]}}',
            r"night\.steps\[1\]\.to: .soon. is not",
        ),
        ('{"night": {"steps": [{"kind": "notify", "wen": {}}]}}', r"night\.steps\[1\]\.wen: "),
        ('{"night": {"steps": [{"kind": "notify", "when": {"score": 2}}]}}', r"night\.steps\[1\]\.when\.score: "),
        ('{"night": {"wait": 1}}', r"night\.steps: it is missing"),
        ('{"bad name": {"steps": []}}', r"bad name"),
        ("[]", r"the file: "),
        (
            '{"g": {"steps": [{"kind": "choose", "question": "?", "options": {"a": [], "b": []}, "otherwise": "c"}]}}',
            r"g\.steps\[1\]: .*not one of the options: a, b",
        ),
        (json.dumps({"g": {"steps": [DEEP]}}), "nested deeper than 3"),
        (
            '{"g": {"steps": [{"kind": "webhook", "url": "file://hunter2/x"}]}}',
            r"g\.steps\[1\]\.url: it is not an http",
        ),
        (
            '{"g": {"steps": [{"kind": "choose", "question": "?", "options": {"a": [], "b": '
            '[{"kind": "webhook", "url": "http://u:hunter2@169.254.169.254/"}]}}]}}',
            r"g\.steps\[1\]\.options\.b\.steps\[1\]\.url: 169",
        ),
    ],
)
def test_a_bad_file_is_refused_with_the_place_and_without_its_secrets(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        read_flows(written(tmp_path, text))
    assert "flows.json" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_other_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"flows.toml: not valid TOML: .*line 2"):
        read_flows(written(tmp_path, '[night]\nsteps = ["\n', "flows.toml"))
    with pytest.raises(InputError, match="No such file"):
        read_flows(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'{"\xe9": 1}')
    with pytest.raises(InputError, match="UTF-8"):
        read_flows(tmp_path / "latin.json")
