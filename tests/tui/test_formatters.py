"""The formatters: cells, numbers, tables, the preset form; no line is wider than its panel."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from core.api_schema import ServiceStatus
from core.artifacts.lockfile import Unlocked
from core.findings import Finding, Level
from core.presets.model import Preset
from core.presets.validation import validate_text
from core.telemetry.gpus import GpuSample, GpuState
from tests.tui import sample
from tui.formatters import builds, cameras, containers, findings, machine, operations, overview, presets
from tui.formatters.cells import Column, Line, Span, fit, layout_columns, plain_text, table, width_of, wrap
from tui.formatters.numbers import bar, coarse_duration, duration, size
from tui.formatters.preset_form import apply_changes, field_texts, parse_object
from tui.formatters.service import MODEL_STATE_SPANS
from tui.sources import Containers, LiveSample
from tui.widgets.choice_list import matches


def test_sizes_and_times_are_short() -> None:
    assert [size(n) for n in (0, 1023, 1536, 150 << 20, 3 << 30)] == ["0 B", "1023 B", "1.5 KiB", "150 MiB", "3.0 GiB"]
    assert [duration(n) for n in (4, 187, 7389, 270_000)] == ["4 s", "3:07", "2:03:09", "3 d 3 h"]
    assert [coarse_duration(n) for n in (40, 600, 7200, 500_000)] == ["40 s", "10 min", "2 h", "5 d"]


def test_fit_cuts_by_columns_and_keeps_roles() -> None:
    assert plain_text(fit("名前が長い", 5)) == "名前…"
    assert fit((Span("ab", "ok"), Span("cdef", "dim")), 4) == (Span("ab", "ok"), Span("c…", "dim"))
    assert plain_text(fit("7", 3, right=True)) == "  7"
    assert plain_text(fit((Span("ab"), Span("cd")), 2)) == "a…"


def test_wrap_keeps_every_word_within_the_width() -> None:
    lines = wrap("one two three " + "x" * 30, 12)
    assert all(width_of(line) <= 12 for line in lines)
    assert "".join(plain_text(line).replace(" ", "") for line in lines) == "onetwothree" + "x" * 30


@pytest.mark.parametrize("amount", ["8 s", "15 min", "2 h", "5 d", "1.4 GiB", "1.4 MiB/s", "92 %", "512 MB", "10 ms"])
def test_wrap_keeps_a_number_with_its_unit(amount: str) -> None:
    for width in range(len(amount) + 8, 40):
        lines = [plain_text(line) for line in wrap(f"the oldest for {amount}, seconds come", width)]
        assert any(amount in line for line in lines), lines


def test_wrap_breaks_behind_a_number_that_has_no_unit() -> None:
    assert [plain_text(line) for line in wrap("of 8 seconds", 6)] == ["of 8", "second", "s"]


def test_every_state_of_a_model_that_the_documentation_has_is_shown_as_known() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    table = page.partition("| state of a model |")[2].partition("\n\n")[0]
    states = set(re.findall(r"^\| `(\w+)` \|", table, re.M))
    assert "closing" in states
    assert states == set(MODEL_STATE_SPANS)


def test_narrow_tables_drop_the_columns_of_the_highest_rank() -> None:
    columns = (Column("a", 5), Column("b", minimum=5), Column("c", 5, rank=1), Column("d", 5, rank=2))
    assert [index for index, _ in layout_columns(columns, 40)] == [0, 1, 2, 3]
    assert [index for index, _ in layout_columns(columns, 20)] == [0, 1, 2]
    assert [index for index, _ in layout_columns(columns, 13)] == [0, 1]
    assert {width_of(line) for line in table([("1", "2", "3", "4")], columns, 33)} == {33}


def test_bars_warn_as_they_fill() -> None:
    assert [bar(share, 10)[0].role for share in (0.2, 0.8, 0.95)] == ["bar", "warn", "error"]
    assert width_of(bar(3, 10)) == 10


@pytest.mark.parametrize(
    ("wanted", "found"), [("gpu run", True), ("GPU !stopped", True), ("!running", False), ("gone", False), ("", True)]
)
def test_filter_words(wanted: str, found: bool) -> None:
    assert matches("gpu-7 Running", wanted) is found


FORMATTERS: dict[str, Callable[[int], list[Line]]] = {
    "gpus": partial(machine.gpu_lines, sample.gpus()),
    "host": partial(machine.host_lines, sample.host()),
    "containers": partial(containers.summary, sample.containers()),
    "container": partial(containers.detail, sample.containers().containers[1], None, None, {}),
    "cameras": partial(cameras.summary, sample.cameras()),
    "camera": partial(cameras.detail, sample.cameras().cameras[3]),
    "operations": partial(overview.operation_lines, sample.operations()),
    "operation": partial(operations.detail, sample.operations()[1], sample.stages(), sample.NOON),
    "preset": partial(presets.detail, sample.presets()[2]),
    "artifacts": partial(presets.artifact_lines, sample.presets()[1], sample.plan(), ""),
    "build": partial(builds.detail, sample.builds()[1], True),
    "alerts": partial(
        overview.alert_lines,
        sample.gpus(),
        sample.host(),
        sample.containers(),
        sample.cameras(),
        sample.operations(),
        sample.presets(),
    ),
}


@pytest.mark.parametrize("width", [37, 60, 78, 118])
@pytest.mark.parametrize("name", FORMATTERS)
def test_no_line_is_wider_than_its_panel(name: str, width: int) -> None:
    lines = FORMATTERS[name](width)
    assert lines
    assert [plain_text(line) for line in lines if width_of(line) > width] == []


def test_alerts_name_what_needs_a_person() -> None:
    words = "\n".join(plain_text(line) for line in FORMATTERS["alerts"](100))
    assert "xaiva-dubbing-cuda13.0 is unhealthy: connection refused" in words
    assert "camera yard: no frame for 10 s" in words
    assert "disk / is almost full: 3.0 GiB free" in words
    assert "preset old-site has errors" in words


def test_nothing_to_alert_says_so_and_of_what_nothing_is_known() -> None:
    some = overview.alert_lines(None, None, Containers([], {}), None, [], [], 80)
    assert plain_text(some[0]) == "no alerts, but no data from: GPUs, host, cameras"
    service = ServiceStatus(version="1", started=0, uptime=1, rss=1)
    gpus, host = LiveSample(GpuSample(state=GpuState.OK)), sample.host()
    host.sample.disks.clear()
    assert plain_text(overview.alert_lines(gpus, host, Containers([], {}), service, [], [], 80)[0]) == "✓ no alerts"


PRESET = """{
  "base_image": "debian:12",
  "metadata": {"description": "one"},
  "python_version": "3.11",
  "layers": [{"name": "common", "requirements": ["numpy>=1.26,<2"]}]
}
"""


def test_the_form_reads_what_it_writes() -> None:
    document = parse_object(PRESET)
    assert document is not None
    assert field_texts(document)["layers"] == "[common]\nnumpy>=1.26,<2"
    assert apply_changes(PRESET, field_texts(document)) == PRESET


def test_one_field_changes_one_line() -> None:
    after = apply_changes(PRESET, {"description": "two"})
    assert after == PRESET.replace('"one"', '"two"')


def test_a_wrong_field_changes_one_line_too() -> None:
    """An invalid value does not change the layout of the rest."""
    wrong = apply_changes(PRESET, {"python": "three"})
    before, after = PRESET.splitlines(), wrong.splitlines()
    assert len(before) == len(after)
    assert [new for old, new in zip(before, after, strict=True) if old != new] == ['  "python_version": "three",']


MORE = {
    "indexes": "[ours]\nurl = https://h.example/simple\ntoken_variable = KEY\npackages = six, ours-*",
    "sources": f"[ffmpeg]\nurl = https://h.example/f.tar.gz?a=b\nsha256 = {'ab' * 32}\n[notes]\npath = ./notes",
    "models": f"[face]\nfile = face.onnx\nsha256 = {'cd' * 32}\ndestination = /models/face.onnx",
    "health": "sh -c 'exit 0'",
    "health_interval": "10",
    "health_start": "0",
    "dev": "yes",
    "dev_source": "app",
}


def test_sources_models_indexes_health_check_and_dev_mode() -> None:
    text = apply_changes(PRESET, MORE)
    document = parse_object(text)
    assert document is not None
    index = {"name": "ours", "url": "https://h.example/simple", "token_variable": "KEY"}
    assert document["indexes"] == [{**index, "packages": ["six", "ours-*"]}]
    assert document["sources"][0]["url"] == "https://h.example/f.tar.gz?a=b"
    assert document["run"]["health_check"] == {"command": ["sh", "-c", "exit 0"], "interval": 10, "start_period": 0}
    assert document["run"]["dev"] == {"enabled": True, "source": "app"}
    assert {name: text for name, text in field_texts(document).items() if name in MORE} == MORE
    back = parse_object(apply_changes(text, dict.fromkeys(MORE, "")))
    assert Preset.model_validate(back) == Preset.model_validate(parse_object(PRESET))


def test_what_is_no_number_is_told_not_dropped() -> None:
    text = apply_changes(PRESET, {"health": "true", "health_interval": "often", "dev": "perhaps"})
    messages = " ".join(f"{problem.field}: {problem.what}" for problem in validate_text(text, Path("p.json")))
    assert "interval" in messages
    assert "dev.enabled" in messages


def test_emptied_fields_are_empty() -> None:
    after = json.loads(apply_changes(PRESET, {"description": "", "layers": ""}))
    assert not after.get("metadata", {}).get("description")
    assert not after.get("layers")


def test_pytorch_and_tensorrt_are_completed() -> None:
    after = json.loads(
        apply_changes(PRESET, {"torch": "2.7.1+cu126", "components": "torch, torchvision", "tensorrt": "10.9.0"})
    )
    assert after["pytorch"] == {"version": "2.7.1+cu126", "components": ["torch", "torchvision"]}
    assert after["tensorrt"] == {"enabled": True, "version": "10.9.0"}
    without = json.loads(apply_changes(json.dumps(after), {"torch": "", "tensorrt": ""}))
    assert not without.get("pytorch")
    assert not without.get("tensorrt", {}).get("enabled")


def test_layers_keep_their_order_and_files() -> None:
    after = json.loads(apply_changes(PRESET, {"layers": "[common]\nnumpy\n\n[stt]\n@stt.txt\n"}))
    assert after["layers"] == [{"name": "common", "requirements": ["numpy"]}, {"name": "stt", "file": "stt.txt"}]


@pytest.mark.parametrize(
    ("words", "width", "lines"),
    [
        ("3 wait, the oldest for 8 s", 24, ["3 wait, the oldest for", "8 s"]),
        ("no frame for 10 s; next try in 8 s", 14, ["no frame for", "10 s; next try", "in 8 s"]),
        ("1.4 GiB of 4.0 GiB free", 12, ["1.4 GiB of", "4.0 GiB free"]),
        ("up 5 d 3 h", 7, ["up 5 d", "3 h"]),
        ("for 7 sunny days", 6, ["for 7", "sunny", "days"]),
    ],
)
def test_a_number_and_its_unit_stand_on_one_line(words: str, width: int, lines: list[str]) -> None:
    assert [plain_text(line) for line in wrap(words, width)] == lines


def test_an_outcome_is_told_in_words() -> None:
    result = {"fetch_bytes": 135604020, "seconds": 2.867, "changed": True, "unlocked": [], "files": 51, "made_files": 0}
    findings_shown = operations.result_lines(result, 60, "")
    assert [" ".join(plain_text(line).split()) for line in findings_shown] == [
        "fetch bytes 129 MiB",
        "seconds 2 s",
        "changed yes",
        "files 51",
    ]
    lacking = {"level": "warning", "code": "lock", "what": "base image x", "why": "no registry", "remedy": "get it"}
    text = [plain_text(one).strip() for one in operations.result_lines({"findings": [lacking]}, 60, "")]
    assert text == ["! base image x", "no registry", "→ get it"]
    many = operations.result_lines({"diff": [f"six 1.{at}" for at in range(25)]}, 60, "xaiva ops show 4")
    assert [plain_text(one).strip() for one in many[-2:]] == [
        "change  six 1.19",
        "change  … and 5 more: xaiva ops show 4",
    ]


def test_a_lock_that_lacks_something_is_never_called_whole() -> None:
    lacking = [Unlocked(what="base image debian:test", why="the registry does not answer", remedy="get it")]
    view = sample.presets()[1]
    assert view.lock is not None
    partly = replace(view, lock=view.lock.model_copy(update={"unlocked": lacking}))
    plan = sample.plan()
    plan_there = plan.model_copy(update={"present_files": plan.files, "corrupt": [], "extra": []})
    whole = "\n".join(plain_text(line) for line in presets.artifact_lines(view, plan_there, "", 80))
    assert plain_text(presets.lock_state_span(view)) == "✓ locked"
    assert "✓ complete" in whole
    text = "\n".join(
        plain_text(one) for one in presets.artifact_lines(partly, plan_there.model_copy(update={"unlocked": 1}), "", 80)
    )
    assert plain_text(presets.lock_state_span(partly)) == "! partial"
    assert "✓" not in text
    assert "no build yet" in text


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ("", "✓ fine"),
        ("note", "· 1 note"),
        ("note note", "· 2 notes"),
        ("note hint", "? hint"),
        ("note hint warning", "! 1 warning"),
        ("warning error error", "✗ 2 errors"),
    ],
)
def test_the_worst_finding_counts_and_a_note_is_not_fine(levels: str, said: str) -> None:
    summary = [Finding(level=Level(level), code="some", what="some") for level in levels.split()]
    assert plain_text(findings.summary(summary)) == said
