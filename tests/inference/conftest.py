"""Cameras that come back quickly, and a service as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from core.errors import XaivaError
from core.inference.cameras.backoff import Backoff
from core.service_client import ServiceClient
from tests.support import require, rtsp

QUICK = Backoff(ladder=((0.2, 1000),), rest=0.2, steady=1000)
PATIENCE = 30.0  # seconds; a deadline for what should come soon, on a machine that may be busy
ROOT = Path(__file__).parent.parent.parent

Value = TypeVar("Value")


def until(probe: Callable[[], Value], wanted: Callable[[Value], bool], seconds: float = PATIENCE) -> Value:
    """The first value of `probe` that is wanted."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if wanted(value):
            return value
        assert time.monotonic() < deadline, f"still {value} after {seconds} s"
        time.sleep(0.05)


class ServiceProcess:
    """`xaiva-inference serve` on a free port."""

    def __init__(self, data: Path, *arguments: str, **env: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = data.parent / f"service-{self.port}.log"
        command = [sys.executable, "-m", "core.inference", "serve", "--port", str(self.port), "--data", str(data)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], cwd=ROOT, env={**os.environ, **env}, stdout=log, stderr=log
            )
        self.client = ServiceClient(f"http://127.0.0.1:{self.port}", 5, token=env.get("XAIVA_SERVICE_TOKEN", ""))

    def ready(self) -> ServiceProcess:
        """Wait until it answers."""

        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.client.health().ready
            except XaivaError:
                return False

        until(answers, bool)
        return self

    def stop(self) -> int:
        """End it as an engine does; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Start services; all are killed at the end."""
    data = tmp_path / "data"
    data.mkdir()
    started: list[ServiceProcess] = []

    def start(*arguments: str, **env: str) -> ServiceProcess:
        started.append(ServiceProcess(data, *arguments, **env))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def server() -> Iterator[rtsp.RtspServer]:
    """An RTSP server with one moving camera, `cam`."""
    require(rtsp.available(), "GStreamer's RTSP server")
    with rtsp.RtspServer({"cam": rtsp.Live()}) as running:
        yield running
