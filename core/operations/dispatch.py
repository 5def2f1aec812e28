"""Decides which queued operations start and why the others wait: a pure function of the queue and the capacity.

The order is by priority, then by place in the queue, but a higher priority overtakes only so many that came before, so
everything starts in the end. An operation starts when each of its resources has room. One that has to wait claims its
share of all its resources, so that none behind it overtakes it on any of them; an operation that uses other resources
does not wait for it. One whose attempt failed, or that could not be started, is passed over for some seconds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

START_PAUSE_SECONDS = 4.0  # how long an operation that could not be started waits before the next try
MAX_OVERTAKEN = 50  # requests that came before and that one priority more overtakes
MAX_USERS_NAMED = 3  # how many operations that use a resource are named as the reason


@dataclass(frozen=True)
class QueueEntry:
    """A live operation, as far as the queue is concerned."""

    id: int
    title: str
    """Kind and subject."""
    resources: tuple[str, ...] = ()
    """One that is listed twice is used twice."""
    priority: int = 0
    position: int = 0
    held: bool = False
    """Whether it runs or is being started, and so uses its resources."""
    pause: float = 0
    """Seconds before which it is not started, because its last attempt failed or it could not be started."""

    @property
    def order(self) -> tuple[int, int]:
        """What is less goes first: a priority counts as that many places."""
        return self.position - self.priority * MAX_OVERTAKEN, self.position

    def named(self) -> str:
        """The number and the title."""
        return f"{self.id} ({self.title})"


@dataclass(frozen=True)
class DispatchPlan:
    """What to do now."""

    start: list[int] = field(default_factory=list)
    """The ids to start, in this order."""
    reasons: dict[int, str] = field(default_factory=dict)
    """For each one that has to wait: why, in words."""


def plan_dispatch(entries: Iterable[QueueEntry], capacity: Mapping[str, int]) -> DispatchPlan:
    """Decide what starts now. `capacity` has how many may use a resource at once; 1 for those it does not name."""
    plan = DispatchPlan()
    users: dict[str, list[QueueEntry]] = defaultdict(list)
    used: Counter[str] = Counter()  # by those that run or start, and claimed by those that wait
    ahead: Counter[frozenset[str]] = Counter()  # how many wait, by the resources they need
    waiting: list[QueueEntry] = []
    for entry in entries:
        if entry.held:
            _use(entry, users, used)
        elif entry.pause > 0:
            plan.reasons[entry.id] = f"is tried again in {math.ceil(entry.pause)} s"
        else:
            waiting.append(entry)
    for entry in sorted(waiting, key=lambda entry: entry.order):
        need = Counter(entry.resources)
        short = [name for name, count in need.items() if used[name] + count > capacity.get(name, 1)]
        if not short:
            plan.start.append(entry.id)
            _use(entry, users, used)
            continue
        before = sum(count for names, count in ahead.items() if not names.isdisjoint(need))
        plan.reasons[entry.id] = _reason(short, users, before)
        used.update(need)
        ahead[frozenset(need)] += 1
    return plan


def lacking_resource(resources: Iterable[str], capacity: Mapping[str, int]) -> str:
    """The first resource of which an operation needs more than there is, so that it could never start; or ""."""
    return next((name for name, count in Counter(resources).items() if count > capacity.get(name, 1)), "")


def _use(entry: QueueEntry, users: dict[str, list[QueueEntry]], used: Counter[str]) -> None:
    used.update(entry.resources)
    for name in dict.fromkeys(entry.resources):
        users[name].append(entry)


def _reason(short: list[str], users: Mapping[str, list[QueueEntry]], before: int) -> str:
    parts = [f"waits for {name}: {_name_users(users[name])}" for name in short if users.get(name)]
    if before:
        parts.append(f"{before} {'is' if before == 1 else 'are'} before it")
    return "; ".join(parts)


def _name_users(users: list[QueueEntry]) -> str:
    oldest = sorted(users, key=lambda entry: entry.id)[:MAX_USERS_NAMED]
    names = ", ".join(entry.named() for entry in oldest)
    more = len(users) - MAX_USERS_NAMED
    if more > 0:
        names += f" and {more} more"
    return f"operation {names} uses it" if len(users) == 1 else f"operations {names} use it"
