"""The inference service of the demo: a child process that ends with its parent."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from core.errors import XaivaError
from core.redaction import set_secrets

_PR_SET_PDEATHSIG = 1  # of prctl(2)
_ADDRESS = re.compile(r"listening on (http://\S+)$", re.MULTILINE)
_SETTINGS = {"XAIVA_ONNX_PROVIDER": "cpu", "XAIVA_CLIPS_GB": "1", "XAIVA_CLIPS_FREE_GB": "0.1"}


class ServiceProcess:
    """`core.inference serve` on a free port of the loopback address, with its data below `folder`.

    It runs in this process's environment without any settings of another service, and inherits the descriptor `lock`.
    `token` is its service token.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.token = secrets.token_urlsafe(24)
        variables = {**_SETTINGS, "XAIVA_SERVICE_TOKEN": self.token, "XAIVA_MODELS": str(folder / "models")}
        set_secrets(variables)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("XAIVA_")}
        self._log = folder / "service.log"
        words = ["serve", "--host", "127.0.0.1", "--port", "0", "--data", str(folder / "data")]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "core.inference", *words],
                cwd=folder,
                env={**environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                preexec_fn=_end_with_parent,
            )

    def address(self) -> str:
        """Its address once it listens; empty before. Raises XaivaError when it has ended."""
        if self._process.poll() is not None:
            raise self.error(f"it ended with exit code {self._process.returncode}")
        match = _ADDRESS.search(self._log.read_text(errors="replace"))
        return match[1] if match else ""

    def error(self, why: str) -> XaivaError:
        """An error that says why it failed, and quotes the last line of its log."""
        lines = self._log.read_text(errors="replace").splitlines()
        last = f"; its last line: {lines[-1]}" if lines else ""
        return XaivaError("The demo's inference service", f"{why}{last}")

    def kill(self) -> None:
        """End it at once: what it would save is removed with its folder. Any thread may call it."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._process.wait()


def _end_with_parent() -> None:
    """Runs in the child, which the kernel then kills when its parent ends in whatever way."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
