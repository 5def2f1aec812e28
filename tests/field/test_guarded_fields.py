"""A comment says which lock guards a field, and somebody writes the field without it, or takes another one's lock.

It applies to every class whose fields are written by several threads as an event takes its way from the camera to the
message, while disk, database and receiver fail and come back.
"""

from __future__ import annotations

import ast
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.api_schema import Channel, ChannelKind, RuleRequest
from core.errors import XaivaError
from core.inference.database.errors import DatabaseError
from core.inference.event_pipeline.ordered_writer import OrderedWriter
from core.inference.event_pipeline.pending_event import PendingEvent
from core.inference.events.logger import EventLogger
from core.inference.events.spool import Spool
from core.inference.notifications import notifier as notifier_module
from core.inference.notifications.notifier import _Lane
from tests.analyser.servers import verdict_answer
from tests.event_pipeline.conftest import Run
from tests.support import until
from tests.support.receivers import Answer, HttpReceiver, Received

# class: the name of its lock, and the fields that this guards
GUARDED: dict[type, tuple[str, str]] = {
    EventLogger: (
        "_wake",
        "_subscribers _position _sure _hurry _retry_now _stopping _behind _failing _refused _json_why _logged _written"
        " _waiting _oldest _progress",
    ),
    Spool: ("_lock", "_waiting _writing _segments"),
    PendingEvent: ("_lock", "event due"),
    OrderedWriter: ("_changed", "_stopping _refused"),
    _Lane: ("_lock", "busy failures rests_until proven"),
}
LOCKS = {name for name, _ in GUARDED.values()}
Writes = dict[type, dict[str, set[bool]]]  # by class and field: whether the lock was held when it was written


def watch(cls: type, writes: Writes, locks: dict[type, Any], patch: pytest.MonkeyPatch) -> None:
    name, fields = GUARDED[cls]
    guarded = set(fields.split())
    plain = cls.__setattr__

    def write(self: Any, field: str, value: object) -> None:
        built = field in vars(self)  # the first value is given while nobody else can know the object
        lock = locks.get(cls) or vars(self).get(name)
        if field in guarded and built and lock is not None:
            held = lock._is_owned() if isinstance(lock, threading.Condition) else lock.locked()
            writes[cls][field].add(held)
        plain(self, field, value)

    patch.setattr(cls, "__setattr__", write)


class Receiver:
    """Refuses the first messages, and takes the others."""

    def __init__(self, refused: int) -> None:
        self.left = refused

    def __call__(self, _: Received) -> Answer:
        self.left -= 1
        return Answer(500) if self.left >= 0 else Answer()


def failing(work: Callable[..., Any], times: int, error: XaivaError) -> Callable[..., Any]:
    """`work`, which fails the first times."""
    failures_left = [times]

    def call(*arguments: Any, **options: Any) -> Any:
        failures_left[0] -= 1
        if failures_left[0] >= 0:
            raise error
        return work(*arguments, **options)

    return call


@pytest.fixture(scope="module")
def writes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writes]:
    """Who wrote what, on the way of some events."""
    recorded: Writes = defaultdict(lambda: defaultdict(set))
    with pytest.MonkeyPatch.context() as patch:
        locks: dict[type, Any] = {}
        for cls in GUARDED:
            watch(cls, recorded, locks, patch)
        patch.setattr(notifier_module, "BACKOFF_SECONDS", (0.05,))
        hook = HttpReceiver(Receiver(2))
        with HttpReceiver(lambda _: verdict_answer("intrusion")) as model, hook:
            run = Run(tmp_path_factory.mktemp("run"), analyser="openai", analyser_url=model.url)
            locks[_Lane] = run.notifier._lock
            run.rules.add(RuleRequest(name="r", within=0, channels=(Channel(kind=ChannelKind.WEBHOOK, to=hook.url),)))
            error = DatabaseError("Database", "it is away", "wait")
            patch.setattr(run.logger, "_write", failing(run.logger._write, 1, error))
            patch.setattr(run.logger._spool, "append", failing(run.logger._spool.append, 1, error))
            patch.setattr(run.notifier._outbox, "mark_failed", failing(run.notifier._outbox.mark_failed, 1, error))
            run.start()
            try:
                idents = [run.decide() for _ in range(3)]
                until(lambda: all((one := run.logger.get(ident)) and one.response_time for ident in idents))
                until(lambda: run.notifier.status().waiting == 0)
                run.logger.flush(60)
            finally:
                run.stop()
        yield recorded


@pytest.mark.parametrize("cls", GUARDED, ids=lambda cls: cls.__name__)
def test_a_guarded_field_is_written_under_its_lock(cls: type, writes: Writes) -> None:
    assert writes[cls], "nobody wrote any of them: this proves nothing"
    assert [field for field, held in writes[cls].items() if False in held] == []


def test_nobody_takes_the_lock_of_another_object() -> None:
    taken = []
    for file in Path("core").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in LOCKS
                and ast.unparse(node.value) not in ("self", "cls")
            ):
                taken.append(f"{file}:{node.lineno}")
    assert taken == []
