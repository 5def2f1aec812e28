"""The notifier: matches events with rules, fills the outbox, and serves each channel independently.

A channel that does not answer is retried less and less often, and delays no other. Messages in the outbox survive a
restart and keep their id: after a kill a receiver may get a message twice, but never misses one.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from core.api_schema import Channel, ChannelKind, Delivery, Event, OutboxStatus, RuleRequest, TestResult
from core.errors import XaivaError
from core.inference.bulkhead import Bulkhead
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.events.ids import new_id
from core.inference.notifications.channel_addresses import shown_address
from core.inference.notifications.channels import ChannelSender
from core.inference.notifications.mail import DeliveryRefused, LoginRefused
from core.inference.notifications.message import Message
from core.inference.notifications.outbox import Outbox, WaitingMessage
from core.inference.notifications.rule_store import RuleStore
from core.inference.notifications.suspensions import Suspensions
from core.inference.schedule import is_open
from core.inference.settings import ServiceSettings

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = (5.0, 15.0, 60.0, 300.0, 900.0)  # pauses of a failing channel; the last one repeats
LOGIN_BACKOFF_SECONDS = (120.0, 300.0, 600.0, 1800.0)  # after a refused login, because servers lock accounts
LOGIN_TURN_SECONDS = 30.0  # how long one message tries an unproven login before others may
GIVE_UP_AFTER = timedelta(hours=24)  # an older message is useless
IDLE_SECONDS = 30.0
DATABASE_SECONDS = 5.0  # before a failed database is asked again
PRUNE_SECONDS = 3600.0
STOP_SECONDS = 3.0
TEST_SECONDS = 25.0
TESTS_AT_ONCE = 2  # each has a thread for every channel of its rule


@dataclass(frozen=True)
class NotifyOutcome:
    """The result for one event: matching rules, number of messages, or until when its camera is suspended."""

    rules: tuple[str, ...] = ()
    messages: int = 0
    suspended: datetime | None = None


@dataclass
class _Lane:
    """One channel address: one message at a time, a pause after each failure. Guarded by `Notifier._lock`."""

    busy: bool = False
    failures: int = 0
    retry_at: float = 0.0
    proven: bool = False  # the last attempt succeeded

    def failed(self, waits: tuple[float, ...]) -> None:
        self.retry_at = time.monotonic() + waits[min(self.failures, len(waits) - 1)]
        self.failures += 1
        self.proven = False

    def worked(self) -> None:
        self.failures = 0
        self.retry_at = 0.0
        self.proven = True


class Notifier:
    """Thread-safe. Raises InputError for an invalid mail server."""

    def __init__(self, database: Database, rules: RuleStore, settings: ServiceSettings) -> None:
        self._rules = rules
        self._outbox = Outbox(database)
        self._suspensions = Suspensions(database)
        self._sender = ChannelSender(settings)
        self._zone = ZoneInfo(settings.zone)
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._mail_login = _Lane()  # all mail uses one server and one login
        self._sent_unmarked: dict[str, datetime] = {}  # sent, but not yet marked in the database
        self._tests = Bulkhead("Tests of rules", TESTS_AT_ONCE, retry_after=10)
        self._lock = threading.Lock()  # guards _lanes, _mail_login, _sent_unmarked, _sending
        self._wake = threading.Event()
        self._stopping = False
        self._sending: set[threading.Thread] = set()
        self._pruned_at = float("-inf")
        self._database_why = ""
        self._status = OutboxStatus()
        self._status_after = 0.0  # a failing database is not asked each time
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop within `STOP_SECONDS`; unsent messages stay in the outbox."""
        self._stopping = True
        self._wake.set()
        until = time.monotonic() + STOP_SECONDS
        with self._lock:
            sending = list(self._sending)
        for thread in [self._thread, *sending]:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def notify(self, event: Event) -> NotifyOutcome:
        """Put the event's messages into the outbox. Raises DatabaseError: then none was added.

        Idempotent: an event that is in the outbox already is not added again.
        """
        suspended = self._suspensions.until(event.camera)
        if suspended:
            return NotifyOutcome(suspended=suspended)
        fitting = [rule for rule in self._rules.list_with_secrets() if self._fits(rule, event)]
        if not fitting:
            return NotifyOutcome()
        messages = self._outbox.put(event, fitting)
        self._wake.set()
        return NotifyOutcome(tuple(rule.name for rule in fitting), messages)

    def test(self, name: str) -> TestResult:
        """Send a test over every channel of a rule, bypassing outbox and suspensions.

        Raises UnknownRule, and TooManyRequests when too many tests are running.
        """
        rule = self._rules.get_with_secrets(name)
        return self._tests.submit(lambda: self._test_channels(rule)).result()

    def _test_channels(self, rule: RuleRequest) -> TestResult:
        outcomes: dict[Channel, str] = dict.fromkeys(rule.channels, f"no answer within {TEST_SECONDS:g} s")
        threads = [
            threading.Thread(target=self._test, args=(rule, channel, outcomes), name="notify-test", daemon=True)
            for channel in outcomes
        ]
        until = time.monotonic() + TEST_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        results = {f"{channel.kind.value} {shown_address(channel)}": why for channel, why in outcomes.copy().items()}
        failed = {place: why for place, why in results.items() if why}
        return TestResult(sent=[place for place in results if place not in failed], failed=failed)

    def suspend(self, camera: str, minutes: float) -> None:
        """Suspend the notifications of a camera; 0 minutes ends it. Waiting messages are still sent.

        Raises DatabaseError.
        """
        self._suspensions.set(camera, minutes)

    def suspended(self, camera: str) -> float | None:
        """The end of the suspension as a Unix time; None when there is none."""
        until = self._suspensions.until(camera)
        return until.timestamp() if until else None

    def status(self) -> OutboxStatus:
        """A snapshot; while the database does not answer, the last one with the reason."""
        if time.monotonic() >= self._status_after:
            try:
                self._status = self._outbox.status()
            except DatabaseError as error:
                self._status = self._status.model_copy(update={"why": error.summary})
                self._status_after = time.monotonic() + DATABASE_SECONDS
        return self._status

    def deliveries(self, limit: int) -> list[Delivery]:
        return self._outbox.deliveries(limit)

    def _fits(self, rule: RuleRequest, event: Event) -> bool:
        return (
            rule.enabled
            and (not rule.cameras or event.camera in rule.cameras)
            and (not rule.types or event.type in rule.types)
            and event.priority.rank >= rule.priority.rank
            and is_open(rule.schedule, event.decided, self._zone)
        )

    def _test(self, rule: RuleRequest, channel: Channel, outcomes: dict[Channel, str]) -> None:
        now = datetime.now(timezone.utc)
        event = Event(id=new_id(), camera="test", type="test", started=now, decided=now, ended=now, score=1.0)
        try:
            self._sender.send(Message(new_id(), rule.name, channel, event, test=True))
            outcomes[channel] = ""
        except XaivaError as error:
            outcomes[channel] = error.summary
        except Exception as error:  # what a channel's library raises
            logger.exception("test of rule %s over %s failed", rule.name, channel.kind.value)
            outcomes[channel] = f"an unexpected error ({type(error).__name__}); see the log"

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                pause = self._start_due()
                self._database_why = ""
            except DatabaseError as error:
                pause = DATABASE_SECONDS
                if error.why != self._database_why:
                    self._database_why = error.why
                    logger.error("no notification can be sent: %s", error.summary)
            except Exception:  # the thread must survive: nothing else sends
                logger.exception("the notifier failed and continues")
                pause = DATABASE_SECONDS
            self._wake.wait(pause)

    def _start_due(self) -> float:
        """Start due messages whose channel is free; returns seconds until the next may be due."""
        self._mark_sent()
        self._prune()
        now = datetime.now(timezone.utc)
        pause = IDLE_SECONDS
        for waiting in self._outbox.waiting():
            if now - waiting.created > GIVE_UP_AFTER:
                hours = GIVE_UP_AFTER.total_seconds() / 3600
                why = f"not delivered within {hours:.0f} hours; {waiting.why}".rstrip("; ")
                self._outbox.give_up(waiting.id, why)
                continue
            pause = min(pause, self._start_delivery(waiting, now))
        return max(0.0, pause)

    def _start_delivery(self, waiting: WaitingMessage, now: datetime) -> float:
        """Send a due message in a thread of its own; returns seconds until it, or the next one, may be due."""
        clock_was_set_back = now < waiting.created
        early = 0.0 if clock_was_set_back else (waiting.due - now).total_seconds()
        if early > 0:
            return early
        with self._lock:
            lane = self._lanes.setdefault((waiting.kind, waiting.to), _Lane())
            if lane.busy or self._stopping or waiting.id in self._sent_unmarked:
                return IDLE_SECONDS
            logins = [self._mail_login] if waiting.kind == ChannelKind.EMAIL.value else []
            wait = max(each.retry_at for each in (lane, *logins)) - time.monotonic()
            if wait > 0:
                return wait
            for login in logins:
                if not login.proven:
                    login.retry_at = time.monotonic() + LOGIN_TURN_SECONDS
            lane.busy = True
            thread = threading.Thread(target=self._deliver, args=(lane, waiting.id), name="notify", daemon=True)
            self._sending.add(thread)
        thread.start()
        return IDLE_SECONDS

    def _deliver(self, lane: _Lane, message: str) -> None:
        try:
            self._attempt(lane, message)
        except DatabaseError as error:
            logger.warning("a notification's outcome cannot be written: %s", error.why)
            with self._lock:
                lane.failed(BACKOFF_SECONDS)
        except Exception as error:  # the message cannot be read
            logger.exception("message %s is given up", message)
            self._outbox.give_up(message, f"an unexpected error ({type(error).__name__}); see the log")
        finally:
            with self._lock:
                lane.busy = False
                self._sending.discard(threading.current_thread())
            self._wake.set()

    def _attempt(self, lane: _Lane, ident: str) -> None:
        message = self._outbox.claim(ident)
        if message is None:
            return
        if (withdrawn := self._withdrawn_reason(message)) is not None:
            self._outbox.give_up(ident, withdrawn)
            return
        why, error = self._send(message)
        login = self._mail_login if message.channel.kind is ChannelKind.EMAIL else lane
        with self._lock:
            if not why:
                self._sent_unmarked[ident] = datetime.now(timezone.utc)
            if not why or isinstance(error, DeliveryRefused):
                lane.worked()
                login.worked()
            elif isinstance(error, LoginRefused):
                login.failed(LOGIN_BACKOFF_SECONDS)
            else:
                login.retry_at = 0.0  # not the login's fault: others may try it
                lane.failed(BACKOFF_SECONDS)
        if not why:
            self._mark_sent()
        elif isinstance(error, DeliveryRefused):
            self._outbox.give_up(ident, why)
        else:
            self._outbox.mark_failed(ident, why)

    def _send(self, message: Message) -> tuple[str, Exception | None]:
        """Why it was not accepted (empty for success), as text and as the error."""
        try:
            self._sender.send(message)
        except XaivaError as error:
            why = error.summary
            logger.warning("notification by rule %s: %s", message.rule, why)
            return why, error
        except Exception as error:  # what a channel's library raises
            logger.exception("notification by rule %s over %s failed", message.rule, message.channel.kind.value)
            return f"an unexpected error ({type(error).__name__}); see the log", error
        return "", None

    def _withdrawn_reason(self, message: Message) -> str | None:
        rule = next((rule for rule in self._rules.list_with_secrets() if rule.name == message.rule), None)
        if rule is None:
            return "the rule was removed"
        if not rule.enabled:
            return "the rule is switched off"
        address = message.channel.kind, message.channel.to
        return None if address in [(c.kind, c.to) for c in rule.channels] else "the rule no longer uses this channel"

    def _mark_sent(self) -> None:
        with self._lock:
            unmarked = dict(self._sent_unmarked)
        for message, moment in unmarked.items():
            self._outbox.mark_sent(message, moment)
            with self._lock:
                self._sent_unmarked.pop(message, None)

    def _prune(self) -> None:
        if time.monotonic() - self._pruned_at > PRUNE_SECONDS:
            self._outbox.prune()
            self._pruned_at = time.monotonic()
