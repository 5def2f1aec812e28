"""Operations outlive what started them: a terminal, an SSH session, a killed console, a clock that steps back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.operations.ledger import Ledger
from core.operations.model import OperationState
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.support import KINDS, leftovers, start_and_wait
from tests.support import require, until
from tests.support.pty_session import PtySession
from tests.support.sshd import serve_ssh

ROOT = os.fspath(Path(__file__).parents[2])
# Starts an operation and follows it, as the console and the command line do.
FOLLOWER = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from core.site import Site; from core.site_operations import site_ledger\n"
    "from tests.operations.sample_kinds import KINDS\n"
    "ledger = site_ledger(Site.open(sys.argv[2]), KINDS)\n"
    "for update in ledger.follow(ledger.start('wait', 'thing').id):\n"
    "    for line in update.lines: print(line.text, flush=True)\n"
)


def _command(site: Site) -> list[str]:
    return [sys.executable, "-c", FOLLOWER, ROOT, os.fspath(site.root)]


def _goes_on_to_its_end(ledger: Ledger, site: Site) -> None:
    (operation,) = ledger.list(live_only=True)
    before = until(lambda: ledger.stages(operation.id))  # its supervisor writes them after the lines
    until(lambda: ledger.stages(operation.id) != before)
    (site.root / "go").touch()
    ended = ledger.wait(operation.id)
    assert ended.state is OperationState.DONE
    assert ended.result == {"waited": True}
    assert leftovers(site.root) == []


@pytest.mark.terminal
def test_the_terminal_goes_away(ledger: Ledger, site: Site) -> None:
    with PtySession(_command(site)) as session:
        session.wait_for("waiting as")
        session.hang_up()
        assert session.wait_end() == -signal.SIGHUP
    _goes_on_to_its_end(ledger, site)


def test_the_one_who_follows_is_killed(ledger: Ledger, site: Site) -> None:
    with subprocess.Popen(_command(site), stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert b"waiting as" in follower.stdout.readline()
        follower.kill()
    _goes_on_to_its_end(ledger, site)


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[list[str]]:
    """The client's command to reach a real SSH server."""
    with serve_ssh(tmp_path / "ssh") as client:
        yield ["ssh", "-tt", "-F", os.fspath(client), "here"]


@pytest.mark.ssh
def test_the_ssh_session_is_cut(ledger: Ledger, site: Site, ssh: list[str], tmp_path: Path) -> None:
    script = tmp_path / "follow.sh"
    words = " ".join(f"'{word}'" for word in (sys.executable, os.fspath(tmp_path / "follow.py"), ROOT, site.root))
    (tmp_path / "follow.py").write_text(FOLLOWER)
    script.write_text(f"#!/bin/sh\nexec {words}\n")
    script.chmod(0o755)
    with subprocess.Popen([*ssh, os.fspath(script)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        _read_until(client.stdout.fileno(), b"waiting as")
        (operation,) = ledger.list(live_only=True)
        assert operation.by.endswith("from 127.0.0.1")
        client.kill()
    _goes_on_to_its_end(ledger, site)
    second = subprocess.run(
        [*ssh, f"cd '{ROOT}' && '{sys.executable}' -m core.cli --site '{site.root}' ops show {operation.id}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "wait thing: done" in second.stdout, second.stdout + second.stderr


def _read_until(handle: int, mark: bytes) -> None:
    seen, deadline = b"", time.monotonic() + 20
    while mark not in seen:
        assert time.monotonic() < deadline, seen
        seen += os.read(handle, 4096)


def test_the_clock_steps_back_by_a_day(site: Site, tmp_path: Path) -> None:
    require(shutil.which("gcc"), "a C compiler")
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("clock.c")], check=True)
    offset.write_text("0")
    moved = {**site.env, "LD_PRELOAD": os.fspath(library), "CLOCK_OFFSET_FILE": os.fspath(offset)}
    ledger = site_ledger(Site(site.root, site.settings, moved), KINDS)
    operation, _ = start_and_wait(ledger)
    offset.write_text("-86400")
    stages = ledger.stages(operation.id)
    until(lambda: ledger.stages(operation.id) != stages)
    assert ledger.get(operation.id).state is OperationState.RUNNING
    (site.root / "go").touch()
    ended = ledger.wait(operation.id)
    assert ended.state is OperationState.DONE
    assert ended.ended < ended.started  # people see the wall clock as it was set
    assert 0 < ended.seconds < 600  # the duration is not affected


def test_a_stopped_supervisor_is_late_but_not_crashed(ledger: Ledger, site: Site) -> None:
    operation, _ = start_and_wait(ledger)
    os.kill(operation.pid, signal.SIGSTOP)
    try:
        assert ledger.get(operation.id).state is OperationState.RUNNING
    finally:
        os.kill(operation.pid, signal.SIGCONT)
    (site.root / "go").touch()
    assert ledger.wait(operation.id).state is OperationState.DONE
