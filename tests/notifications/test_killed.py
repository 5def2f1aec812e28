"""`kill -9` between sending and noting that it was sent: the message comes again under its key, and is never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from core.inference.database.engine import Database
from core.inference.notifications.outbox import Outbox
from core.inference.notifications.rules import RuleStore
from tests.notifications.conftest import event, rule, webhook
from tests.support.receivers import Answer, HttpReceiver, Received, until

_SENDER = """
import sys, threading
from pathlib import Path
from core.inference.database.engine import Database
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rules import RuleStore
from core.inference.settings import ServiceSettings

settings = ServiceSettings(data=Path(sys.argv[1]))
database = Database(sys.argv[2])
Notifier(database, RuleStore(database), settings).start()
threading.Event().wait()
"""
ROUNDS = 2


def test_killed_while_sending(database_url: str, tmp_path: Path) -> None:
    sender: list[subprocess.Popen[bytes]] = []

    def kill(received: Received) -> Answer:
        """The message is here; its sender never learns of it."""
        if len(receiver.received) <= ROUNDS:
            os.kill(sender[-1].pid, signal.SIGKILL)
        return Answer()

    with HttpReceiver(kill) as receiver:
        database = Database(database_url)
        ops = rule("ops", webhook(receiver.url), within=0)
        RuleStore(database).put(ops)
        outbox = Outbox(database)
        events = [event() for _ in range(3)]
        for one in events:
            outbox.put(one, [ops])
        for _ in range(ROUNDS + 1):
            sender.append(subprocess.Popen([sys.executable, "-c", _SENDER, str(tmp_path), database_url]))
            if len(sender) <= ROUNDS:
                assert sender[-1].wait(30) == -signal.SIGKILL
        try:
            until(lambda: outbox.status().sent, lambda sent: sent == len(events), 30)
        finally:
            sender[-1].kill()
            sender[-1].wait()
        database.close()
    keys: dict[str, str] = {}
    for received in receiver.received:
        told = received.json["event"]["id"]
        assert keys.setdefault(told, received.headers["idempotency-key"]) == received.headers["idempotency-key"]
    assert sorted(keys) == [one.id for one in events]
    assert len(receiver.received) == len(events) + ROUNDS
