"""What can go in a site's folders, and what never does."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from core.artifacts.lock_store import INCOMING_FOLDER, INCOMING_JOURNAL
from core.clean import run as clean_run
from core.clean.files import freed_bytes
from core.clean.model import Category
from core.clean.plan import plan_clean
from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX
from core.images.build_history import BuildOutcome, builds_folder
from core.progress import NullProgress
from core.site import OperationSettings, Site
from tests.clean.support import add_artifacts, add_build, add_preset, ids, make_old, waiting_ledger
from tests.support import until


@pytest.fixture(name="site")
def _site(engineless_site: Site) -> Site:
    return engineless_site


def clean(site: Site, *names: str) -> dict[str, object]:
    """Remove these items, or all that can go; returns the outcome."""
    chosen = list(names) or [item.id for item in plan_clean(site).items]
    return dict(clean_run.run(site, "site", {"items": [*chosen]}, NullProgress()))


def test_artifacts_of_a_preset_that_is_gone_can_go_and_others_stay(site: Site) -> None:
    add_preset(site, "present")
    for name in ("present", "gone"):
        add_artifacts(site, name)
    (site.artifacts / "pictures").mkdir()
    plan = plan_clean(site)
    assert ids(plan, Category.ARTIFACTS) == {"gone"}
    item = next(item for item in plan.items if item.id == "artifacts:gone")
    assert item.size is not None
    assert 100_000 <= item.size < 200_000
    assert "gone no longer exists" in item.why
    assert "need the network" in item.loss
    assert any(item.what == "artifacts/pictures" and "no lock" in item.why for item in plan.kept)
    outcome = clean(site)
    assert outcome["freed_bytes"] == item.size
    assert sorted(os.listdir(site.artifacts)) == ["pictures", "present"]


def test_presets_that_cannot_be_listed_are_not_taken_for_none(site: Site) -> None:
    add_artifacts(site, "a")
    assert ids(plan_clean(site), Category.ARTIFACTS) == set()
    site.presets.rmdir()
    site.presets.symlink_to(site.root / "not-mounted")
    plan = plan_clean(site)
    assert plan.items == []
    assert [part.why for part in plan.unknown if part.category is Category.ARTIFACTS] != []


def test_a_broken_preset_still_needs_its_artifacts(site: Site) -> None:
    add_preset(site, "other")
    (site.presets / "broken.json").write_text("{")
    add_artifacts(site, "broken")
    assert ids(plan_clean(site), Category.ARTIFACTS) == set()


def test_files_that_no_lock_names_go_and_downloads_that_a_sync_resumes_stay(site: Site) -> None:
    add_preset(site, "a")
    folder = add_artifacts(site, "a")
    (folder / "models" / "m").unlink()
    (folder / "models" / "old").write_bytes(b"x" * 8192)
    (folder / ".partial").mkdir()
    (folder / ".partial" / f"{'a' * 64}.part").write_text("resumed")
    (folder / ".partial" / f"{'b' * 64}.part").write_text("of nothing")
    assert ids(plan_clean(site), Category.ARTIFACTS) == {"a/extra"}
    clean(site, "artifacts:a/extra")
    assert os.listdir(folder / ".partial") == [f"{'a' * 64}.part"]
    assert os.listdir(folder / "models") == []


def test_nothing_that_a_live_operation_holds_is_listed(site: Site) -> None:
    add_preset(site, "a")
    folder = add_artifacts(site, "gone")
    make_old(_write(site.presets / f"{TEMPORARY_PREFIX}x"), 2)
    ledger = waiting_ledger(site)
    for key in ("preset:gone", "medium:/media/stick"):
        operation = ledger.start("wait", "x", key=key)
        plan = plan_clean(site)
        assert ids(plan, Category.ARTIFACTS) == set(), key
        assert any(f"operation {operation.id}" in item.why for item in plan.kept)
        outcome = clean(site, "artifacts:gone")
        assert outcome["removed"] == []
        assert outcome["kept"]
        ledger.cancel(operation.id)
        until(lambda number=operation.id: not ledger.get(number).state.live)
    assert folder.is_dir()
    assert ids(plan_clean(site), Category.ARTIFACTS) == {"gone"}


def test_an_operation_that_starts_meanwhile_stops_the_removal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    add_preset(site, "a")
    folders = [add_artifacts(site, name) for name in ("gone-1", "gone-2")]
    ledger = waiting_ledger(site)
    remove = clean_run._CleanUp.remove

    def start_after_the_first(self: clean_run._CleanUp, removable: object) -> None:
        remove(self, removable)  # type: ignore[arg-type]
        if len(self.removed) == 1 and not ledger.list():
            ledger.start("wait", "x")

    monkeypatch.setattr(clean_run._CleanUp, "remove", start_after_the_first)
    outcome = clean(site)
    ledger.cancel(ledger.list()[0].id)
    assert [folder.is_dir() for folder in folders] == [False, True]
    assert "has started" in str(outcome["kept"])


def test_old_builds_go_but_not_running_ones_and_not_the_last_good_ones(site: Site) -> None:
    few = site.settings.model_copy(update={"operations": OperationSettings(keep=10)})
    site = Site(site.root, few, site.env)
    good = [add_build(site, number, "a", BuildOutcome.DONE) for number in (1, 2, 3)]
    failed = add_build(site, 4, "a", BuildOutcome.FAILED)
    for number in range(10, 20):
        add_build(site, number, "a", BuildOutcome.FAILED)
    plan = plan_clean(site)
    assert ids(plan, Category.BUILDS) == {"old"}
    assert any("last good images" in item.why for item in plan.kept)
    clean(site, "builds:old")
    names = os.listdir(builds_folder(site))
    assert good[0] not in names
    assert failed not in names
    assert {good[1], good[2]} < set(names)
    assert len(names) == 12


def test_logs_without_an_operation_go(site: Site) -> None:
    ledger = waiting_ledger(site)
    operation = ledger.start("wait", "x")
    ledger.cancel(operation.id)
    until(lambda: not ledger.get(operation.id).state.live)
    folder = site.state / "operations"
    until(lambda: not list(folder.glob("*.lock")))  # its supervisor has gone
    for name in ("777.log", "777.reserve", "notes.txt"):
        _write(folder / name)
    clean(site, "operations:old")
    assert sorted(os.listdir(folder)) == [f"{operation.id}.log", "notes.txt"]


def test_old_temporary_files_go_and_new_ones_and_keys_stay(site: Site) -> None:
    add_preset(site, "a")
    old = [
        make_old(_write(folder / f"{TEMPORARY_PREFIX}old"), 2)
        for folder in (site.root, site.presets, add_artifacts(site, "a"), site.state / "clips")
    ]
    new = [_write(site.presets / f"{TEMPORARY_PREFIX}new"), _write(site.state / "carry" / "signers")]
    make_old(new[1], 100)
    copied = make_old(_write(site.state / "clips" / "text.txt"), 30)
    assert len(ids(plan_clean(site), Category.LEFTOVERS)) == 4
    clean(site)
    assert not any(path.exists() for path in [*old, copied])
    assert all(path.exists() for path in new)


@pytest.mark.parametrize(("days", "journal", "goes"), [(8, False, True), (1, False, False), (8, True, False)])
def test_what_an_unpack_left_goes_unless_it_goes_on(site: Site, days: int, journal: bool, goes: bool) -> None:
    """With the journal the files are on the way to their places, and the site is not whole without them."""
    add_preset(site, "a")
    incoming = site.artifacts / INCOMING_FOLDER
    make_old(_write(incoming / "blob"), days)
    if journal:
        make_old(_write(incoming / INCOMING_JOURNAL), days)
    make_old(incoming, days)
    clean(site)
    assert incoming.exists() == (not goes)


def test_a_failing_item_does_not_stop_the_others_and_is_reported(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    add_preset(site, "a")
    for name in ("gone-1", "gone-2", "gone-3"):
        add_artifacts(site, name)
    unlink = os.unlink

    def refuse(path: str, *args: object, **options: object) -> None:
        if path == "m" and os.path.samestat(os.stat(options["dir_fd"]), os.stat(site.artifacts / "gone-2/models")):  # type: ignore[arg-type]
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path, *args, **options)  # type: ignore[arg-type]

    with suppress(XaivaError), monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        outcome = clean(site)
    assert os.listdir(site.artifacts) == ["gone-2"]
    assert len(outcome["removed"]) == 2  # type: ignore[arg-type]
    (finding,) = outcome["findings"]  # type: ignore[misc]
    assert finding["level"] == "error"
    assert "gone-2" in finding["what"]
    assert "not permitted" in finding["why"].lower()
    assert ids(plan_clean(site), Category.ARTIFACTS) == {"gone-2"}, "its lock is still there"


def test_what_has_another_name_elsewhere_frees_nothing(site: Site, tmp_path: Path) -> None:
    folder = add_artifacts(site, "a")
    os.link(folder / "models" / "m", tmp_path / "twin")
    assert freed_bytes([folder]) < 100_000
    assert freed_bytes([folder, tmp_path / "twin"]) >= 100_000


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text")
    return path
