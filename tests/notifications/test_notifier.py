"""The notifier over real channels: nothing delays, nothing is lost, nobody is told more than asked for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import datetime, time, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import update

from core.api_schema import Priority, RuleRequest, Window
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import OutboxRow
from core.inference.notifications import notifier as notifier_module
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rule_store import RuleStore
from core.inference.settings import ServiceSettings
from tests.notifications.conftest import event, mail, rule, webhook
from tests.support import until
from tests.support.postgres import Postgres
from tests.support.receivers import Answer, HttpReceiver, MailReceiver, Received

Start = Callable[..., Notifier]


def states(notifier: Notifier) -> list[str]:
    return [delivery.state for delivery in reversed(notifier.deliveries(100))]


def test_an_event_reaches_every_channel_of_every_rule_it_fits(rules: RuleStore, start: Start) -> None:
    with HttpReceiver() as receiver, MailReceiver() as server:
        rules.add(rule("ops", webhook(f"{receiver.url}/ops"), mail("ops@example.org")))
        rules.add(rule("urgent", webhook(f"{receiver.url}/urgent"), priority=Priority.HIGH))
        rules.add(RuleRequest(name="yard", cameras=("yard",), channels=(webhook(f"{receiver.url}/yard"),)))
        rules.add(RuleRequest(name="fire", types=("fire",), channels=(webhook(f"{receiver.url}/fire"),)))
        rules.add(RuleRequest(name="off", enabled=False, channels=(webhook(f"{receiver.url}/off"),)))
        notifier = start(smtp_url=f"smtp://127.0.0.1:{server.port}")
        assert notifier.notify(event()).rules == ("ops",)
        assert notifier.notify(event("yard", "fire", Priority.CRITICAL)).rules == ("ops", "urgent", "yard", "fire")
        paths = sorted(received.path for received in receiver.wait(5))
        assert paths == ["/fire", "/ops", "/ops", "/urgent", "/yard"]
        subjects = {"gate: person, priority normal", "yard: fire, priority critical"}
        assert {message["Subject"] for message in server.wait(2)} == subjects
        until(lambda: notifier.status().sent, lambda sent: sent == 7)
        assert (notifier.status().waiting, notifier.status().why) == (0, "")


def test_schedules_are_read_in_the_zone_of_the_service(rules: RuleStore, start: Start) -> None:
    night = Window(start=time(22), end=time(6))
    rules.add(RuleRequest(name="night", schedule=(night,), channels=(mail("a@example.org"),)))
    one = event()
    at = datetime(2026, 7, 1, 20, 30, tzinfo=timezone.utc)  # 22:30 in Berlin
    for moment, fits in ((at, True), (at - timedelta(hours=1), False)):
        outcome = start(zone="Europe/Berlin").notify(one.model_copy(update={"decided": moment}))
        assert bool(outcome.rules) is fits


def test_a_dead_mail_server_and_a_hanging_webhook_delay_nobody_else(rules: RuleStore, start: Start) -> None:
    release = threading.Event()

    def hang(_: Received) -> Answer:
        release.wait(20)
        return Answer()

    with socket.create_server(("127.0.0.1", 0)) as silent, HttpReceiver(hang) as hanging, HttpReceiver() as receiver:
        rules.add(rule("mail", mail("ops@example.org"), within=0))
        rules.add(rule("hang", webhook(hanging.url), within=0))
        rules.add(rule("good", webhook(receiver.url), within=0))
        notifier = start(smtp_url=f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        for _ in range(20):
            notifier.notify(event())
        receiver.wait(20)
        assert len(hanging.received) == 1  # one at a time
        assert notifier.status().waiting >= 20
        release.set()


def test_what_fails_is_tried_again_under_its_key_until_taken(rules: RuleStore, start: Start, impatient: None) -> None:
    answers = iter([Answer(503), Answer(500), Answer(200)])
    with HttpReceiver(lambda _: next(answers)) as receiver:
        rules.add(rule("ops", webhook(receiver.url)))
        notifier = start()
        notifier.notify(event())
        received = receiver.wait(3)
        assert len({request.headers["idempotency-key"] for request in received}) == 1
        assert len({one.body for one in received}) == 1
        (delivery,) = until(lambda: notifier.deliveries(10), lambda found: found[0].state == "sent")
        assert (delivery.attempts, delivery.why) == (3, "")


def test_an_outage_ends_in_two_messages_and_not_in_a_flood(rules: RuleStore, start: Start, impatient: None) -> None:
    down = True
    with HttpReceiver(lambda _: Answer(503 if down else 200)) as receiver:
        rules.add(rule("ops", webhook(receiver.url), within=15))
        notifier = start()
        notifier.notify(event())
        receiver.wait(1)
        for _ in range(30):
            notifier.notify(event())
        assert [delivery.count for delivery in reversed(notifier.deliveries(10))] == [1, 30]
        down = False
        until(lambda: states(notifier), lambda found: found[0] == "sent")


def test_a_message_that_always_fails_starves_no_other(rules: RuleStore, start: Start, impatient: None) -> None:
    def choosy(received: Received) -> Answer:
        return Answer(500 if received.json["event"]["camera"] == "gate" else 200)

    with HttpReceiver(choosy) as receiver:
        rules.add(rule("ops", webhook(receiver.url)))
        notifier = start()
        notifier.notify(event("gate", priority=Priority.CRITICAL))
        receiver.wait(1)
        for camera in ("yard", "dock"):
            notifier.notify(event(camera))
        until(lambda: notifier.status().sent, lambda sent: sent == 2)
        assert notifier.status().waiting == 1


def test_an_unreadable_message_is_given_up(rules: RuleStore, start: Start, database: Database, tmp_path: Path) -> None:
    with HttpReceiver() as receiver:
        rules.add(rule("ops", webhook(receiver.url)))
        Notifier(database, rules, ServiceSettings(data=tmp_path)).notify(event("gate"))
        database.write(lambda session: session.execute(update(OutboxRow).values(body={"secret_variable": ""})))
        notifier = start()
        until(lambda: notifier.status().given_up)
        notifier.notify(event("yard"))
        receiver.wait(1)


def test_what_is_refused_for_good_is_given_up_and_holds_up_nothing(rules: RuleStore, start: Start) -> None:
    refuse = {"gone@example.org": "550 no such user"}
    with MailReceiver(refuse=refuse) as server:
        rules.add(rule("ops", mail("gone@example.org"), mail("ops@example.org"), within=0))
        notifier = start(smtp_url=f"smtp://127.0.0.1:{server.port}")
        for _ in range(3):
            notifier.notify(event())
        server.wait(3)
        until(lambda: notifier.status(), lambda status: status.given_up == 3 and status.waiting == 0)
        assert "550 no such user" in next(d.why for d in notifier.deliveries(10) if d.state == "given_up")


def test_a_message_nobody_took_for_a_day_is_given_up(rules: RuleStore, start: Start, database: Database) -> None:
    rules.add(rule("ops", webhook("http://127.0.0.1:9/nobody")))
    notifier = start()
    notifier.notify(event())
    failed = until(lambda: notifier.deliveries(1), lambda found: found[0].why)
    assert "nothing listens" in failed[0].why
    assert "nothing listens" in notifier.status().why
    past = datetime.now(timezone.utc) - timedelta(hours=25)
    database.write(lambda session: session.execute(update(OutboxRow).values(created=past)))
    notifier.notify(event("yard"))  # wakes it
    given_up = until(lambda: notifier.deliveries(5), lambda found: found[-1].state == "given_up")[-1]
    assert "not delivered within 24 hours" in given_up.why
    assert "nothing listens" in given_up.why


def test_what_waits_goes_after_a_restart(rules: RuleStore, start: Start, database: Database, tmp_path: Path) -> None:
    with HttpReceiver() as receiver:
        rules.add(rule("ops", webhook(receiver.url)))
        never_started = Notifier(database, rules, ServiceSettings(data=tmp_path))
        told = event()
        never_started.notify(told)
        assert receiver.received == []
        start()
        (received,) = receiver.wait(1)
        assert received.json["event"]["id"] == told.id


def test_a_clock_set_back_holds_up_nothing(rules: RuleStore, start: Start, database: Database, tmp_path: Path) -> None:
    with HttpReceiver() as receiver:
        rules.add(rule("ops", webhook(receiver.url)))
        told = event()
        Notifier(database, rules, ServiceSettings(data=tmp_path)).notify(told)
        then = datetime.now(timezone.utc) + timedelta(minutes=30)
        database.write(lambda session: session.execute(update(OutboxRow).values(created=then, due=then)))
        start()
        (received,) = receiver.wait(1)
        assert received.json["event"]["id"] == told.id


def test_suspended_cameras_tell_nobody(rules: RuleStore, start: Start, database: Database, tmp_path: Path) -> None:
    with HttpReceiver() as receiver:
        rules.add(rule("ops", webhook(receiver.url), within=0))
        notifier = start()
        notifier.suspend("gate", 60)
        assert notifier.notify(event("gate")).suspended is not None
        after_restart = Notifier(database, rules, ServiceSettings(data=tmp_path))
        until_then = after_restart.suspended("gate")
        assert until_then is not None
        assert abs(until_then - datetime.now(timezone.utc).timestamp() - 3600) < 60
        notifier.notify(event("yard"))
        notifier.suspend("gate", 0)
        assert notifier.suspended("gate") is None
        notifier.notify(event("gate"))
        assert sorted(request.json["event"]["camera"] for request in receiver.wait(2)) == ["gate", "yard"]
        notifier.suspend("gate", 1e-6)
        assert until(lambda: notifier.suspended("gate") is None)


def test_a_rule_that_is_gone_or_off_sends_nothing_more(rules: RuleStore, start: Start, impatient: None) -> None:
    with HttpReceiver(lambda _: Answer(503)) as receiver:
        rules.add(rule("gone", webhook(f"{receiver.url}/gone")))
        rules.add(rule("off", webhook(f"{receiver.url}/off")))
        notifier = start()
        notifier.notify(event())
        receiver.wait(2)
        rules.drop("gone")
        rules.change(rules.get_with_secrets("off").model_copy(update={"enabled": False}))
        deliveries = until(lambda: notifier.deliveries(5), lambda all_: all(one.state == "given_up" for one in all_))
        reasons = {"gone": "the rule was removed", "off": "the rule is switched off"}
        assert {one.rule: one.why for one in deliveries} == reasons


def test_a_test_send_goes_past_everything_and_says_each_channel(rules: RuleStore, start: Start) -> None:
    with HttpReceiver() as receiver:
        channels = (webhook(f"http://u:hunter2@127.0.0.1:{receiver.port}/x"), mail("ops@example.org"))
        rules.add(RuleRequest(name="ops", enabled=False, channels=channels))
        notifier = start()
        result = notifier.test("ops")
        assert result.sent == [f"webhook http://***@127.0.0.1:{receiver.port}/x"]
        assert "no mail server is set" in result.failed["email ops@example.org"]
        assert receiver.received[0].json["test"] is True
        assert notifier.deliveries(10) == []


def test_nothing_that_is_shown_or_logged_holds_a_secret(
    rules: RuleStore, start: Start, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "core")
    with HttpReceiver(lambda _: Answer(500)) as receiver:
        rules.add(rule("ops", webhook(f"http://u:hunter2@127.0.0.1:{receiver.port}/x?token=hunter2")))
        notifier = start(smtp_url="smtp://u:hunter2@127.0.0.1:9")
        notifier.notify(event())
        receiver.wait(2)
        deliveries = until(lambda: notifier.deliveries(5), lambda d: d[0].why)
        shown = (*deliveries, *rules.list(), notifier.status())
        text = "".join(one.model_dump_json() for one in shown) + caplog.text
        assert "500" in text
        assert "hunter2" not in text


def test_a_gone_database_is_waited_for(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier_module, "DATABASE_SECONDS", 0.1)
    database = Database(postgres.new_database())
    rules = RuleStore(database)
    notifier = Notifier(database, rules, ServiceSettings(data=tmp_path))
    with HttpReceiver() as receiver:
        rules.add(rule("ops", webhook(receiver.url)))
        told = event()
        notifier.notify(told)
        postgres.stop()
        try:
            notifier.start()
            with pytest.raises(DatabaseError):
                notifier.notify(event())
            assert "nothing listens" in notifier.status().why
        finally:
            postgres.start()
        (received,) = receiver.wait(1)
        assert received.json["event"]["id"] == told.id
        until(lambda: notifier.status(), lambda status: status.sent == 1 and not status.why)
    notifier.stop()
    database.close()
