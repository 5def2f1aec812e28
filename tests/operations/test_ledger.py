"""The life of one operation in the ledger."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core import file_systems
from core.errors import ChecksFailed, InputError, XaivaError
from core.operations import processes, sql
from core.operations.database import shared_connection
from core.operations.ledger import Ledger, raise_for_failure
from core.operations.model import OperationBusy, OperationState
from core.progress import StageState
from core.site import Site
from core.site_operations import KINDS as OUR_KINDS
from core.site_operations import site_ledger
from tests.operations.conftest import MakeLedger
from tests.operations.queue_place import open_queue_place
from tests.operations.support import KINDS, start_and_wait
from tests.support import until


def test_an_operation_tells_its_stages_lines_and_outcome(ledger: Ledger, site: Site) -> None:
    operation = ledger.wait(ledger.start("quick", "thing", {"a": [1, None, "ü"]}).id)
    assert operation.state is OperationState.DONE
    assert operation.result == {"subject": "thing", "options": {"a": [1, None, "ü"]}, "site": os.fspath(site.root)}
    assert operation.key == "preset:thing"
    assert operation.attempt == 1
    assert 0 < operation.seconds < 60
    assert operation.created <= operation.started <= operation.ended
    stages = ledger.stages(operation.id)
    assert [(stage.id, stage.state, stage.done) for stage in stages] == [
        ("one", StageState.DONE, 2.0),
        ("two", StageState.CACHED, 0.0),
    ]
    lines = Path(operation.log).read_text().splitlines()
    assert [line.split("\t")[1:] for line in lines] == [["one", "hello thing"], ["", "printed"]]
    assert [event.what for event in ledger.events(operation.id)] == ["requested", "started, attempt 1", "done"]
    assert ledger.events(operation.id)[0].by == operation.by


def test_a_failure_keeps_its_words_and_exit_code(ledger: Ledger) -> None:
    checked = ledger.wait(ledger.start("checked", "thing").id)
    assert checked.state is OperationState.FAILED
    with pytest.raises(ChecksFailed, match="2 files differ"):
        raise_for_failure(checked)
    broken = ledger.wait(ledger.start("broken", "thing").id)
    assert broken.failure is not None
    assert broken.failure.why == "KeyError: 'something'"
    assert "Traceback" in Path(broken.log).read_text()


def test_a_name_that_is_not_unicode_and_a_number_that_json_lacks_harm_nothing(ledger: Ledger) -> None:
    done = ledger.wait(ledger.start("misnamed", "thing").id, 20)
    assert (done.state, done.result) == (OperationState.DONE, {"file": "caf?.png", "share": None})
    assert [(stage.title, stage.detail) for stage in ledger.stages(done.id)] == [("caf?.png", "caf?.png")]
    failed = ledger.wait(ledger.start("misnamed", "other", {"fail": True}).id, 20)
    assert failed.state is OperationState.FAILED
    assert failed.failure is not None
    assert failed.failure.why == "ValueError: caf?.png"


def test_secrets_reach_neither_log_nor_ledger(site: Site) -> None:
    secret = "s3cr3t-value-that-must-not-appear"
    ledger = site_ledger(Site(site.root, site.settings, {**site.env, "PRIVATE_TOKEN": secret}), KINDS)
    operation = ledger.wait(ledger.start("refused", "thing").id)
    assert operation.failure is not None
    assert operation.failure.why == "*** is wrong"
    until(lambda: not processes.start_time(operation.pid))  # it removes its files after the outcome
    assert "https://***@example.invalid/simple with ***" in Path(operation.log).read_text()
    for path in site.state.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_the_second_on_one_key_learns_who_holds_it(ledger: Ledger) -> None:
    first = ledger.start("wait", "thing")
    with pytest.raises(OperationBusy) as caught:
        ledger.start("quick", "thing")
    assert caught.value.holder.id == first.id
    assert f"operation {first.id} (wait thing) has been using it since 20" in str(caught.value)
    assert ledger.wait(ledger.start("quick", "other").id).state is OperationState.DONE
    assert ledger.wait(ledger.start("quick", "thing", key="another").id).state is OperationState.DONE


def test_fifty_at_once_make_one_live_operation(ledger: Ledger, site: Site) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from core.site import Site; from core.site_operations import site_ledger\n"
        "from core.operations.model import OperationBusy\n"
        "from tests.operations.sample_kinds import KINDS\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "ledger = site_ledger(Site.open(sys.argv[2]), KINDS)\n"
        "def start(_):\n"
        "    try: return ledger.start('wait', 'thing').id\n"
        "    except OperationBusy as busy: return -busy.holder.id\n"
        "print(*ThreadPoolExecutor(10).map(start, range(10)))\n"
    )
    root = os.fspath(Path(__file__).parents[2])
    children = [
        subprocess.Popen([sys.executable, "-c", code, root, os.fspath(site.root)], stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    answers = [int(word) for child in children for word in child.communicate(timeout=60)[0].split()]
    assert len(answers) == 50
    (winner,) = [answer for answer in answers if answer > 0]
    assert set(answers) == {winner, -winner}
    assert [operation.id for operation in ledger.list(live_only=True)] == [winner]


def test_retry_runs_the_same_row_again(ledger: Ledger, site: Site) -> None:
    operation, _ = start_and_wait(ledger)
    with pytest.raises(InputError, match="it is running"):
        ledger.retry(operation.id)
    ledger.cancel(operation.id)
    assert ledger.wait(operation.id).state is OperationState.CANCELLED
    (site.root / "go").touch()
    shared_connection(ledger.path).execute("UPDATE operation SET target = 'core.moved:run'")  # as an older xaiva wrote
    again = ledger.wait(ledger.retry(operation.id).id)
    assert (again.state, again.attempt, again.failure) == (OperationState.DONE, 2, None)
    assert again.result == {"waited": True}
    assert "-- attempt 2 --" in Path(again.log).read_text()


def test_old_operations_are_forgotten_with_their_logs(ledger: Ledger, site: Site) -> None:
    few = site_ledger(Site(site.root, site.settings.model_copy(update={"operations": _keep(site, 2)}), site.env), KINDS)
    ended = [few.wait(few.start("quick", f"thing-{number}").id) for number in range(4)]
    remaining = {operation.id for operation in few.list()}
    assert ended[0].id not in remaining
    assert ended[3].id in remaining
    assert not Path(ended[0].log).exists()
    assert Path(ended[3].log).exists()
    with pytest.raises(InputError, match="no operation with that number"):
        few.get(ended[0].id)


def test_a_log_that_cannot_be_deleted_keeps_nothing_from_starting(make: MakeLedger) -> None:
    ledger = make({}, keep=1)
    ended = [ledger.wait(ledger.start("quick", f"{number}").id) for number in range(2)]
    _make_undeletable(Path(ended[0].log))
    assert ledger.wait(ledger.start("quick", "next").id).state is OperationState.DONE


def test_a_log_that_cannot_be_deleted_does_not_hold_the_queue_after_a_planned_stop(
    make: MakeLedger, site: Site
) -> None:
    ledger = make({}, keep=1)
    ended = [ledger.wait(ledger.start("quick", f"{number}").id) for number in range(2)]
    _make_undeletable(Path(ended[0].log))
    ledger.requeue_live()
    waiting = ledger.start("quick", "next")
    Ledger(open_queue_place(os.fspath(site.root))).dispatch()
    assert ledger.wait(waiting.id, 30).state is OperationState.DONE


def _make_undeletable(log: Path) -> None:
    log.unlink()
    log.mkdir()


def _keep(site: Site, number: int):  # type: ignore[no-untyped-def]
    return site.settings.operations.model_copy(update={"keep": number})


def test_every_kind_of_ours_has_the_shape(ledger: Ledger) -> None:
    at_any_site = {"lock", "sync", "verify", "wheel", "build", "load", "up", "clean"}
    assert set(OUR_KINDS) == at_any_site | {"pack", "unpack", "check", "rehearse", "stack"}
    with pytest.raises(InputError, match="no operation of this kind"):
        ledger.start("sing", "thing")


def test_looking_creates_nothing(site: Site) -> None:
    ledger = site_ledger(site)
    assert ledger.list() == []
    with pytest.raises(InputError):
        ledger.get(1)
    assert not site.state.exists()


def test_a_ledger_of_a_newer_xaiva_is_left_alone(site: Site) -> None:
    site.state.mkdir()
    with sqlite3.connect(site.state / "ledger.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {sql.VERSION + 1}")
    connection.close()
    with pytest.raises(XaivaError, match="written by a newer xaiva"):
        site_ledger(site).list()


def test_a_damaged_ledger_is_named_with_a_way_out(site: Site) -> None:
    site.state.mkdir()
    (site.state / "ledger.sqlite").write_bytes(b"this is not a ledger" * 1000)
    with pytest.raises(XaivaError, match="not a database") as caught:
        site_ledger(site).list()
    assert "move" in caught.value.remedy


def test_a_read_only_medium_can_still_be_read(small_disk: Path) -> None:
    site = Site.open(small_disk)

    def work() -> int:
        ledger = site_ledger(site, KINDS)
        operation = ledger.wait(ledger.start("quick", "thing").id)
        until(lambda: not processes.start_time(operation.pid))
        return operation.id

    with ThreadPoolExecutor(1) as pool:  # its connection closes with its thread: else the disk is in use
        identifier = pool.submit(work).result()
    gc.collect()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    ledger = site_ledger(site, KINDS)
    assert ledger.get(identifier).state is OperationState.DONE
    assert [update.operation.id for update in ledger.follow(identifier)] == [identifier]
    with pytest.raises(XaivaError, match="unable to open"):
        ledger.start("quick", "thing")


def test_a_network_file_system_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS cannot be mounted here, so the test replaces the mount table."""
    table = Path("/proc/self/mountinfo").read_text()
    monkeypatch.setattr(
        file_systems, "_mounts", lambda: table + f"99 1 0:99 / {site.root} rw - nfs4 server:/export rw,vers=4.2\n"
    )
    with pytest.raises(XaivaError, match=r"network file system \(nfs4\)"):
        site_ledger(site, KINDS).start("quick", "thing")


