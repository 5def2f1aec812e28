"""The console over a real SSH connection, also inside tmux: keys and clipboard."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.operations.model import Operation, OperationState
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.sample_kinds import KINDS
from tests.support import require, until
from tests.support.pty_session import PtySession
from tests.support.sshd import serve_ssh

pytestmark = [pytest.mark.ssh, pytest.mark.terminal]
ROOT = Path(__file__).parents[2]
CLIPBOARD = re.compile(rb"\x1b\]52;c?;([A-Za-z0-9+/=]+)(?:\x07|\x1b\\)")


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[list[str]]:
    """The client's command to reach a real SSH server."""
    with serve_ssh(tmp_path / "ssh") as client:
        yield ["ssh", "-tt", "-F", os.fspath(client), "here"]


@pytest.fixture
def running(bare_site: Site) -> Iterator[Operation]:
    """An operation that runs until it is cancelled."""
    ledger = site_ledger(bare_site, KINDS)
    operation = ledger.start("wait", "cpu-debian12")
    yield operation
    ledger.cancel(operation.id)
    ledger.wait(operation.id)


def console(site: Site) -> str:
    """The shell command that opens the console."""
    words = [
        "env",
        f"DOCKER_HOST={site.env['DOCKER_HOST']}",
        sys.executable,
        "-m",
        "tui",
        "--site",
        str(site.root),
    ]
    return f"cd {shlex.quote(str(ROOT))} && exec {shlex.join(words)}"


def copied(session: PtySession) -> list[str]:
    """The text that the local terminal received for its clipboard."""
    return [base64.b64decode(match).decode() for match in CLIPBOARD.findall(session.sent)]


def test_an_operation_is_cancelled_and_a_screen_copied_over_ssh(
    bare_site: Site, running: Operation, sshd: list[str]
) -> None:
    with PtySession([*sshd, console(bare_site)], columns=120, rows=35) as session:
        session.wait_for("Overview", 30)
        session.press("7")
        session.wait_for("▶ running")
        session.wait_for("waiting as")  # its log
        session.press("y")
        until(lambda: copied(session))
        assert "wait cpu-debian12" in copied(session)[0]
        session.press("c")
        session.wait_for("Cancel wait cpu-debian12?")
        session.press("enter")  # Cancel has the focus
        session.wait_for(lambda text: "Cancel it" not in text)
        assert site_ledger(bare_site).get(running.id).state is OperationState.RUNNING
        session.press("c")
        session.wait_for("Cancel it")
        session.press("tab", "enter")
        session.wait_for("■ cancelled")
        assert site_ledger(bare_site).get(running.id).state is OperationState.CANCELLED
        session.press("q")
        assert session.wait_end() == 0


def test_the_clipboard_comes_through_tmux_at_the_far_end(
    bare_site: Site, running: Operation, sshd: list[str], tmp_path: Path
) -> None:
    require(shutil.which("tmux"), "tmux")
    settings = tmp_path / "tmux.conf"
    settings.write_text("set -g set-clipboard on\nset -g default-terminal tmux-256color\n")
    # From its folder: the path of a socket has 107 bytes at most.
    tmux = f"cd {shlex.quote(os.fspath(tmp_path))} && exec tmux -S tmux -f tmux.conf"
    with PtySession([*sshd, f"{tmux} new-session {shlex.quote(console(bare_site))}"], columns=120, rows=35) as session:
        try:
            session.wait_for("Overview", 30)
            session.press("7")
            session.wait_for("wait cpu-debian12")
            session.wait_for("waiting as")
            session.press("y")
            until(lambda: copied(session))
            assert "wait cpu-debian12" in copied(session)[-1]
        finally:
            session.press("q")
            session.wait_end()
