"""Long work from the command line: followed, detached, cancelled, in plain lines and in documents."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.operations.ledger import Ledger
from core.operations.model import OperationState
from core.site import Site
from core.site_operations import site_ledger
from tests.cli.conftest import Xaiva, command
from tests.operations.support import KINDS, first_line
from tests.support.pty_session import PtySession
from tests.support.signals import usual_signals


@contextmanager
def _process(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(words, stdout=subprocess.PIPE, preexec_fn=usual_signals) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.fixture
def ledger(site: Site) -> Iterator[Ledger]:
    """The site's ledger, over the small works of the tests of operations."""
    opened = site_ledger(site, KINDS)
    yield opened
    for operation in opened.list(live_only=True):
        opened.cancel(operation.id)
        opened.wait(operation.id, 10)


def test_list_show_and_follow(xaiva: Xaiva, ledger: Ledger) -> None:
    assert xaiva("ops", "list", "--json").document == {"operations": []}
    operation = ledger.wait(ledger.start("quick", "thing").id)
    assert re.search(rf"{operation.id} +done +quick thing", xaiva("ops", "list").out)
    assert xaiva("ops", "list", "--live", "--json").document == {"operations": []}
    result = xaiva("ops", "show", str(operation.id))
    assert "quick thing: done in" in result.out
    assert operation.log in result.out
    document = xaiva("ops", "show", str(operation.id), "--json").document
    assert document["operation"]["result"]["subject"] == "thing"
    assert [stage["id"] for stage in document["stages"]] == ["one", "two"]
    assert [event["what"] for event in document["events"]][-1] == "done"
    followed = xaiva("ops", "follow", str(operation.id))
    assert followed.code == 0
    assert "one: hello thing" in followed.out
    assert "[done] First" in followed.out
    lines = [json.loads(line) for line in xaiva("ops", "follow", str(operation.id), "--json").out.splitlines()]
    assert [line["text"] for update in lines for line in update["lines"]] == ["hello thing", "printed"]
    assert xaiva("ops", "show", "4711").code == 2


def test_the_outcome_decides_the_exit_code(xaiva: Xaiva, ledger: Ledger) -> None:
    for kind, code in (("quick", 0), ("broken", 1), ("refused", 2), ("checked", 3)):
        operation = ledger.wait(ledger.start(kind, "thing").id)
        assert xaiva("ops", "follow", str(operation.id)).code == code, kind


def test_cancel_and_retry(xaiva: Xaiva, ledger: Ledger, site: Site) -> None:
    operation = ledger.start("wait", "thing")
    first_line(ledger, operation, "waiting")
    assert xaiva("ops", "cancel", str(operation.id)).out == "wait thing: cancelled\n"
    assert xaiva("ops", "cancel", str(operation.id)).out == "wait thing had already ended: cancelled\n"
    assert xaiva("ops", "follow", str(operation.id)).code == 130
    (site.root / "go").touch()
    assert xaiva("ops", "retry", str(operation.id)).code == 0
    assert ledger.wait(operation.id).state is OperationState.DONE


def test_one_follows_what_another_started_and_leaves_it_running(ledger: Ledger, site: Site) -> None:
    operation = ledger.start("wait", "thing")
    with _process(command(site, "ops", "follow", str(operation.id))) as child:
        assert child.stdout is not None
        while b"waiting" not in child.stdout.readline():
            pass
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 0
    assert ledger.get(operation.id).state is OperationState.RUNNING


def test_work_needs_its_preset_and_its_lock(xaiva: Xaiva) -> None:
    assert xaiva("lock", "nothing").code == 2
    for words in (["sync", "small"], ["verify", "small"], ["build", "small"]):
        done = xaiva(*words)
        assert done.code in (1, 2)
        assert "xaiva lock small" in done.err, words
        assert xaiva(*words, "--json").document["error"]["remedy"]
    assert xaiva("ops", "list", "--json").document == {"operations": []}


def test_a_lock_that_lacks_something_is_no_success(xaiva: Xaiva, site: Site) -> None:
    """`xaiva lock && xaiva sync` must not succeed with artifacts that cannot be built."""
    plan = {"base_image": "debian:bookworm-slim", "python_version": "3.11", "inference_service": False}
    (site.presets / "small.json").write_text(json.dumps(plan))
    env = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    result = xaiva("lock", "small", env=env)
    assert result.code == 3
    assert "  not locked: base image debian:bookworm-slim: " in result.out
    assert "\n    → " in result.out
    json_result = xaiva("lock", "small", "--json", env=env)
    assert json_result.code == 3
    assert json_result.document["operation"]["result"]["state"] == "partial"


def test_a_failure_is_told_with_its_code_and_as_a_document(xaiva: Xaiva, xaiva_process: Xaiva, site: Site) -> None:
    """The engine is not there: the load fails in words."""
    _broken_lock_is_enough(site)
    env = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    result = xaiva_process("verify", "small", env=env)
    assert result.code == 3
    assert "error: " in result.err
    json_result = xaiva("verify", "small", "--json", env=env)
    assert json_result.code == 3
    assert json_result.document["operation"]["state"] == "failed"
    assert json_result.document["operation"]["failure"]["exit_code"] == 3
    detached = xaiva_process("verify", "small", "--detach", "--json", env=env)
    assert detached.code == 0
    identifier = detached.document["operation"]["id"]
    assert site_ledger(site).wait(identifier).state is OperationState.FAILED


def _broken_lock_is_enough(site: Site) -> None:
    """A lock whose one file is not there."""
    folder = site.artifacts / "small"
    folder.mkdir(parents=True)
    (folder / "lock.json").write_text(
        json.dumps(
            {
                "preset": "small",
                "preset_sha256": "0" * 64,
                "python_version": "3.11",
                "base_image": {"reference": "debian:bookworm-slim", "tag": "x", "config_digest": "sha256:0"},
                "files": [
                    {
                        "path": "sources/x-1.tar.gz",
                        "size": 3,
                        "sha256": "0" * 64,
                        "kind": "source",
                        "url": "https://example.invalid/x-1.tar.gz",
                    }
                ],
            }
        )
    )


_FOLLOW_OWN = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from core import site_operations; from core.cli import app; from tests.operations.sample_kinds import KINDS\n"
    "site_operations.KINDS.clear(); site_operations.KINDS.update(KINDS)\n"
    "import core.cli.artifacts as a, core.artifacts.lock_store as s\n"
    "s.read_lock = lambda *_: None\n"
    "site_operations.KINDS['verify'] = KINDS['wait']\n"
    "sys.exit(app.run(['--site', sys.argv[2], 'verify', 'thing', *sys.argv[3:]]))\n"
)


def _own(site: Site, *words: str) -> list[str]:
    return [sys.executable, "-c", _FOLLOW_OWN, os.fspath(Path(__file__).parents[2]), os.fspath(site.root), *words]


def test_ctrl_c_cancels_what_it_started(ledger: Ledger, site: Site) -> None:
    with _process(_own(site)) as child:
        assert child.stdout is not None
        while b"waiting" not in child.stdout.readline():
            pass
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    assert ledger.list()[0].state is OperationState.CANCELLED


@pytest.mark.terminal
def test_bars_on_a_terminal_and_the_result_at_the_end(ledger: Ledger, site: Site) -> None:
    with PtySession(_own(site)) as session:
        session.wait_for("Waiting")
        (site.root / "go").touch()
        assert session.wait_end() == 0
        assert "verify thing: done in" in session.text
        assert b"waiting as" not in session.sent  # the log has the lines; the terminal shows bars
        assert b"\x1b[?25l" in session.sent
        assert 25 in session.modes  # the cursor is back
