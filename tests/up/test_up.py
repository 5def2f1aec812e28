"""`up` with a real engine: from a preset to a running container, skipping what is done, killed and continued."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from core import labels
from core.containers.listing import get_container
from core.containers.manage import remove_container
from core.engine import connect_engine
from core.errors import ChecksFailed
from core.operations import processes
from core.operations.ledger import Ledger
from core.operations.model import Operation, OperationState
from core.progress import StageState
from core.site import Site
from core.site_operations import site_ledger
from core.up.plan import UpRequest, check_plan, plan_up
from tests.support import until
from tests.support.engine import TestEngine
from tests.support.small_preset import NAME, without_engine, write_preset

CONTAINER = f"xaiva-{NAME}"
WAIT = {"command": ["sh", "-c", "trap exit TERM; sleep infinity & wait"]}  # ends at once when it is stopped
STEPS = ["lock", "sync", "build", "launch"]


def _write(site: Site, package: str = "idna", **run: object) -> None:
    write_preset(site, layers=[{"name": "common", "requirements": [package]}], pins=[], run={**WAIT, **run})


def _done(site: Site, *, replace: bool = False) -> list[str]:
    plan = plan_up(UpRequest(site, NAME, replace=replace))
    check_plan(plan)
    return [step.name for step in plan.steps if step.done]


def _up(ledger: Ledger, **options: bool) -> Operation:
    return ledger.wait(ledger.start("up", NAME, options).id)


@pytest.fixture
def clean_engine(engine_site: Site, engine: TestEngine) -> Iterator[None]:
    """Container and image are removed at the end: other tests use the engine, too."""
    yield
    remove_container(connect_engine(engine_site), CONTAINER, force=True)
    engine.docker("rmi", "--force", labels.image_tag(NAME))


@pytest.mark.engine
@pytest.mark.index
@pytest.mark.slow
@pytest.mark.usefixtures("clean_engine")
def test_from_a_preset_to_a_container_killed_in_the_middle(engine_site: Site) -> None:
    _write(engine_site)
    assert _done(engine_site) == []
    ledger = site_ledger(engine_site)
    operation = ledger.start("up", NAME)

    def builds() -> bool:
        stages = {stage.id: stage for stage in ledger.stages(operation.id)}
        assert ledger.get(operation.id).state.live, ledger.get(operation.id).failure
        return "build" in stages and stages["build"].state is StageState.RUNNING

    until(builds, seconds=180)
    supervisor = ledger.get(operation.id).pid
    below = processes.descendants(supervisor)
    processes.send_signal({supervisor}, signal.SIGKILL)
    until(lambda: ledger.get(operation.id).state is OperationState.CRASHED)
    until(lambda: not any(processes.start_time(pid) for pid in below))

    assert _done(engine_site) == ["lock", "sync"]
    second = _up(ledger)
    assert second.result is not None, second.failure
    assert second.result["skipped"] == ["lock", "sync"]
    stages = ledger.stages(second.id)
    assert [stage.id for stage in stages if not stage.parent] == STEPS
    assert {stage.id.partition(".")[0] for stage in stages if stage.parent} == {"build"}
    client = connect_engine(engine_site)
    first_container = get_container(client, CONTAINER)
    assert first_container.running

    assert _done(engine_site) == STEPS
    third = _up(ledger)
    assert third.result is not None, third.failure
    assert third.result["skipped"] == STEPS
    assert {stage.state for stage in ledger.stages(third.id)} == {StageState.CACHED}
    assert get_container(client, CONTAINER).id == first_container.id

    _write(engine_site, environment={"WITH": "another value"})
    with pytest.raises(ChecksFailed, match=r"launch of small would fail: Container xaiva-small: .*\n.*--replace"):
        _done(engine_site)
    refused = _up(ledger)
    assert refused.failure is not None
    assert refused.failure.exit_code == ChecksFailed.exit_code
    assert get_container(client, CONTAINER).id == first_container.id
    assert _done(engine_site, replace=True) == STEPS[:3]
    assert _up(ledger, replace=True).state is OperationState.DONE
    assert get_container(client, CONTAINER).id != first_container.id
    assert _done(engine_site) == STEPS

    _write(engine_site, "no-package-has-this-name", environment={"WITH": "another value"})
    failed = _up(ledger, replace=True)
    assert failed.failure is not None
    assert failed.failure.what.startswith("lock: The requirements of small cannot be met")
    assert failed.failure.remedy.endswith(f"then continue: xaiva up {NAME}")
    states = {stage.id: stage.state for stage in ledger.stages(failed.id) if not stage.parent}
    assert states == {"lock": StageState.FAILED, **dict.fromkeys(STEPS[1:], StageState.WAITING)}
    assert get_container(client, CONTAINER).running


def test_nothing_starts_without_an_engine(site: Site) -> None:
    _write(site)
    plan = plan_up(UpRequest(without_engine(site), NAME))
    assert [(step.name, step.done, bool(step.findings)) for step in plan.steps] == [
        ("lock", False, False),
        ("sync", False, False),
        ("build", False, True),
        ("launch", False, False),
    ]
    with pytest.raises(ChecksFailed, match="Nothing was started, because build of small would fail"):
        check_plan(plan)
