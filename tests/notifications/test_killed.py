"""`kill -9` between sending and noting that it was sent: the message comes again under its key, and is never lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from core.inference.database.engine import Database
from core.inference.notifications.outbox import Outbox
from core.inference.notifications.rule_store import RuleStore
from tests.notifications.conftest import event, rule, webhook
from tests.support import until
from tests.support.receivers import Answer, HttpReceiver, Received

# Forks a sender for each line it reads, says its process id, and waits for its end.
_SENDERS = """
import os, sys, threading
from pathlib import Path
from core.inference.database.engine import Database
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rule_store import RuleStore
from core.inference.settings import ServiceSettings

def send():
    settings = ServiceSettings(data=Path(sys.argv[1]))
    database = Database(sys.argv[2])
    Notifier(database, RuleStore(database), settings).start()
    threading.Event().wait()

for _ in sys.stdin:
    if not (sender := os.fork()):
        send()
    print(sender, flush=True)
    os.waitpid(sender, 0)
"""
ROUNDS = 3


def test_killed_while_sending(database_url: str, tmp_path: Path) -> None:
    senders: list[int] = []

    def kill(received: Received) -> Answer:
        """The message is here; its sender never learns of it."""
        if len(receiver.received) <= ROUNDS:
            until(lambda: len(senders) == len(receiver.received))
            os.kill(senders[-1], signal.SIGKILL)
        return Answer()

    database = Database(database_url)
    outbox = Outbox(database)
    command = [sys.executable, "-c", _SENDERS, str(tmp_path), database_url]
    with (
        HttpReceiver(kill) as receiver,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent,
    ):
        assert parent.stdin
        assert parent.stdout
        ops = rule("ops", webhook(receiver.url), within=0)
        RuleStore(database).add(ops)
        events = [event() for _ in range(3)]
        for one in events:
            outbox.put(one, [ops])
        try:
            for count in range(1, ROUNDS + 2):
                parent.stdin.write("\n")
                parent.stdin.flush()
                senders.append(int(parent.stdout.readline()))
                receiver.wait(count)
            until(lambda: outbox.status().sent, lambda sent: sent == len(events), 30)
        finally:
            parent.kill()
            os.kill(senders[-1], signal.SIGKILL)
    database.close()
    keys: dict[str, str] = {}
    for received in receiver.received:
        delivered = received.json["event"]["id"]
        assert keys.setdefault(delivered, received.headers["idempotency-key"]) == received.headers["idempotency-key"]
    assert sorted(keys) == [one.id for one in events]
    assert len(receiver.received) == len(events) + ROUNDS
