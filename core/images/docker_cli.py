"""Runs the docker command line as a child process and explains its errors."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from core.engine import SLOW_REMEDY, EngineError


@contextmanager
def docker_cli_errors() -> Iterator[None]:
    """Turn a missing docker client and a time-out into an EngineError."""
    try:
        yield
    except FileNotFoundError as error:
        raise EngineError("The docker client", "there is no `docker` on PATH", "install docker-cli") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError("Docker engine", f"it does not answer within {error.timeout:g} s", SLOW_REMEDY) from error


def run_docker(*arguments: str, env: Mapping[str, str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `docker` with these arguments, at most `timeout` seconds. The caller checks the exit code.

    Raises EngineError when it cannot be started or does not end in time.
    """
    with docker_cli_errors():
        return subprocess.run(["docker", *arguments], env=dict(env), capture_output=True, text=True, timeout=timeout)
