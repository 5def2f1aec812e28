"""Two at once: a limit that is looked at in one step and used up in the next lets both of them through.

It applies wherever something is let in by a count, a sum or a name: cameras by the cores and the places there are,
ids of cameras, names of rules and users, the last administrator. The second of each pair comes while the first one is
in the middle of its step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.api_schema import CameraRequest, Channel, ChannelKind, Role, RuleRequest, UserRequest, UserUpdate
from core.errors import XaivaError
from core.inference.auth import LastAdministrator, UserExists
from core.inference.cameras.admission import NoCores, admit
from core.inference.cameras.camera import Camera
from core.inference.cameras.manager import CameraExists, MultiCameraManager, TooManyCameras, UnknownCamera
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.inference.models.motion_detector import MotionDetector
from core.inference.notifications.rule_store import RuleExists, RuleStore, UnknownRule
from tests.api.serving import served
from tests.inference.conftest import UTC, RecordingObserver
from tests.support import race

PASSWORD = SecretStr("some long password")


# -- cameras: the cores ---


class Gate:
    """Leases of a model; that of a camera named in `shut` takes until `open`: the camera is let in and does not run."""

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool
        self.shut: set[str] = set()
        self.reached = threading.Event()
        self.open = threading.Event()

    def lease(self, request: CameraRequest) -> Any:
        if request.id in self.shut:
            self.reached.set()
            assert self.open.wait(60)
        return self._pool.lease("motion", ModelSpec(MotionDetector, 0))


def request(camera: str, *, enabled: bool = True) -> CameraRequest:
    return CameraRequest(id=camera, source="rtsp://127.0.0.1:1/none", enabled=enabled)


def add(manager: MultiCameraManager, camera: str) -> object:
    return manager.add(request(camera))


def enable(manager: MultiCameraManager, camera: str) -> object:
    return manager.update(request(camera))


def start(manager: MultiCameraManager, camera: str) -> object:
    return manager.start_camera(camera)


def restart(manager: MultiCameraManager, camera: str) -> object:
    return manager.restart_camera(camera)


WAYS = {"add": add, "enable": enable, "start": start, "restart": restart}


@pytest.fixture
def gate(pool: ModelPool) -> Gate:
    return Gate(pool)


@pytest.fixture
def manager(gate: Gate, witness: RecordingObserver, monkeypatch: pytest.MonkeyPatch) -> Iterator[MultiCameraManager]:
    """Of its two cores (1.7 for decoding) the camera `old` takes 0.8: there is room for one more like it."""
    monkeypatch.setattr(Camera, "load", lambda self: 0.8 if self.request.id == "old" and self.active else None)
    manager = MultiCameraManager(witness, gate.lease, time_zone=UTC, cores=2, maximum=3)
    manager.add(request("old"))
    manager.start()
    manager.start_camera("old")
    yield manager
    gate.open.set()
    manager.stop()


@pytest.mark.parametrize("second", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("first", WAYS.values(), ids=WAYS.keys())
def test_a_camera_counts_from_its_admission_on(
    first: Callable[..., object], second: Callable[..., object], manager: MultiCameraManager, gate: Gate
) -> None:
    for camera, way in (("a", first), ("b", second)):
        if way is not add:
            manager.add(request(camera, enabled=False))
    gate.shut = {"a"}
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(first, manager, "a")
        assert gate.reached.wait(60)
        try:
            with pytest.raises(NoCores, match="not measured yet"):
                second(manager, "b")
        finally:
            gate.open.set()
        running.result(60)
    with pytest.raises(NoCores):  # it runs, and still nobody has measured it
        second(manager, "b")
    manager.stop_camera("a")
    second(manager, "b")


@pytest.mark.parametrize("way", [enable, start, restart])
def test_one_that_runs_is_never_refused(way: Callable[..., object], manager: MultiCameraManager) -> None:
    manager.add(request("a"))
    way(manager, "a")
    way(manager, "old")


def test_a_start_that_fails_gives_its_place_back(manager: MultiCameraManager, gate: Gate) -> None:
    def refuse(_request: CameraRequest) -> Any:
        raise XaivaError("Model", "no room", "none")

    manager.add(request("a", enabled=False))
    manager.add(request("b", enabled=False))
    manager.get("a")._lease_scorer = refuse
    with pytest.raises(XaivaError, match="no room"):
        manager.start_camera("a")
    manager.start_camera("b")


ADMISSIONS = {
    "nobody is measured": ([None, None, None], 2, True),
    "one more fits": ([0.8], 2, True),
    "one more does not": ([0.8, 0.8], 2, False),
    "those to come count as the others": ([0.4, None, None, None], 2, False),
    "those to come leave room": ([0.4, None, None], 2, True),
}


@pytest.mark.parametrize(("loads", "cores", "fits"), ADMISSIONS.values(), ids=ADMISSIONS.keys())
def test_what_counts(loads: list[float | None], cores: float, fits: bool) -> None:
    if fits:
        admit("new", loads, cores)
    else:
        with pytest.raises(NoCores):
            admit("new", loads, cores)


# -- places and names: as many at the same moment as there are threads ---

AT_ONCE = 8


def outcomes(work: Callable[[int], object], *refusals: type[XaivaError]) -> int:
    """Run it in `AT_ONCE` threads that are interrupted anywhere; how many got through. Any other error is a fault."""
    through: list[int] = []

    def one(number: int) -> None:
        with suppress(*refusals):
            work(number)
            through.append(number)

    with race.preempted(Path("core/inference").resolve(), seed=7):
        race.together(AT_ONCE, one)
    return len(through)


def test_as_many_cameras_as_may_be(witness: RecordingObserver, gate: Gate) -> None:
    manager = MultiCameraManager(witness, gate.lease, time_zone=UTC, cores=64, maximum=3)
    assert outcomes(lambda number: add(manager, f"c{number}"), TooManyCameras) == 3
    assert len(manager.statuses()) == 3


def test_one_camera_of_an_id(witness: RecordingObserver, gate: Gate) -> None:
    manager = MultiCameraManager(witness, gate.lease, time_zone=UTC, cores=64)
    assert outcomes(lambda _: add(manager, "same"), CameraExists) == 1


def test_a_camera_is_removed_once(witness: RecordingObserver, gate: Gate) -> None:
    manager = MultiCameraManager(witness, gate.lease, time_zone=UTC, cores=64)
    add(manager, "same")
    assert outcomes(lambda _: manager.remove("same"), UnknownCamera) == 1


def rule(number: int) -> RuleRequest:
    return RuleRequest(name="same", channels=(Channel(kind=ChannelKind.EMAIL, to=f"n{number}@example.org"),))


def test_one_rule_of_a_name(rules: RuleStore) -> None:
    assert outcomes(lambda number: rules.add(rule(number)), RuleExists) == 1
    assert len(rules.list()) == 1


def test_a_rule_that_is_removed_meanwhile_does_not_come_back(rules: RuleStore) -> None:
    rules.add(rule(0))
    outcomes(lambda number: rules.change(rule(number)) if number else rules.drop("same"), UnknownRule)
    assert rules.list() == []


def test_names_over_the_api(tmp_path: Path) -> None:
    with served(tmp_path) as running, ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        users = running.service.auth.users
        start = threading.Barrier(2)

        def together(*works: Callable[[], object]) -> list[Future[object]]:
            def begin(work: Callable[[], object]) -> object:
                start.wait(60)
                return work()

            return [executor.submit(begin, work) for work in works]

        def user(name: str) -> UserRequest:
            return UserRequest(name=name, password=PASSWORD, role=Role.ADMIN)

        twice = together(*[lambda: users.add(user("ada"))] * 2)
        assert [type(one.exception(60)) for one in twice].count(UserExists) == 1
        users.add(user("bob"))
        ends = {
            "remove": lambda name: users.remove(name),
            "switch off": lambda name: users.update(name, UserUpdate(active=False)),
            "lower the role": lambda name: users.update(name, UserUpdate(role=Role.VIEWER)),
        }
        for end in ends.values():
            both = together(lambda end=end: end("ada"), lambda end=end: end("bob"))
            assert [type(one.exception(60)) for one in both].count(LastAdministrator) == 1
            for name in ("ada", "bob"):
                with suppress(UserExists):
                    users.add(user(name))
                users.update(name, UserUpdate(role=Role.ADMIN, active=True))
