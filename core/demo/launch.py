"""Starts a demo, and ends it with this process, however this process ends."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.demo.folder import LockedFolder, create_folder, remove_leftovers
from core.errors import XaivaError, os_reason

NEEDED = ("av", "numpy", "onnxruntime", "fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2", "jwt")
SERVICE_VARIABLES = ("XAIVA_SERVICE", "XAIVA_SERVICE_TOKEN")  # which service a console speaks to, and as whom
_WHAT = "The demo"


@dataclass(frozen=True)
class Demo:
    """A running demo: its site folder, and the address of its service."""

    site: Path
    service: str


@contextmanager
def running_demo(on_progress: Callable[[str], None]) -> Iterator[Demo]:
    """Start a demo, and end it at the end of the block or of this process; calls `on_progress` with lines of text.

    The service answers when the block begins; its cameras come one after another. Raises XaivaError when a package is
    missing, or the service does not start.
    """
    _require_packages()
    for path in remove_leftovers():
        on_progress(f"removed {path}, which a killed demo had left")
    try:
        folder = create_folder()
    except OSError as error:
        why = f"its folder cannot be created: {os_reason(error)}"
        raise XaivaError(_WHAT, why, "name a folder with free space in TMPDIR") from error
    on_progress(f"the demo's folder is {folder.path}; it is removed at the end")
    on_progress("starting the inference service and the cameras")
    keeper = _start_keeper(folder)
    os.close(folder.lock)  # the keeper and the service hold it from now on
    try:
        service = _wait_until_ready(keeper)
        for name in SERVICE_VARIABLES:
            os.environ.pop(name, None)  # they would win over the demo's own
        yield Demo(folder.path, service)
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait()


def _require_packages() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        why = f"the inference service needs packages that are not installed: {', '.join(missing)}"
        raise XaivaError(_WHAT, why, "run `./xaiva demo` in xaiva's folder, which installs them")


def _start_keeper(folder: LockedFolder) -> subprocess.Popen[bytes]:
    with open(folder.path / "demo.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "core.demo", str(folder.path), str(folder.lock)],
            cwd=folder.path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=[folder.lock],
            start_new_session=True,  # Ctrl-C and the end of the terminal do not reach it: it ends in order
        )


def _wait_until_ready(keeper: subprocess.Popen[bytes]) -> str:
    assert keeper.stdout is not None
    with keeper.stdout as reports:
        for line in reports:
            report = json.loads(line)
            if "error" in report:
                raise XaivaError(*report["error"])
            return str(report["ready"])
    raise XaivaError(_WHAT, "it ended unexpectedly while it started")
