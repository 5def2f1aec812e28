"""Processes are measured and ended by their identity: a pid that was used again is never sent a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.errors import InputError
from core.process_identity import start_time
from core.telemetry.process_end import end_process
from core.telemetry.process_usage import ProcessSampler
from tests.support import until

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_ends_a_process(sleeper: subprocess.Popen[bytes]) -> None:
    assert end_process(sleeper.pid, start_time(sleeper.pid))
    assert sleeper.wait() == -signal.SIGTERM


def test_a_pid_that_was_used_again_gets_no_signal(sleeper: subprocess.Popen[bytes]) -> None:
    with pytest.raises(InputError, match="no signal was sent"):
        end_process(sleeper.pid, start_time(sleeper.pid) - 1)
    assert sleeper.poll() is None


def test_a_process_that_ignores_the_request_is_killed_by_the_second_choice() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started = start_time(process.pid)
        assert not end_process(process.pid, started, seconds=0.05)
        assert end_process(process.pid, started, kill=True)


def test_neither_this_program_nor_the_first_process_is_ended() -> None:
    for pid in (1, os.getpid()):
        with pytest.raises(InputError):
            end_process(pid, start_time(pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_process_of_somebody_else_is_a_clear_error(sleeper: subprocess.Popen[bytes]) -> None:
    script = (
        "import sys, os; sys.path.insert(0, os.getcwd()); from core.telemetry.process_end import end_process; "
        "from core.errors import XaivaError; os.setuid(65534)\n"
        f"try: end_process({sleeper.pid}, {start_time(sleeper.pid)})\n"
        "except XaivaError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "another user" in said
    assert "as root" in said


def test_usage_is_what_the_kernel_says() -> None:
    sampler = ProcessSampler()
    with subprocess.Popen(["sh", "-c", "while :; do :; done", "sh", "--token=hunter2hunter2"]) as process:
        try:
            (first,) = sampler.sample([process.pid, 4194999]).values()
            # the kernel counts memory in steps, so that a new process has none at first
            later = until(
                lambda: sampler.sample([process.pid])[process.pid],
                lambda usage: usage.cpu_percent and usage.memory,
            )
        finally:
            process.kill()
    assert (first.pid, first.cpu_percent) == (process.pid, None)
    assert first.owner
    assert "hunter2" not in later.command
    assert "while" in later.command
