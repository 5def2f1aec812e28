"""Which preset the steps follow, and what they know of it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from core.artifacts.lock_store import artifacts_folder, write_lock
from core.errors import InputError
from core.first_steps.choice import choose_preset, suggest_preset
from core.first_steps.facts import PresetFacts
from core.first_steps.preset_survey import PresetSurvey, stage_text
from core.first_steps.state import hide_steps, read_state
from core.presets.compat import named_target
from core.presets.store import list_presets, load_named, preset_sha256
from core.progress import Stage, StageState
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.sample_kinds import KINDS
from tests.support.small_preset import NAME, without_engine, write_preset
from tests.tui import sample

SHIPPED = Path(__file__).parents[2] / "presets"


@pytest.fixture
def stocked(site: Site) -> Site:
    """A site with the presets of this project, and no engine."""
    for path in SHIPPED.glob("*.json"):
        shutil.copy(path, site.presets)
    return without_engine(site)


def look(site: Site) -> PresetFacts:
    return PresetSurvey(site).look()


def lock(site: Site, name: str) -> None:
    """A lock of the sample's files for the preset as it is; none of them is on disk."""
    sha256 = preset_sha256(load_named(site, name), site.presets)
    write_lock(site, name, sample.lock(name).model_copy(update={"preset_sha256": sha256}))


def test_the_best_preset_for_a_machine(stocked: Site) -> None:
    entries = list_presets(stocked)
    assert suggest_preset(stocked, entries, None).name == "cpu-debian12"
    pascal = named_target(["GTX 1060"], "560.35.05")
    assert suggest_preset(stocked, entries, pascal).name == "ubuntu22.04-cuda12.6"
    lock(stocked, "cpu-debian12")
    assert suggest_preset(stocked, entries, pascal).name == "cpu-debian12"  # the only one that works offline
    needs_gpu = [entry for entry in entries if entry.name == "agent-torch2.2"]
    assert suggest_preset(stocked, needs_gpu, None).name == ""
    assert suggest_preset(stocked, [], None).name == ""


def test_the_steps_follow_what_was_chosen_or_used_last(stocked: Site) -> None:
    ledger = site_ledger(stocked, {**KINDS, "lock": KINDS["quick"]})
    ledger.wait(ledger.start("lock", "agent-torch2.2").id, 20)
    assert look(stocked).name == "agent-torch2.2"
    choose_preset(stocked, "dubbing-cuda13.0")
    assert look(stocked).name == "dubbing-cuda13.0"
    shutil.move(stocked.presets / "dubbing-cuda13.0.json", stocked.root)
    assert look(stocked).name == "agent-torch2.2"
    with pytest.raises(InputError):
        choose_preset(stocked, "dubbing-cuda13.0")
    hide_steps(stocked)
    assert (read_state(stocked).preset, read_state(stocked).hidden) == ("dubbing-cuda13.0", True)
    assert read_state(stocked).chosen <= time.time()


def test_a_broken_state_is_not_an_empty_one(stocked: Site) -> None:
    stocked.state.mkdir()
    (stocked.state / "first-steps.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        look(stocked)
    (stocked.state / "first-steps.json").write_text('{"hidden": 7}')
    with pytest.raises(InputError, match="hidden"):
        look(stocked)


def test_what_is_known_of_the_lock_and_its_files(stocked: Site) -> None:
    write_preset(stocked)
    choose_preset(stocked, NAME)
    survey = PresetSurvey(stocked)
    facts = survey.look()
    assert facts.lock.value is not None
    assert (facts.lock.value.sha256, facts.image.value) == ("", None)
    assert "/nowhere/docker.sock" in str(facts.image.error)
    lock(stocked, NAME)
    found = survey.look().lock.value
    assert found is not None
    assert (found.stale, found.files, found.missing_files) == (False, 5, 5)
    file = sample.lock(NAME).files[0]
    path = file.under(artifacts_folder(stocked, NAME))
    path.parent.mkdir(parents=True)
    path.touch()
    with path.open("r+b") as opened:
        opened.truncate(file.size)
    assert (survey.look().lock.value or found).missing_files == 4
    write_preset(stocked, python_version="3.12")
    assert (survey.look().lock.value or found).stale
    (artifacts_folder(stocked, NAME) / "lock.json").write_text("{}")
    broken = survey.look()
    assert broken.lock.value is None
    assert broken.lock.error is not None


def test_a_preset_that_will_not_work(stocked: Site) -> None:
    choose_preset(stocked, "ubuntu22.04-cuda12.6")
    assert look(stocked).problem is None
    path = stocked.presets / "ubuntu22.04-cuda12.6.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "pytorch": {"version": "2.9.1+cu130", "components": ["torch"]}}))
    assert look(stocked).problem is not None


def test_the_stage_of_a_running_operation() -> None:
    assert stage_text(sample.stages()) == "Fetch 67 %"
    assert stage_text([Stage(id="a", title="Plan", state=StageState.RUNNING)]) == "Plan"
    step = Stage(id="sync", title="sync", state=StageState.RUNNING)
    below = [stage.model_copy(update={"id": f"sync.{stage.id}", "parent": "sync"}) for stage in sample.stages()[:2]]
    assert stage_text([step, *below]) == "sync: Fetch 67 %"
    assert stage_text([]) == ""
