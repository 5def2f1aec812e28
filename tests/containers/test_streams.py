"""Logs and statistics of a real engine: they stop when asked, and survive a restart of the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import docker
from core.containers import engine_stream
from core.containers.container_logs import LineAssembler, follow_logs, parse_time, read_logs
from core.containers.listing import get_container, list_containers
from core.containers.model import ContainerLogLine
from core.containers.shell import exec_argv
from core.containers.stats import StatsSampler
from core.engine import EngineError, connect_engine, docker_environment
from core.errors import InputError
from core.site import Site
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine

PROMPT = 5.0  # seconds: far above what an end takes, far below any time-out


class Reader:
    """Reads an iterable in its own thread."""

    def __init__(self, source: Any) -> None:
        self.items: list[Any] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, args=(source,), daemon=True)
        self._thread.start()

    def _read(self, source: Any) -> None:
        try:
            for item in source:
                self.items.append(item)
        except BaseException as error:
            self.error = error

    def ended(self, seconds: float = PROMPT) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


@pytest.fixture
def run(engine: TestEngine, client: docker.DockerClient) -> Iterator[Callable[..., str]]:
    """Start a shell script in a container and return its id."""

    def start(script: str, *options: str) -> str:
        return engine.docker("run", "-d", *options, BASE_IMAGE, "sh", "-c", script).strip()

    return start


def ended(client: docker.DockerClient, identity: str) -> bool:
    return get_container(client, identity).exit_code is not None


def test_logs_are_lines_with_time_and_stream(client: docker.DockerClient, run: Callable[..., str]) -> None:
    identity = run("echo one; echo two >&2; printf 'ünï\\r\\n'; printf unfinished")
    until(lambda: ended(client, identity))
    lines = list(read_logs(client, identity))
    assert sorted((line.stream, line.text) for line in lines) == [
        ("stderr", "two"),
        ("stdout", "one"),
        ("stdout", "unfinished"),
        ("stdout", "ünï"),
    ]
    assert all(parse_time(line.time[:26] + "Z") > 1e9 for line in lines)
    assert [line.text for line in read_logs(client, identity, stdout=False)] == ["two"]


def test_tail_since_until_and_search(client: docker.DockerClient, run: Callable[..., str]) -> None:
    identity = run("echo early; sleep 1.2; for i in 1 2 3; do echo late $i; done")
    until(lambda: ended(client, identity))
    first = next(iter(read_logs(client, identity)))
    between = parse_time(first.time[:26] + "Z") + 0.6
    assert [line.text for line in read_logs(client, identity, since=between)] == ["late 1", "late 2", "late 3"]
    assert [line.text for line in read_logs(client, identity, until=between)] == ["early"]
    assert [line.text for line in read_logs(client, identity, tail=2)] == ["late 2", "late 3"]
    assert [line.text for line in read_logs(client, identity, search="late [13]")] == ["late 1", "late 3"]
    assert [line.text for line in read_logs(client, identity, search="Late")] == []  # as in the console's own searches
    with pytest.raises(InputError, match="regular expression"):
        read_logs(client, identity, search="(")


def test_terminal_output_and_long_lines(client: docker.DockerClient, run: Callable[..., str]) -> None:
    terminal = run("echo on a terminal", "-t")
    # the engine cuts a line into pieces of 16 KiB and gives each a time
    long = run("head -c 50000 /dev/zero | tr '\\0' x; echo; echo after")
    until(lambda: ended(client, terminal) and ended(client, long))
    assert [line.text for line in read_logs(client, terminal)] == ["on a terminal"]
    assert [line.text for line in read_logs(client, long)] == ["x" * 50000, "after"]


def test_follow_ends_with_the_container(client: docker.DockerClient, run: Callable[..., str]) -> None:
    identity = run("echo before; sleep 1; echo after")
    reader = Reader(follow_logs(client, identity))
    assert reader.ended(20)
    assert reader.error is None
    assert [line.text for line in reader.items] == ["before", "after"]


def test_follow_ends_with_a_container_that_is_removed(client: docker.DockerClient, run: Callable[..., str]) -> None:
    reader = Reader(follow_logs(client, run("sleep 1; echo last", "--rm")))
    assert reader.ended(20)
    assert reader.error is None
    assert [line.text for line in reader.items] == ["last"]


def test_log_that_the_engine_does_not_keep(client: docker.DockerClient, run: Callable[..., str]) -> None:
    reader = Reader(follow_logs(client, run("sleep 1000", "--log-driver", "none")))
    assert reader.ended(20)  # a retry would not help
    assert "does not support reading" in str(reader.error)


def test_follow_ends_when_asked_while_it_waits(client: docker.DockerClient, run: Callable[..., str]) -> None:
    stream = follow_logs(client, run("echo only; sleep 1000"))
    reader = Reader(stream)
    until(lambda: reader.items)
    stream.close()
    assert reader.ended()
    assert reader.error is None


def test_follow_of_a_quiet_container_loses_and_repeats_nothing(
    client: docker.DockerClient, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_stream, "IDLE_SECONDS", 0.3)
    identity = run("for i in 1 2 3 4; do echo $i; echo $i; sleep 0.8; done")
    reader = Reader(follow_logs(client, identity))
    assert reader.ended(30)
    assert [line.text for line in reader.items] == [c for i in "1234" for c in (i, i)]


def test_follow_goes_on_when_the_engine_is_back(engine: TestEngine, engine_site: Site, run: Callable[..., str]) -> None:
    client = connect_engine(engine_site)
    identity = run("i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done", "--restart", "always")
    stream = follow_logs(client, identity)
    reader = Reader(stream)
    until(lambda: len(reader.items) >= 3)
    engine.restart()
    before = len(reader.items)
    until(lambda: len(reader.items) >= before + 3, seconds=60)
    stream.close()
    assert reader.ended()
    times = [line.time for line in reader.items]
    assert times == sorted(set(times))


def test_assembler_takes_bytes_cut_anywhere() -> None:
    import struct

    moment = b"2026-01-02T03:04:05.000000006Z "
    frames = b"".join(
        struct.pack(">BxxxL", number, len(moment + text)) + moment + text
        for number, text in [(1, b"he"), (2, b"oops\n"), (1, b"llo\n"), (1, b"end")]
    )
    for size in (1, 3, 7, len(frames)):
        assembler = LineAssembler(terminal=False)
        lines = [line for at in range(0, len(frames), size) for line in assembler.feed(frames[at : at + size])]
        lines += assembler.finish()
        expected = [("stderr", "oops"), ("stdout", "hello"), ("stdout", "end")]
        assert [(line.stream, line.text) for line in lines] == expected
        assert isinstance(lines[0], ContainerLogLine)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", 400.0),
        ("1.5h", -4400.0),
        ("250", 250.0),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
    ],
)
def test_times(text: str, expected: float) -> None:
    assert parse_time(text, now=1000.0) == expected


def test_times_that_are_none() -> None:
    with pytest.raises(InputError):
        parse_time("yesterday")


def test_statistics(client: docker.DockerClient, run: Callable[..., str]) -> None:
    busy = run("while :; do :; done")
    idle = run("exec sleep 1000")
    sampler = StatsSampler(client)
    first = sampler.sample([busy, idle])
    assert first[busy].cpu_percent is None
    # the kernel's counters move on; wait until they did
    until(lambda: (sampler.sample([busy, idle])[busy].cpu_percent or 0) > 5)
    time.sleep(0.3)
    second = sampler.sample([busy, idle, "0" * 64])
    assert set(second) == {busy, idle}
    assert (second[busy].cpu_percent or 0) > 5 * (second[idle].cpu_percent or 0)
    assert second[idle].memory > 0
    assert second[idle].memory_limit > second[idle].memory
    assert second[idle].pids == 1
    assert second[idle].network_received_rate is not None


def test_a_frozen_engine_is_told_in_time(engine: TestEngine, engine_site: Site, client: docker.DockerClient) -> None:
    quick = connect_engine(engine_site, timeout=0.5)
    engine.docker("run", "-d", "--name", "quiet", BASE_IMAGE, "sleep", "1000")
    stream = follow_logs(quick, "quiet")
    reader = Reader(stream)
    engine.pause()
    try:
        for call in (
            lambda: connect_engine(engine_site, timeout=0.5),
            lambda: list_containers(quick),
            lambda: get_container(quick, "quiet"),
            lambda: StatsSampler(quick).sample(["quiet"]),
        ):
            with pytest.raises(EngineError, match="does not answer in time"):
                call()
        stream.close()
        assert reader.ended()
    finally:
        engine.resume()


def test_shell_in_a_container(engine: TestEngine, engine_site: Site, run: Callable[..., str]) -> None:
    import subprocess

    identity = run("sleep 1000")
    argv = exec_argv(identity, terminal=False)
    done = subprocess.run(argv, env=docker_environment(engine_site), input=b"echo $0 $((6*7))\n", capture_output=True)
    assert done.stdout.split() == [b"bash", b"42"]
    assert exec_argv(identity)[:3] == ["docker", "exec", "-it"]
