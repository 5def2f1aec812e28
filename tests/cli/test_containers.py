"""Containers from the command line, on a real engine."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from core import labels
from core.site import Site
from tests.cli.conftest import Xaiva, command
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine


@pytest.fixture
def on_engine(xaiva: Xaiva, engine: TestEngine) -> Xaiva:
    """The command line, pointed at the test engine."""
    return partial(xaiva, env=engine.env)


@pytest.fixture
def talker(engine: TestEngine) -> Iterator[str]:
    """A container that says two lines, stays, and stops at once."""
    name = "cli-talker"
    say = "echo first; echo second >&2; exec sleep 600"
    run = ("run", "-d", "--name", name, "--network", "none", "--stop-signal", "KILL")
    engine.docker(*run, BASE_IMAGE, "sh", "-c", say)
    yield name
    engine.docker("rm", "-f", name, check=False)


def test_ps_logs_stats_exec_stop_restart_rm(on_engine: Xaiva, talker: str) -> None:
    assert re.search(rf"{talker} +running", on_engine("ps").out)
    (row,) = [c for c in on_engine("ps", "--json").document["containers"] if c["name"] == talker]
    assert row["ours"] is False
    logs = on_engine("logs", talker)
    assert (logs.out, logs.err) == ("first\n", "second\n")
    (line,) = [json.loads(line) for line in on_engine("logs", talker, "--grep", "^f", "--json").out.splitlines()]
    assert line["text"] == "first"
    assert on_engine("inspect", talker, "--json").document["container"]["Id"] == row["id"]
    assert json.loads(on_engine("inspect", talker).out)["HostConfig"]["NetworkMode"] == "none"
    assert talker in on_engine("stats", "--json").document["stats"]
    assert on_engine("stop", row["id"][:12]).code == 0
    assert on_engine("restart", talker, "--json").document["container"]["state"] == "running"
    assert on_engine("rm", talker).code == 130
    assert on_engine("rm", talker, "--force", "--yes", "--json").document == {"removed": talker}
    result = on_engine("logs", talker)
    assert result.code == 2
    assert "xaiva ps" in result.err


def test_engine_and_what_it_holds(on_engine: Xaiva, engine: TestEngine, talker: str) -> None:
    engine.docker("volume", "create", "cli-volume")
    document = on_engine("engine", "--json").document
    assert document["engine"]["host"] == engine.host
    assert [total["kind"] for total in document["totals"]] == ["image", "volume", "network", "cache"]
    assert re.search(r"(?s)engine +Docker Engine.*KIND.*image", on_engine("engine").out)
    (row,) = [i for i in on_engine("engine", "images", "--json").document["images"] if BASE_IMAGE in i["tags"]]
    assert talker in [use["container"] for use in row["used_by"]]
    assert re.search(rf"{BASE_IMAGE}.*{talker}", on_engine("engine", "images").out)
    assert re.search(r"cli-volume +0 B ", on_engine("engine", "volumes").out)
    assert re.search(rf"none +null .*{talker}", on_engine("engine", "networks").out)
    assert on_engine("engine", "cache", "--json").document["cache"] is not None
    engine.docker("volume", "rm", "cli-volume")


def test_engine_events_are_a_stream_of_documents(small_site: Site, engine: TestEngine, talker: str) -> None:
    words = command(small_site, "engine", "events", "--since", "1m", "--json")
    with subprocess.Popen(words, env=engine.env, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        names = (document["name"] for document in map(json.loads, stream.stdout) if document["action"] == "start")
        assert talker in names
        stream.terminate()


def test_exec_hands_on_its_streams_and_the_exit_code(xaiva_process: Xaiva, engine: TestEngine, talker: str) -> None:
    inside = xaiva_process("exec", talker, "sh", "-c", "cat; exit 7", env=engine.env, stdin="through\n")
    assert (inside.code, inside.out) == (7, "through\n")


def test_launch_says_that_the_image_is_missing(on_engine: Xaiva) -> None:
    done = on_engine("launch", "small")
    assert done.code == 1
    assert "xaiva build small" in done.err


@pytest.fixture
def launched(engine: TestEngine, site: Site) -> Iterator[Callable[[list[str]], str]]:
    """Writes the preset `small` with a health check, and gives it an image; its container is removed afterwards."""
    tag = labels.image_tag("small")
    engine.docker("tag", BASE_IMAGE, tag)

    def write(health_check: list[str]) -> str:
        run = {
            "command": ["sleep", "600"],
            "restart": "no",
            "health_check": {"command": health_check, "interval": 0.2, "timeout": 5, "retries": 1, "start_period": 0},
        }
        text = {"base_image": BASE_IMAGE, "python_version": "3.11", "run": run}
        (site.presets / "small.json").write_text(json.dumps(text))
        return "xaiva-small"

    yield write
    engine.docker("rm", "-f", "xaiva-small", check=False)
    engine.docker("rmi", tag)


def test_launch_waits_until_it_is_well(on_engine: Xaiva, launched: Callable[[list[str]], str]) -> None:
    launched(["true"])
    done = on_engine("launch", "small", "--wait", "--json")
    assert done.code == 0, done.err
    assert done.document["container"]["health"] == "healthy"
    assert on_engine("ps", "--json").document["findings"] == []


def test_launch_that_does_not_become_well_says_what_ails_it(
    on_engine: Xaiva, launched: Callable[[list[str]], str]
) -> None:
    name = launched(["sh", "-c", "echo no model here; exit 1"])
    done = on_engine("launch", "small", "--wait")
    assert done.code == 1
    assert "no model here" in done.out
    assert f"xaiva logs {name}" in done.out
    listed = on_engine("ps")
    assert re.search(rf"{name} +running +unhealthy(.|\n)*error: Container {name}(.|\n)*no model here", listed.out)
    (finding,) = on_engine("ps", "--json").document["findings"]
    assert finding["code"] == "unhealthy"


def test_launch_gives_up_in_time(on_engine: Xaiva, launched: Callable[[list[str]], str]) -> None:
    launched(["sleep", "4"])
    done = on_engine("launch", "small", "--wait", "--timeout", "0.1", "--json")
    assert done.code == 1
    assert "did not become healthy within 0.1 s" in done.document["error"]["why"]


def test_no_engine_is_said_plainly(xaiva: Xaiva) -> None:
    done = xaiva("ps", env={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert done.code == 1
    assert "/nowhere/docker.sock" in done.err
    assert "→" in done.err
