"""BuildKit's progress, read from recordings of real builds (Docker 26.1.5, buildx 0.13.1)."""

from __future__ import annotations

import base64
import json
from itertools import count
from pathlib import Path

import pytest

from core.images import buildkit_progress
from core.images.build_stages import CONTEXT_STAGE, EXPORT_STAGE, StageTree
from core.images.buildkit_progress import OutputLine, PlainReader, ProgressReader, RawJsonReader, Vertex
from core.progress import StageState
from tests.images.support import Recorder

DATA = Path(__file__).with_name("data")


def read(reader: ProgressReader, data: bytes, step: int = 4096) -> tuple[StageTree, Recorder]:
    """Feed a recording in pieces."""
    recorder = Recorder()
    tree = StageTree(recorder)
    for at in range(0, len(data), step):
        for event in reader.feed(data[at : at + step]):
            tree.apply_event(event)
    for event in reader.close():
        tree.apply_event(event)
    return tree, recorder


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_a_failed_build(step: int) -> None:
    tree, recorder = read(RawJsonReader(), (DATA / "failed.rawjson").read_bytes(), step)
    assert tree.stage_names() == [CONTEXT_STAGE, "runtime", "common", "base"]
    assert recorder.stages["common"].state is StageState.DONE
    assert recorder.stages["runtime"].state is StageState.FAILED
    failed = tree.failed_step()
    assert failed is not None
    assert failed.id == "runtime/2"
    assert "exit code: 7" in failed.vertex.error
    assert ("runtime", "{ not json") in recorder.lines
    assert ("common", "Größe: 100 %") in recorder.lines
    assert tree.client_output[-1].startswith("ERROR: failed to solve")


def test_a_cached_build() -> None:
    tree, recorder = read(RawJsonReader(), (DATA / "done.rawjson").read_bytes())
    assert recorder.stages["common"].state is StageState.CACHED
    assert recorder.stages["common"].parent == ""
    assert recorder.stages["common/1"].parent == "common"
    assert tree.summary(EXPORT_STAGE).state is StageState.DONE
    assert tree.failed_step() is None


def test_one_object_a_line_as_newer_buildx_prints() -> None:
    decoder = json.JSONDecoder()
    text = (DATA / "done.rawjson").read_text()
    lines, at = [], 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at)
        lines.append(json.dumps(value))
        at += 1
    packed = "\n".join(lines).encode()
    assert read(RawJsonReader(), packed)[1].stages == read(RawJsonReader(), text.encode())[1].stages


def test_plain_text_of_an_older_buildx() -> None:
    clock = count(1000)
    tree, recorder = read(PlainReader(lambda: float(next(clock))), (DATA / "failed.plain.txt").read_bytes(), 11)
    assert recorder.stages["common"].state is StageState.CACHED
    assert recorder.stages["runtime"].state is StageState.FAILED
    assert recorder.stages["runtime/2"].ended > recorder.stages["runtime/2"].started >= 1000
    assert ("runtime", "{ not json") in recorder.lines
    assert tree.client_output[-1].startswith("ERROR: failed to solve")


def test_a_line_cut_between_two_messages_stays_one() -> None:
    parts = ["half a ", "line\nand the next", "\n"]
    logs = [{"vertex": "v", "stream": 1, "data": base64.b64encode(part.encode()).decode()} for part in parts]
    reader = RawJsonReader()
    events = [event for log in logs for event in reader.feed(json.dumps({"logs": [log]}).encode())]
    assert events == [OutputLine("v", "half a line"), OutputLine("v", "and the next")]


def test_what_runs_when_a_build_is_cancelled_is_cancelled() -> None:
    recorder = Recorder()
    tree = StageTree(recorder)
    tree.apply_event(Vertex("a", "[common 1/2] RUN x", started=1.0, completed=2.0))
    tree.apply_event(Vertex("b", "[common 2/2] RUN y", started=2.0))
    assert recorder.stages["common"].state is StageState.RUNNING
    assert recorder.stages["common"].done == 1
    assert recorder.stages["common"].detail == "RUN y"
    tree.end_running(cancelled=True)
    assert recorder.stages["common"].state is StageState.CANCELLED


def test_lines_lose_what_moves_the_cursor() -> None:
    assert buildkit_progress.clean_output_line("10 %\r50 %\r100 %\r\n") == "100 %"
    assert buildkit_progress.clean_output_line("\x1b[31mred\x1b[0m \x1b]0;title\x07text\x08") == "red text"
    assert buildkit_progress.clean_output_line("a\tb") == "a\tb"


def test_times_have_nanoseconds_and_zones() -> None:
    assert buildkit_progress.parse_unix_time("1970-01-01T00:00:01.250000001Z") == pytest.approx(1.25)
    assert buildkit_progress.parse_unix_time("1970-01-01T01:00:01+01:00") == 1
    assert buildkit_progress.parse_unix_time(None) == buildkit_progress.parse_unix_time("soon") == 0
