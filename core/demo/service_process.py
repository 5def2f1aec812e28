"""The inference service of the demo: a child process that ends with its parent."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from core.errors import XaivaError
from core.service_client import ServiceClient, ServiceError

_START_SECONDS = 120  # on a slow disk, importing everything takes long
_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1  # of prctl(2)
_ADDRESS = re.compile(r"listening on (http://\S+)$", re.MULTILINE)


class ServiceProcess:
    """`core.inference serve` on a free port of the loopback address, with its data below `folder`.

    It runs with the variables `settings` and the environment, except for the environment's own settings of a service.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str], lock: int) -> None:
        self._log = folder / "service.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("XAIVA_")}
        words = ["serve", "--host", "127.0.0.1", "--port", "0", "--data", str(folder / "data")]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "core.inference", *words],
                cwd=folder,
                env={**environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                preexec_fn=_end_with_parent,
            )

    def wait_until_ready(self, token: str) -> str:
        """Wait for the service; returns its address. Raises XaivaError when it ends, or takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._error(f"it ended with exit code {self._process.returncode}")
            if match := _ADDRESS.search(self._log.read_text(errors="replace")):
                try:
                    if ServiceClient(match[1], token=token).health().ready:
                        return match[1]
                except ServiceError:
                    pass  # not yet
            time.sleep(_POLL_SECONDS)
        raise self._error(f"it was not ready after {_START_SECONDS} s")

    def kill(self) -> None:
        """End it at once: what it would save is removed with its folder. Any thread may call it."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._process.wait()

    def _error(self, why: str) -> XaivaError:
        lines = self._log.read_text(errors="replace").splitlines()
        last = f"; its last line: {lines[-1]}" if lines else ""
        return XaivaError("The demo's inference service", f"{why}{last}", "see: xaiva doctor")


def _end_with_parent() -> None:
    """Runs in the child, which the kernel then kills when its parent ends in whatever way."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
