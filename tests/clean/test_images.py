"""What can go in a real engine, and what never does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from core import labels
from core.artifacts.lock_store import LOCK_NAME
from core.clean import images as clean_images
from core.clean import run as clean_run
from core.clean.images import unused_records
from core.clean.model import Category
from core.clean.plan import plan_clean
from core.cli.app import root
from core.engine_objects.model import CacheRecord
from core.images.build_history import BuildOutcome
from core.process_identity import own_identity
from core.progress import NullProgress
from core.site import Site
from tests.clean.support import BASE, add_artifacts, add_build, add_image, add_preset, ids, waiting_ledger
from tests.support import until
from tests.support.engine import TestEngine

pytestmark = pytest.mark.engine


def clean(site: Site, *names: str) -> dict[str, object]:
    """Remove these items, or all that can go; returns the outcome."""
    chosen = list(names) or [item.id for item in plan_clean(site).items]
    return dict(clean_run.run(site, "site", {"items": [*chosen]}, NullProgress()))


def build_images(engine: TestEngine, site: Site, preset: str, *outcomes: BuildOutcome) -> list[str]:
    """One build after the other, each with its record and its image; returns the images."""
    start = len(list((site.state / "builds").glob("*"))) + 1
    images = []
    for number, outcome in enumerate(outcomes, start):
        tag = "latest" if outcome is BuildOutcome.DONE else "candidate"
        images.append(add_image(engine, preset, add_build(site, number, preset, outcome), tag))
    return images


def present(engine: TestEngine) -> set[str]:
    return set(engine.docker("images", "-aq", "--no-trunc").split())


def test_the_last_two_good_images_stay_and_older_and_failed_ones_go(site: Site, either_engine: TestEngine) -> None:
    site = Site(site.root, site.settings, either_engine.env)
    add_preset(site, "a")
    done, failed = BuildOutcome.DONE, BuildOutcome.FAILED
    first, second, bad, third, worse = build_images(either_engine, site, "a", done, done, failed, done, failed)
    assert {first, second, third, worse} <= present(either_engine)
    old = {first, bad, worse} & present(either_engine)  # containerd's store drops a candidate that lost its tag
    plan = plan_clean(site)
    assert ids(plan, Category.IMAGES) == old
    assert {item.id for item in plan.kept} >= {f"images:{second}", f"images:{third}"}
    item = next(item for item in plan.items if item.id == f"images:{first}")
    assert item.size is not None
    assert item.size >= 50_000
    assert "xaiva build a" in item.loss
    outcome = clean(site)
    assert "findings" not in outcome
    assert len(outcome["removed"]) == len(old)
    assert {second, third} <= present(either_engine)
    assert not {first, bad, worse} & present(either_engine)
    assert either_engine.docker("image", "inspect", "--format", "{{.Id}}", "xaiva/a:latest").strip() == third


def test_an_image_of_a_container_stays_even_if_the_container_is_stopped(
    engine_site: Site, clean_engine: TestEngine
) -> None:
    add_preset(engine_site, "a")
    first, *_ = build_images(clean_engine, engine_site, "a", *[BuildOutcome.DONE] * 3)
    clean_engine.docker("create", "--name", "old-one", first)
    assert ids(plan_clean(engine_site), Category.IMAGES) == set()
    outcome = clean(engine_site, f"images:{first}")
    assert outcome["kept"] == [{"what": f"xaiva/a no tag {first[7:19]}", "why": "the container old-one uses it"}]
    assert first in present(clean_engine)


def test_images_of_a_gone_preset_go_only_if_this_site_built_them(engine_site: Site, clean_engine: TestEngine) -> None:
    add_preset(engine_site, "a")
    (mine,) = build_images(clean_engine, engine_site, "gone", BuildOutcome.DONE)
    foreign = add_image(clean_engine, "other", "20200101T000000Z-bbbbbb")
    tagged = build_images(clean_engine, engine_site, "gone-2", BuildOutcome.DONE)[0]
    clean_engine.docker("tag", tagged, "customer/product:1")
    assert ids(plan_clean(engine_site), Category.IMAGES) == {mine}
    clean(engine_site)
    assert mine not in present(clean_engine)
    assert {foreign, tagged} <= present(clean_engine)


def test_loaded_images_without_a_record_keep_a_way_back_too(engine_site: Site, clean_engine: TestEngine) -> None:
    add_preset(engine_site, "a")
    loaded = [add_image(clean_engine, "a", f"2020010{number}T000000Z-bbbbbb") for number in (1, 2, 3, 4)]
    assert ids(plan_clean(engine_site), Category.IMAGES) == {loaded[0]}


def test_a_base_image_stays_while_a_lock_needs_it_or_may(engine_site: Site, clean_engine: TestEngine) -> None:
    clean_engine.docker("tag", add_image(clean_engine, "x", "x", "temporary"), BASE.tag)
    identity = add_image(clean_engine, "x", "y", "temporary")  # takes that tag, so that the base has only its own
    base = clean_engine.docker("image", "inspect", "--format", "{{.Id}}", BASE.tag).strip()
    add_preset(engine_site, "a")
    folder = add_artifacts(engine_site, "a")
    assert base not in ids(plan_clean(engine_site), Category.IMAGES)
    lock = (folder / LOCK_NAME).read_text()
    (folder / LOCK_NAME).write_text("{")
    assert base not in ids(plan_clean(engine_site), Category.IMAGES), "an unreadable lock may need it"
    (folder / LOCK_NAME).write_text(lock.replace("0123456789ab", "ba9876543210"))
    assert base in ids(plan_clean(engine_site), Category.IMAGES)
    ledger = waiting_ledger(engine_site)
    operation = ledger.start("wait", "b")
    assert base not in ids(plan_clean(engine_site), Category.IMAGES), "the operation may be a lock"
    ledger.cancel(operation.id)
    ledger.wait(operation.id)
    clean(engine_site, f"images:{base}")
    assert base not in present(clean_engine)
    assert identity in present(clean_engine)


def test_one_image_is_removed_by_hand_but_not_one_in_use(engine_site: Site, clean_engine: TestEngine) -> None:
    used, free = add_image(clean_engine, "used", "x"), add_image(clean_engine, "free", "y")
    clean_engine.docker("tag", free, "customer/product:1")
    clean_engine.docker("create", "--name", "user", used)
    (engine_site.root / "site.toml").write_text(f"[engine]\nhost = '{clean_engine.host}'\n")

    def remove(image: str) -> str:
        words = ["--site", str(engine_site.root), "engine", "remove", image, "--yes"]
        result = CliRunner().invoke(root, words)
        return result.output or str(result.exception)

    assert "the container user uses it" in remove("xaiva/used")
    assert "the engine has no such image" in remove("xaiva/absent")
    assert "removed" in remove(free.removeprefix("sha256:")[:12])
    assert used in present(clean_engine)
    assert free not in present(clean_engine)


def test_only_cache_that_no_build_has_used_for_long_goes(
    engine_site: Site, clean_engine: TestEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_preset(engine_site, "a")
    dockerfile = "FROM debian:bookworm-slim\nRUN head -c 300000 /dev/urandom > /random\nFROM scratch\n"
    (tmp_path / "Dockerfile").write_text(dockerfile + "COPY --from=0 /random /\n")
    clean_engine.docker("build", "--network", "none", "-q", str(tmp_path))
    assert ids(plan_clean(engine_site), Category.CACHE) == set()
    monkeypatch.setattr(clean_images, "CACHE_HOURS", 0)
    plan = plan_clean(engine_site)
    (item,) = [item for item in plan.items if item.category is Category.CACHE]
    assert item.size is not None
    assert item.size >= 300_000
    freed = []  # the engine counts in whole seconds: what was used in this one stays until the next

    def clean_again() -> int:
        freed.append(clean(engine_site, item.id)["freed_bytes"])
        return sum(freed)

    assert until(clean_again, lambda total: total >= item.size) == item.size
    assert ids(plan_clean(engine_site), Category.CACHE) == set()


def test_a_record_stays_as_long_as_one_that_is_built_on_it() -> None:
    def record(name: str, last_used: float, *parents: str, in_use: bool = False) -> CacheRecord:
        return CacheRecord(
            id=name, name=name, created=1, last_used=last_used, size=1, in_use=in_use, parents=list(parents)
        )

    records = [
        record("a", 1),
        record("b", 1, "a"),
        record("c", 9, "b"),
        record("d", 1, "a"),
        record("e", 1, in_use=True),
    ]
    assert [item.id for item in unused_records(records, before=5)] == ["d"]


def test_helper_containers_of_dead_processes_go_and_others_stay(engine_site: Site, clean_engine: TestEngine) -> None:
    add_preset(engine_site, "a")
    dead = subprocess.run(
        [sys.executable, "-c", "from core.process_identity import own_identity; print(own_identity())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    for name, owner in (("helper-dead", dead), ("helper-live", own_identity())):
        clean_engine.docker(
            "create", "--name", name, "--label", f"{labels.HELPER_OWNER}={owner}", "debian:bookworm-slim", "true"
        )
    assert ids(plan_clean(engine_site), Category.CONTAINERS) == {"helpers"}
    clean(engine_site)
    assert clean_engine.docker("ps", "-a", "--format", "{{.Names}}").split() == ["helper-live"]


def test_artifacts_that_a_container_mounts_stay(engine_site: Site, clean_engine: TestEngine) -> None:
    add_preset(engine_site, "a")
    models = add_artifacts(engine_site, "gone") / "models"
    clean_engine.docker("create", "--name", "reader", "-v", f"{models}:/models:ro", "debian:bookworm-slim", "true")
    plan = plan_clean(engine_site)
    assert ids(plan, Category.ARTIFACTS) == set()
    assert any("the container reader mounts it" in item.why for item in plan.kept)
    clean_engine.docker("rm", "reader")
    assert ids(plan_clean(engine_site), Category.ARTIFACTS) == {"gone"}


def test_an_engine_that_does_not_answer_is_unknown_and_not_empty(engine_site: Site) -> None:
    add_preset(engine_site, "a")
    add_artifacts(engine_site, "gone")
    nowhere = Site(engine_site.root, engine_site.settings, {"DOCKER_HOST": f"unix://{engine_site.root}/none.sock"})
    plan = plan_clean(nowhere)
    assert [item.id for item in plan.items] == ["artifacts:gone"]
    assert {part.category for part in plan.unknown} == {Category.IMAGES, Category.CACHE, Category.CONTAINERS}
    assert all("socket" in part.why for part in plan.unknown)
