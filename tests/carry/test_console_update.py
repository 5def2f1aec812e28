"""An installed console updates itself from a medium beside the one in use, and goes back with its databases."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.audit import read_audit
from core.carry.console_files import ConsoleFile, console_files, console_list_text, read_console_list
from core.carry.console_update import (
    ConsoleUpdate,
    current_release,
    go_back,
    list_releases,
    plan_way_back,
    update_console,
)
from core.carry.shipment import CONSOLE_LIST, SHIPMENTS, blob_path
from core.cli.app import run as run_command_line
from core.errors import InputError, XaivaError
from core.operations.ledger import Ledger
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.sample_kinds import KINDS
from tests.support.console_medium import SHIPMENT, Box, Office, pack_console, small_checkout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkout(tmp_path_factory.mktemp("office") / "checkout")


@pytest.fixture(scope="module")
def installed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a user who installed a console from a medium."""
    folder = tmp_path_factory.mktemp("box")
    (folder / "home").mkdir()
    office = Office.create(folder)
    pack_console(folder / "medium", office, checkout, Site.open(folder))
    done = Box(folder / "home").start(folder / "medium", "--trust", office.fingerprint)
    assert done.returncode == 0, done.stderr
    return folder / "home/xaiva"


@pytest.fixture
def site(installed: Path, tmp_path: Path) -> Site:
    return Site.open(shutil.copytree(installed, tmp_path / "xaiva", symlinks=True))


@pytest.fixture
def ledger(site: Site) -> Iterator[Ledger]:
    opened = site_ledger(site, KINDS)
    yield opened
    for operation in opened.list(live_only=True):
        opened.cancel(operation.id)
        opened.wait(operation.id, 10)


@pytest.fixture
def database(site: Site) -> Path:
    """The database of a service whose preset has its data in another folder of the site than usual."""
    preset = {"base_image": "ubuntu:22.04", "python_version": "3.10", "run": {"volumes": ["./records:/data"]}}
    (site.presets / "hall.json").write_text(json.dumps(preset))
    path = site.root / "records/xaiva.db"
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE events (id TEXT PRIMARY KEY)")
        connection.execute("INSERT INTO events VALUES ('before')")
        connection.commit()
    return path


