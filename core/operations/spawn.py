"""Starts xaiva's own modules in a new interpreter that no site folder or environment variable can redirect."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

from core.operations.place import Place
from core.operations.processes import OPERATION_TOKEN_VARIABLE

_ROOT = os.fspath(Path(__file__).resolve().parents[2])  # the folder that holds the package `core`
# -I: a module `core` in the working directory or on PYTHONPATH must not shadow ours.
_RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {module} import main; main()"
# Forks twice, so that the operation is not a child of this process and never becomes its zombie.
_RUN_DETACHED = "import os; os.fork() and os._exit(0); " + _RUN


def interpreter_command(module: str, *arguments: str, detached: bool = False) -> list[str]:
    """The command that runs `main()` of one of xaiva's modules in a new interpreter."""
    code = (_RUN_DETACHED if detached else _RUN).format(module=module)
    return [sys.executable, "-I", "-c", code, _ROOT, *arguments]


def spawn_supervisor(place: Place, identifier: int, token: str, log: Path, lock: int | None) -> None:
    """Start the supervisor of an operation in its own session; it outlives this process and its terminal.

    It inherits the handle of its lock, and with that the lock. Raises OSError when no process can be created.
    """
    arguments = (place.opener, os.fspath(place.root), str(identifier), token)
    with open(log, "ab") as output:
        first = subprocess.run(
            interpreter_command("core.operations.supervisor", *arguments, detached=True),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place.root,
            env={**place.env, OPERATION_TOKEN_VARIABLE: token},
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,
            check=False,
        )
    if first.returncode:
        raise OSError(errno.EAGAIN, f"no new process could be created (see {log})")
