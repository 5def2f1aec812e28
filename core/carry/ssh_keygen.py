"""Calls `ssh-keygen`: without a shell, in English, in UTC, and without a terminal, so that it never asks anybody."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import NamedTuple

from core.errors import XaivaError, os_reason
from core.install_commands import ssh_keygen_advice

PROGRAM = "ssh-keygen"
_SECONDS = 60.0  # a security key waits for a touch
_PASSED_ON = ("PATH", "HOME", "SSH_AUTH_SOCK", "SSH_SK_PROVIDER")


class Result(NamedTuple):
    """How the program ended; `errors` is what it printed as lines without the empty ones."""

    code: int
    out: str
    errors: list[str]


def call(*arguments: str, stdin: bytes = b"") -> Result:
    """Run `ssh-keygen` to its end. Raises XaivaError when it is not installed or does not end."""
    env = {name: value for name in _PASSED_ON if (value := os.environ.get(name))}
    env |= {"LC_ALL": "C", "TZ": "UTC", "SSH_ASKPASS_REQUIRE": "never"}
    program = shutil.which(PROGRAM)
    if program is None:
        raise _missing()
    try:
        done = subprocess.run(
            [program, *arguments],
            input=stdin,
            capture_output=True,
            env=env,
            start_new_session=True,  # without a terminal: a question for a passphrase is an error at once
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        why = f"it has not ended after {_SECONDS:.0f} s"
        remedy = "see whether a security key waits to be touched, or an agent for an answer"
        raise XaivaError(PROGRAM, why, remedy) from error
    except OSError as error:
        raise XaivaError(f"{program}", f"it cannot be started: {os_reason(error)}", _missing().remedy) from error
    out, err = (data.decode(errors="replace") for data in (done.stdout, done.stderr))
    return Result(done.returncode, out, [line.strip() for line in f"{err}\n{out}".splitlines() if line.strip()])


def _missing() -> XaivaError:
    advice = ssh_keygen_advice()
    remedy = f"{advice.text}: {'; '.join(advice.commands)}" if advice.commands else advice.text
    return XaivaError("There is no ssh-keygen on PATH", "signatures are made and checked by OpenSSH", remedy)