def _of_version(checkout: Path, folder: Path, site: Site, version: str) -> list[ConsoleFile]:
    """The files of another version of the console."""
    other = shutil.copytree(checkout, folder / version)
    (other / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (other / "tui/__main__.py").write_text(f"print('this is {version}')\n")
    return console_files(site, other)


def _update(site: Site, ledger: Ledger, checkout: Path, folder: Path, version: str = "0.2.0") -> ConsoleUpdate:
    return update_console(site, ledger, version, _of_version(checkout, folder, site, version))


def _output(site: Site) -> str:
    done = subprocess.run(
        [site.root / "xaiva"], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )
    return done.stdout + done.stderr


def _operations(ledger: Ledger, count: int) -> None:
    for _ in range(count):
        ledger.wait(ledger.start("quick", "work").id, 30)


def _event(database: Path, name: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("INSERT INTO events VALUES (?)", (name,))
        connection.commit()


def _events(database: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute("SELECT id FROM events ORDER BY id")]


def test_an_update_and_the_way_back_and_forth(
    site: Site, ledger: Ledger, database: Path, checkout: Path, tmp_path: Path
) -> None:
    first = current_release(site)
    _operations(ledger, 1)
    done = _update(site, ledger, checkout, tmp_path)
    assert (done.previous, current_release(site)) == (first, done.release)
    assert _output(site) == "this is 0.2.0\n"
    assert (site.root / done.backup / "backup.json").is_file()

    _operations(ledger, 2)
    _event(database, "later")
    plan = plan_way_back(site)
    assert plan.release == first
    assert {(loss.path, loss.table, loss.rows) for loss in plan.losses} == {
        (".xaiva/ledger.sqlite", "operation", 2),
        ("records/xaiva.db", "events", 1),
    }
    go_back(site, ledger, plan)
    assert current_release(site) == first
    assert [operation.id for operation in ledger.list()] == [1]
    assert _events(database) == ["before"]
    assert [(entry.action, entry.subject) for entry in read_audit(site, 2)] == [
        ("console update", done.release),
        ("console back", first),
    ]

    go_back(site, ledger, plan_way_back(site))
    assert _output(site) == "this is 0.2.0\n"
    assert [operation.id for operation in ledger.list()] == [3, 2, 1]
    assert _events(database) == ["before", "later"]


def test_the_two_newest_releases_stay(site: Site, ledger: Ledger, checkout: Path, tmp_path: Path) -> None:
    second = _update(site, ledger, checkout, tmp_path, "0.2.0").release
    third = _update(site, ledger, checkout, tmp_path, "0.3.0").release
    assert [(release.name, release.current, release.way_back) for release in list_releases(site)] == [
        (third, True, False),
        (second, False, True),
    ]
    assert len(list((site.state / "backups").iterdir())) == 1
    assert {path.name for path in (site.root / "releases").iterdir()} == {second, third, "current"}


def test_the_release_in_use_is_no_update(site: Site, ledger: Ledger, checkout: Path) -> None:
    before = current_release(site)
    done = update_console(site, ledger, "0.1.0", console_files(site, checkout))
    assert (done.release, done.previous, done.backup) == (before, before, "")
    with pytest.raises(InputError, match="it was never updated here"):
        plan_way_back(site)


def test_a_live_operation_stops_both_ways(site: Site, ledger: Ledger, checkout: Path, tmp_path: Path) -> None:
    _update(site, ledger, checkout, tmp_path)
    operation = ledger.start("wait", "hall")
    before = current_release(site)
    with pytest.raises(XaivaError, match=f"operation {operation.id} is running: wait hall"):
        _update(site, ledger, checkout, tmp_path, "0.3.0")
    with pytest.raises(XaivaError, match=f"operation {operation.id} is running: wait hall"):
        go_back(site, ledger, plan_way_back(site))
    assert current_release(site) == before


def test_the_operation_that_updates_may_be_live(site: Site, ledger: Ledger, checkout: Path, tmp_path: Path) -> None:
    ledger.start("wait", "medium")
    files = _of_version(checkout, tmp_path, site, "0.2.0")
    release = update_console(site, ledger, "0.2.0", files, calling_kind="wait").release
    assert current_release(site) == release
    ledger.cancel(1)
    ledger.wait(1, 10)
    go_back(site, ledger, plan_way_back(site))
    assert ledger.list() == []  # and so the operation does not look like one that crashed


def test_a_running_service_stops_the_way_back(
    site: Site, ledger: Ledger, database: Path, checkout: Path, tmp_path: Path
) -> None:
    release = _update(site, ledger, checkout, tmp_path).release
    _event(database, "later")
    with contextlib.closing(sqlite3.connect(database)) as service:
        service.execute("SELECT count(*) FROM events").fetchone()
        with pytest.raises(XaivaError, match="a program uses it"):
            go_back(site, ledger, plan_way_back(site))
    assert current_release(site) == release
    assert _events(database) == ["before", "later"]


def test_changed_bytes_change_nothing(site: Site, ledger: Ledger, checkout: Path, tmp_path: Path) -> None:
    before = current_release(site)
    files = _of_version(checkout, tmp_path, site, "0.2.0")
    (tmp_path / "0.2.0/wheelhouse/tool-1.0-py3-none-any.whl").write_bytes(b"changed")
    with pytest.raises(XaivaError, match=r"tool-1\.0.* its bytes have changed"):
        update_console(site, ledger, "0.2.0", files)
    assert current_release(site) == before
    assert {path.name for path in (site.root / "releases").iterdir()} == {before, "current"}


def test_a_release_that_cannot_be_set_up_is_not_used(
    site: Site, ledger: Ledger, checkout: Path, tmp_path: Path
) -> None:
    before = current_release(site)
    other = shutil.copytree(checkout, tmp_path / "broken")
    (other / "xaiva").write_text("echo 'xaiva: there is no room' >&2; exit 1\n")
    with pytest.raises(XaivaError, match="was not installed: xaiva: there is no room"):
        update_console(site, ledger, "0.2.0", console_files(site, other))
    assert current_release(site) == before
    assert {path.name for path in (site.root / "releases").iterdir()} == {before, "current"}


def test_the_list_of_a_medium_gives_the_files(site: Site, ledger: Ledger, checkout: Path, tmp_path: Path) -> None:
    """As `unpack` reads it: the list is verified, and the blobs are checked as they are copied."""
    (tmp_path / "keys").mkdir()
    medium = tmp_path / "medium"
    other = shutil.copytree(checkout, tmp_path / "other")
    (other / "tui/__main__.py").write_text("print('from the medium')\n")
    packed = pack_console(medium, Office.create(tmp_path / "keys"), other, site)
    text = (medium / SHIPMENTS / SHIPMENT / CONSOLE_LIST).read_bytes()
    files = read_console_list(text, lambda sha256, _size: (medium / blob_path(sha256)).open("rb"))
    assert console_list_text(files) == console_list_text(packed)
    update_console(site, ledger, "0.1.0", files)
    assert _output(site) == "from the medium\n"


@pytest.mark.parametrize(
    "line",
    ["", "zz 1 console.tar", f"{'0' * 64} 1 ../x", f"{'0' * 64} 1 wheelhouse/../../x.whl", f"{'0' * 64} 1 more.tar"],
)
def test_a_list_with_another_line_is_refused(line: str) -> None:
    with pytest.raises(InputError, match="a line that this xaiva does not understand"):
        read_console_list(f"{line}\n".encode(), lambda *_: pytest.fail("nothing is opened"))


# -- the command line --------------------------------------------------------------------------------------------------


def test_the_command_line_names_what_is_lost_and_asks(
    site: Site,
    ledger: Ledger,
    database: Path,
    checkout: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    words = ["--site", str(site.root), "console"]
    _operations(ledger, 1)
    first, second = current_release(site), _update(site, ledger, checkout, tmp_path).release
    _operations(ledger, 1)
    _event(database, "later")

    assert run_command_line([*words, "list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], " ".join(row[3:])) for row in rows[1:]] == [(second, "in use"), (first, "the way back")]

    assert run_command_line([*words, "back"]) == 130  # nobody confirms
    assert "lost: 1 of operations, of .xaiva/ledger.sqlite" in capsys.readouterr().err
    assert current_release(site) == second

    assert run_command_line([*words, "back", "--yes", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["release"], answer["previous"]) == (first, second)
    assert {(loss["table"], loss["rows"]) for loss in answer["losses"]} == {("operation", 1), ("events", 1)}
    assert current_release(site) == first


def test_a_checkout_is_not_an_installed_console(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--site", str(tmp_path), "console", "list"]) == 2
    assert "was not installed from a medium" in capsys.readouterr().err