def test_each_place_has_its_own_remedy_on_a_network_file_system(
    make: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    remedy = "set XAIVA_JOBS to a folder on a local disk"
    ledger = make({}, network_remedy=remedy)
    monkeypatch.setattr(file_systems, "_mounts", lambda: f"99 1 0:99 / {ledger.path.parent} rw - nfs4 a:/b rw\n")
    with pytest.raises(XaivaError) as caught:
        ledger.start("quick", "thing")
    assert caught.value.remedy == remedy


def test_the_remedies_name_the_command_of_the_place(make: MakeLedger) -> None:
    ledger = make({}, command="xaiva job")
    first = ledger.start("wait", "thing")
    with pytest.raises(OperationBusy) as caught:
        ledger.start("wait", "thing")
    assert caught.value.remedy == f"watch it: xaiva job follow {first.id}; or cancel it: xaiva job cancel {first.id}"


def test_the_file_system_of_a_folder_is_found() -> None:
    assert file_systems.file_system_type(Path("/proc")) == "proc"


def test_a_sites_own_core_does_not_shadow_ours(ledger: Ledger, site: Site) -> None:
    (site.root / "core").mkdir()
    (site.root / "core" / "__init__.py").write_text("raise SystemExit('the wrong core')")
    assert ledger.wait(ledger.start("quick", "thing").id).state is OperationState.DONE


def test_two_threads_may_share_a_ledger(ledger: Ledger) -> None:
    operation = ledger.start("wait", "thing")
    until(lambda: ledger.get(operation.id).state is OperationState.RUNNING)
    with ThreadPoolExecutor(4) as pool:
        states = set(pool.map(lambda _: ledger.get(operation.id).state, range(40)))
    assert states == {OperationState.RUNNING}
