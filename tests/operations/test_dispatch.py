"""The plan of the queue: what starts, why the others wait. A pure function, so any history can be tried."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from core.operations.dispatch import MAX_OVERTAKEN, QueueEntry, lacking_resource, plan_dispatch

CAPACITY = {"cpu": 2}
RESOURCES = st.sampled_from([(), ("cpu",), ("gpu:0",), ("cpu", "gpu:0"), ("cpu", "cpu"), ("gpu:0", "gpu:1")])


def _entry(number: int, *resources: str, priority: int = 0, held: bool = False) -> QueueEntry:
    return QueueEntry(number, f"kind {number}", resources, priority, number, held)


def test_reasons_name_who_uses_it_and_how_many_come_before() -> None:
    running = [_entry(number, "cpu", held=True) for number in range(1, 6)]
    waiting = [_entry(6, "cpu"), _entry(7, "cpu"), _entry(8, "gpu:0"), _entry(9, "cpu", "gpu:0")]
    plan = plan_dispatch([*running, *waiting], {"cpu": 5})
    assert plan.start == [8]
    assert plan.reasons == {
        6: "waits for cpu: operations 1 (kind 1), 2 (kind 2), 3 (kind 3) and 2 more use it",
        7: "waits for cpu: operations 1 (kind 1), 2 (kind 2), 3 (kind 3) and 2 more use it; 1 is before it",
        9: "waits for cpu: operations 1 (kind 1), 2 (kind 2), 3 (kind 3) and 2 more use it; "
        "waits for gpu:0: operation 8 (kind 8) uses it; 2 are before it",
    }


def test_one_that_needs_two_resources_is_not_overtaken_on_either() -> None:
    plan = plan_dispatch([_entry(1, "gpu:0", held=True), _entry(2, "cpu", "gpu:0"), _entry(3, "cpu")], {})
    assert plan.start == []
    assert plan.reasons[3] == "1 is before it"


def test_a_high_priority_goes_first_and_a_low_one_starts_all_the_same() -> None:
    assert plan_dispatch([_entry(1, "cpu"), _entry(2, "cpu", priority=1)], {}).start == [2]
    waiting = [_entry(1, "cpu", priority=-1)]
    started = []
    for number in range(2, 500):  # a new request with a high priority each time that the resource is free
        waiting.append(_entry(number, "cpu", priority=1))
        (first,) = plan_dispatch(waiting, {}).start
        started.append(first)
        waiting = [entry for entry in waiting if entry.id != first]
    assert MAX_OVERTAKEN < started.index(1) <= 2 * MAX_OVERTAKEN


def test_what_can_never_start_is_found() -> None:
    assert lacking_resource(("cpu", "gpu:0", "gpu:0"), {"cpu": 4}) == "gpu:0"
    assert lacking_resource(("cpu", "cpu"), {"cpu": 2}) == ""
    assert lacking_resource(("gpu:3",), {"gpu:3": 0}) == "gpu:3"


class Queue(RuleBasedStateMachine):
    """Any order of requests, starts and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[int, QueueEntry] = {}
        self.number = 0

    @rule(resources=RESOURCES, priority=st.integers(-1, 1))
    def request(self, resources: tuple[str, ...], priority: int) -> None:
        self.number += 1
        self.entries[self.number] = _entry(self.number, *resources, priority=priority)

    @rule()
    def dispatch(self) -> None:
        plan = plan_dispatch(self.entries.values(), CAPACITY)
        waiting = {number for number, entry in self.entries.items() if not entry.held}
        assert set(plan.start) | set(plan.reasons) == waiting
        assert len(plan.start) == len(set(plan.start))
        assert all(plan.reasons.values()), "each one that waits is told why"
        for number in plan.start:
            self.entries[number] = replace(self.entries[number], held=True)
        for number in plan.reasons:
            self._is_not_overtaken(self.entries[number], plan.start)
        again = plan_dispatch(self.entries.values(), CAPACITY)
        assert again.start == [], "what has room is started at once"
        assert again.reasons == plan.reasons

    def _is_not_overtaken(self, entry: QueueEntry, started: list[int]) -> None:
        """Nothing that stands behind it has just got a unit of a resource that it still needs and could have used."""
        claimed = Counter(entry.resources)
        for other in (self.entries[number] for number in started):
            behind = other.order > entry.order
            if behind and claimed.keys() & set(other.resources):
                free = {
                    name: CAPACITY.get(name, 1) - count
                    for name, count in Counter(
                        word for one in self.entries.values() if one.held for word in one.resources
                    ).items()
                }
                shared = claimed.keys() & set(other.resources)
                assert all(free[name] >= claimed[name] for name in shared), "its share is kept for it"

    @precondition(lambda self: any(entry.held for entry in self.entries.values()))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        held = sorted(number for number, entry in self.entries.items() if entry.held)
        del self.entries[data.draw(st.sampled_from(held))]

    @precondition(lambda self: any(not entry.held for entry in self.entries.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = sorted(number for number, entry in self.entries.items() if not entry.held)
        del self.entries[data.draw(st.sampled_from(waiting))]

    @invariant()
    def capacity_is_kept(self) -> None:
        used = Counter(name for entry in self.entries.values() if entry.held for name in entry.resources)
        assert all(count <= CAPACITY.get(name, 1) for name, count in used.items())

    def teardown(self) -> None:
        """Without new requests, everything starts in the end."""
        while self.entries:
            self.dispatch()
            held = [number for number, entry in self.entries.items() if entry.held]
            assert held
            for number in held:
                del self.entries[number]


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
