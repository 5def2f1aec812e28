"""A closed list over somebody else's vocabulary: a word, a field or a row of an engine, a driver, BuildKit, a newer
service or a newer xaiva that this version does not know is shown as it is, in its row alone, and never as fine.

It applies to containers (Docker, Podman), NVML, BuildKit's progress, kept builds, the ledger, and every answer of the
inference service.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import docker
from core import labels
from core.containers.listing import list_containers, parse_container
from core.containers.manage import diagnose, wait_healthy
from core.containers.model import ContainerHealth, ContainerState
from core.containers.stats import StatsSampler
from core.engine import EngineError
from core.images.build_history import builds_folder, list_builds
from core.images.buildkit_progress import OutputLine, PlainReader, RawJsonReader, Vertex
from core.operations.ledger import Ledger
from core.progress import Stage
from core.site import Site
from core.site_operations import site_ledger
from core.telemetry.gpus import GpuSampler, GpuState
from tests.support.fake_nvml import FakeNvml
from tests.support.json_server import json_server
from tui.formatters import builds as build_format
from tui.formatters import containers as container_format
from tui.formatters import findings as finding_format
from tui.formatters import operations as operation_format
from tui.formatters import overview
from tui.formatters.cells import plain_text

# -- containers -------------------------------------------------------------------------------------------------------

GOOD = {"Id": "b" * 64, "Names": ["/good"], "Image": "x", "ImageID": "sha256:1", "Created": 1, "Ports": []}
GOOD |= {"Labels": {}, "State": "running", "Status": "Up 5 minutes (healthy)"}
LAUNCHED = {labels.PRESET: "p", labels.SITE: "/s"}

# how the engine's row differs from a good one → the state, health and role that the console shows
ROWS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "podman-stopped": ({"State": "stopped", "Status": "Exited (0) 1 minute ago"}, "stopped", "none", "dim"),
    "podman-stopped-in-error": ({"State": "stopped", "Status": "Exited (3) 1 minute ago"}, "stopped", "none", "warn"),
    "podman-initialized": ({"State": "initialized", "Status": "Initialized"}, "initialized", "none", ""),
    "podman-exiting": ({"State": "exiting", "Status": "Exiting"}, "exiting", "none", ""),
    "made-up": ({"State": "hibernating", "Status": "Asleep"}, "hibernating", "none", ""),
    "capitals": ({"State": "Running"}, "Running", "healthy", ""),
    "null": ({"State": None}, "", "healthy", ""),
    "number": ({"State": 7}, "7", "healthy", ""),
    "health-degraded": ({"Status": "Up 2 hours (degraded)"}, "running", "degraded", ""),
    "health-of-a-newer-engine": ({"Health": {"Status": "recovering", "FailingStreak": 1}}, "running", "recovering", ""),
    "paused-is-no-health": ({"State": "paused", "Status": "Up 2 hours (Paused)"}, "paused", "none", "warn"),
    "no-names": ({"Names": None}, "running", "healthy", "ok"),
    "null-fields": ({"Ports": None, "Labels": None, "Image": None}, "running", "healthy", "ok"),
    "bad-port": ({"Ports": [{"PrivatePort": "eighty"}]}, "running", "none", ""),
    "bad-time": ({"Created": "yesterday"}, "running", "none", ""),
    "port-without-number": ({"Ports": [{"Type": "tcp"}]}, "running", "none", ""),
    "labels-are-a-text": ({"Labels": "a=b"}, "running", "none", ""),
}
UNREADABLE = {"bad-port", "bad-time", "port-without-number", "labels-are-a-text"}


def engine_of(rows: list[Any], **more: Any) -> contextlib.AbstractContextManager[str]:
    return json_server({"/version": {"ApiVersion": "1.44"}, "/containers/json": rows, **more})


@contextlib.contextmanager
def engine_client(rows: list[Any], **more: Any) -> Iterator[docker.DockerClient]:
    with engine_of(rows, **more) as address, contextlib.closing(docker.DockerClient(f"tcp://{address}")) as client:
        yield client


@pytest.mark.parametrize("case", ROWS)
def test_a_container_that_is_described_otherwise_is_a_row_of_its_own(case: str) -> None:
    change, state, health, role = ROWS[case]
    odd = {**GOOD, "Id": "a" * 64, "Names": ["/odd"], **change}
    with engine_client([odd, GOOD]) as client:
        rows = {one.id[0]: one for one in list_containers(client)}
    assert rows["b"].state is ContainerState.RUNNING
    assert rows["b"].health is ContainerHealth.HEALTHY
    container = rows["a"]
    assert (container.state.value, container.health.value) == (state, health)
    assert bool(container.unreadable) is (case in UNREADABLE)
    state_cell = container_format.state(container)
    assert (state_cell.role != "ok") is (role != "ok")
    assert role == state_cell.role
    if not container.state.is_known:
        assert container.state.word in state_cell.text
        assert state_cell.role == ""
    assert container_format.detail(container, None, None, {}, 60)


@pytest.mark.parametrize("row", [{}, None, "text", [], {"Id": None}], ids=["empty", "null", "text", "list", "null-id"])
def test_a_row_that_is_no_container_says_so_and_the_others_stay(row: Any) -> None:
    with engine_client([row, GOOD]) as client:
        rows = list_containers(client)
    assert [row.name for row in rows if not row.unreadable] == ["good"]
    (odd,) = [one for one in rows if one.unreadable]
    assert container_format.state(odd).role == ""


def test_ps_shows_the_words_as_they_are(tmp_path: Path) -> None:
    from core.cli.app import root

    odd = {**GOOD, "Id": "a" * 64, "Names": ["/odd"], "State": "initialized", "Status": "Initialized"}
    with engine_of([odd, GOOD]) as address:
        done = CliRunner().invoke(root, ["--site", str(tmp_path), "ps"], env={"DOCKER_HOST": f"tcp://{address}"})
    assert done.exit_code == 0, done.output
    assert "initialized" in done.output
    assert "healthy" in done.output


def test_what_is_not_known_is_said_and_never_fine() -> None:
    described = {"Id": "a" * 64, "Name": "/odd", "State": {"Status": "hibernating"}, "Config": {"Labels": LAUNCHED}}
    with engine_client([], **{f"/containers/{'a' * 64}/json": described}) as client:
        (finding,) = diagnose(client, "a" * 64)
    assert "hibernating" in finding.why
    from tui.sources import Containers

    lines = overview.alert_lines(None, None, Containers([parse_container(described)], {}), None, None, None, 100)
    assert any("hibernating" in plain_text(line) for line in lines)


def test_one_whose_description_cannot_be_read_is_not_healthy() -> None:
    described = {"Id": "a" * 64, "Name": "/odd", "State": {"Status": "running"}, "Created": "yesterday"}
    described["Config"] = {"Labels": LAUNCHED}
    answers = {f"/containers/{'a' * 64}/json": described}
    with engine_client([], **answers) as client, pytest.raises(EngineError, match="yesterday"):
        wait_healthy(client, "a" * 64, timeout=0)
    assert parse_container(described).managed


@pytest.mark.parametrize("missing", ["State", "Config", "NetworkSettings", "Created", "Image", "Name"])
def test_a_description_that_lacks_a_field_is_read(missing: str) -> None:
    full = {"Id": "c" * 64, "Name": "/x", "State": {"Status": "running"}, "Config": {}, "NetworkSettings": {}}
    full |= {"Created": "2026-01-01T00:00:00.123456789Z", "Image": "sha256:1"}
    del full[missing]
    assert parse_container(full).id == "c" * 64


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"cpu_stats": {"cpu_usage": None}, "memory_stats": None, "networks": None, "pids_stats": None},
        {"networks": {"eth0": {}}, "memory_stats": {"usage": None, "stats": {"inactive_file": None}}},
    ],
    ids=["empty", "nulls", "empty-parts"],
)
def test_statistics_without_a_figure_have_none(raw: dict[str, Any]) -> None:
    with engine_client([], **{"/stats": raw}) as client:
        sampler = StatsSampler(client)
        sampler.sample(["a"])
        assert sampler.sample(["a"])["a"].cpu_percent is None


# -- NVML -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "words"),
    [("0x1000", ["reason 0x1000"]), ("0x1004", ["power cap", "reason 0x1000"]), ("0x1", [])],
    ids=["newer", "both", "idle"],
)
def test_newer_throttle_reason(reasons: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(tmp_path, "gpu rtx4090", f"throttle 0 {reasons}")
    for name, value in nvml.env.items():
        monkeypatch.setenv(name, value)
    with GpuSampler() as sampler:
        (gpu,) = sampler.sample().gpus
    assert gpu.throttle == words


@pytest.mark.parametrize("code", [4, 21, 23, 999], ids=["permission", "power", "memory", "unheard-of"])
def test_an_error_of_one_gpu_is_that_of_its_row(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(tmp_path, "gpu rtx4090", "gpu gtx1060", f"fail 0 {code}")
    for name, value in nvml.env.items():
        monkeypatch.setenv(name, value)
    with GpuSampler() as sampler:
        sample = sampler.sample()
    first, second = sample.gpus
    assert (first.state, second.state) == (GpuState.ERROR, GpuState.OK)
    assert first.detail
    assert f"GPU 0 does not answer: {first.detail}" in sample.detail


# -- BuildKit, kept builds, the ledger --------------------------------------------------------------------------------

PROGRESS = {
    "vertex-without-digest": {"vertexes": [{"name": "x"}, {"digest": "d", "name": "[a 1/1] RUN true"}]},
    "null-fields": {"vertexes": [{"digest": "d", "name": None, "started": None, "error": None}]},
    "started-is-a-number": {"vertexes": [{"digest": "x", "started": 5}, {"digest": "d", "name": "y"}]},
    "status-without-id": {"statuses": [{"vertex": "d"}], "vertexes": [{"digest": "d", "name": "y"}]},
    "log-not-base64": {"logs": [{"vertex": "d", "data": "abc"}], "vertexes": [{"digest": "d", "name": "y"}]},
    "rows-are-a-number": {"statuses": 5, "vertexes": [{"digest": "d", "name": "y"}]},
    "rows-are-texts": {"vertexes": ["odd"], "warnings": [{"level": 1}], "news": 1},
}


@pytest.mark.parametrize("case", PROGRESS)
def test_what_buildkit_says_otherwise_ends_no_build(case: str) -> None:
    reader = RawJsonReader()
    events = [*reader.feed(json.dumps(PROGRESS[case]).encode() + b"\n"), *reader.close()]
    if case != "rows-are-texts":
        assert any(isinstance(one, Vertex) and one.id == "d" for one in events)
    if case != "null-fields":
        assert any(isinstance(one, OutputLine) and "cannot be read" in one.text for one in events)


@pytest.mark.parametrize("word", ["PAUSED", "DONE maybe", "CANCELED"])
def test_a_plain_state_that_is_not_known_is_a_line(word: str) -> None:
    reader = PlainReader(clock=lambda: 1.0)
    *_, last = [*reader.feed(f"#5 [a 1/2] RUN x\n#5 {word}\n".encode())]
    if word == "CANCELED":
        assert isinstance(last, Vertex)
        assert last.error
    else:
        assert last == OutputLine("5", word)


DONE = {"id": "2", "preset": "p", "started": 2, "outcome": "done"}
RECORDS = {
    "newer-outcome": {"id": "2", "preset": "p", "started": 2, "outcome": "superseded"},
    "newer-level": {**DONE, "findings": [{"level": "hint", "code": "c", "what": "w"}]},
    "odd-finding": {**DONE, "findings": [{"level": "error"}, 7]},
    "null-stages": {**DONE, "stages": None},
    "started-is-text": {"id": "2", "preset": "p", "started": "soon"},
    "not-an-object": [1],
    "half": '{"id": "2", "pre',
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_build_record_of_a_newer_xaiva(case: str, tmp_path: Path) -> None:
    site = Site.open(tmp_path)
    newer_record = RECORDS[case]
    good = {"id": "1", "preset": "p", "started": 1, "outcome": "done"}
    for name, record in (("20260101T000000Z-1", good), ("20260102T000000Z-2", newer_record)):
        folder = builds_folder(site) / name
        folder.mkdir(parents=True)
        (folder / "log.txt").touch()
        (folder / "record.json").write_text(record if isinstance(record, str) else json.dumps(record))
    builds = list_builds(site)
    assert len(builds) == 2
    assert any(build.id == "1" for build in builds)
    (odd,) = [one for one in builds if one.id != "1"]
    assert plain_text(build_format.row(odd)[1])
    assert build_format.detail(odd, True, 80)
    if case in ("newer-level", "odd-finding"):
        assert plain_text(finding_format.summary(odd.findings)) == ("? hint" if case == "newer-level" else "? unknown")
    else:
        assert build_format.row(odd)[1].role == ""  # type: ignore[union-attr]
    assert bool(odd.error) is (case not in ("newer-outcome", "newer-level", "odd-finding"))


BODIES = {
    "newer-state": '{"id": "s", "title": "t", "state": "verifying"}',
    "null-state": '{"id": "s", "title": "t", "state": null}',
    "no-title": '{"id": "s"}',
    "half": '{"id": "s"',
    "list": "[]",
}


@pytest.mark.parametrize("case", BODIES)
def test_a_stage_of_a_newer_xaiva(case: str, tmp_path: Path) -> None:
    ledger, connection = ledger_with_one(tmp_path)
    put = "INSERT INTO stage (operation, id, position, body) VALUES (1, ?, ?, ?)"
    connection.execute(put, ("good", 1, Stage(id="good", title="good").model_dump_json()))
    connection.execute(put, ("s", 2, BODIES[case]))
    connection.commit()
    stages = {stage.id: stage for stage in ledger.stages(1)}
    assert stages["good"].title == "good"
    lines = [plain_text(one) for one in operation_format.stage_lines([*stages.values()], 1.0, 80)]
    assert any("?" in one for one in lines)


@pytest.mark.parametrize("column", ["options", "result", "failure"])
@pytest.mark.parametrize("text", ['{"half', "7", '{"what": 3}'], ids=["half", "number", "other"])
def test_a_row_of_the_ledger_that_cannot_be_read(column: str, text: str, tmp_path: Path) -> None:
    ledger, connection = ledger_with_one(tmp_path)
    connection.execute(f"UPDATE operation SET {column} = ? WHERE id = 1", (text,))
    connection.commit()
    rows = {operation.id: operation for operation in ledger.list()}
    assert rows[2].failure is None
    if (column, text) not in (("options", '{"what": 3}'), ("result", '{"what": 3}')):
        assert rows[1].failure is not None
        assert "cannot be read" in rows[1].failure.why


def ledger_with_one(folder: Path) -> tuple[Ledger, sqlite3.Connection]:
    from core.operations.database import connect

    ledger = site_ledger(Site.open(folder))
    connection = connect(ledger.path)
    put = (
        "INSERT INTO operation (kind, subject, key, target, options, state, token, created, boot, lease, by) "
        "VALUES ('lock', 'p', ?, 'm:f', '{}', 'done', 't', 1, 'b', 0, '')"
    )
    for key in ("a", "b"):
        connection.execute(put, (key,))
    return ledger, connection
