"""The durable outbox: a message stays in the database until it is sent or given up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core.api_schema import Channel, ChannelKind, Delivery, Event, OutboxStatus, RuleRequest
from core.inference.database.engine import Database
from core.inference.database.models import OutboxRow
from core.inference.events.ids import new_id
from core.inference.notifications.channel_addresses import shown_address
from core.inference.notifications.message import MAX_EVENT_IDS, Message

KEPT_DAYS = 30  # how long finished messages are shown
KEPT_MESSAGES = 5000
TRIES_BEFORE_OTHERS = 3  # of one message before others of its channel: the message may be the problem
_RECENT_MESSAGES = 3  # of one key: an event notified twice is among the newest

WAITING, SENT, GIVEN_UP = "waiting", "sent", "given_up"


@dataclass(frozen=True)
class WaitingMessage:
    """A waiting message without its content."""

    id: str
    kind: str
    to: str
    due: datetime
    created: datetime
    attempts: int
    why: str


class Outbox:
    """The table of messages. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, event: Event, rules: Sequence[RuleRequest]) -> int:
        """Write the event's messages for `rules`, all or nothing; returns the number of messages.

        An event that is there already (the service was killed in between) is not added again.
        """
        now = datetime.now(timezone.utc)

        def work(session: Session) -> int:
            return sum(_add_event(session, rule, channel, event, now) for rule in rules for channel in rule.channels)

        messages = self._database.write(work)
        self._database.make_durable()  # the event will say that this was done, so it must survive a power cut
        return messages

    def waiting(self) -> list[WaitingMessage]:
        """Waiting messages, the most urgent first, but repeatedly failing ones last."""
        columns = [getattr(OutboxRow, name) for name in WaitingMessage.__annotations__]
        order = (OutboxRow.priority.desc(), OutboxRow.due, OutboxRow.id)
        with self._database.read() as session:
            rows = session.execute(select(*columns).where(OutboxRow.state == WAITING).order_by(*order)).all()
        messages = (WaitingMessage(*row) for row in rows)
        return sorted(messages, key=lambda message: message.attempts // TRIES_BEFORE_OTHERS)

    def claim(self, message: str) -> Message | None:
        """Count an attempt and return the message; from now on no event is merged into it."""

        def work(session: Session) -> Message | None:
            row = session.get(OutboxRow, message)
            if row is None or row.state != WAITING:
                return None
            row.attempts += 1
            return _message(row)

        return self._database.write(work)

    def mark_sent(self, message: str, moment: datetime) -> None:
        self._set(message, state=SENT, sent=moment, why="")

    def mark_failed(self, message: str, why: str) -> None:
        self._set(message, why=why)

    def give_up(self, message: str, why: str) -> None:
        self._set(message, state=GIVEN_UP, why=why)

    def deliveries(self, limit: int) -> list[Delivery]:
        order = (OutboxRow.created.desc(), OutboxRow.id.desc())
        with self._database.read() as session:
            rows = session.scalars(select(OutboxRow).order_by(*order).limit(limit)).all()
        return [_delivery(row) for row in rows]

    def status(self) -> OutboxStatus:
        """Numbers of waiting, sent and given up messages, of those still stored."""
        with self._database.read() as session:
            by_state = select(OutboxRow.state, func.count()).group_by(OutboxRow.state)
            counts = {row[0]: row[1] for row in session.execute(by_state)}
            of_waiting = select(func.min(OutboxRow.created)).where(OutboxRow.state == WAITING)
            oldest = session.scalar(of_waiting)
            failing = select(OutboxRow.why).where(OutboxRow.state == WAITING, OutboxRow.why != "")
            why = session.scalar(failing.order_by(OutboxRow.created).limit(1))
        age = (datetime.now(timezone.utc) - oldest).total_seconds() if oldest else None
        return OutboxStatus(
            waiting=counts.get(WAITING, 0),
            oldest=None if age is None else max(0.0, round(age, 1)),
            sent=counts.get(SENT, 0),
            given_up=counts.get(GIVEN_UP, 0),
            why=why or "",
        )

    def prune(self) -> None:
        limit = datetime.now(timezone.utc) - timedelta(days=KEPT_DAYS)
        finished = OutboxRow.state != WAITING
        newest = select(OutboxRow.id).where(finished).order_by(OutboxRow.created.desc(), OutboxRow.id.desc())

        def work(session: Session) -> None:
            session.execute(delete(OutboxRow).where(finished, OutboxRow.created < limit))
            edge = session.scalar(newest.offset(KEPT_MESSAGES).limit(1))
            if edge is not None:
                session.execute(delete(OutboxRow).where(finished, OutboxRow.id <= edge))

        self._database.write(work)

    def _set(self, message: str, **values: Any) -> None:
        def work(session: Session) -> None:
            session.execute(update(OutboxRow).where(OutboxRow.id == message).values(**values))

        self._database.write(work)


def readdress(session: Session, rule: str, old: Channel, new: Channel) -> None:
    """Send waiting messages of a channel to its corrected address."""
    secret = {"secret_variable": new.secret_variable}
    for row in session.scalars(_waiting_for(rule, old)):
        row.to, row.body = new.to, {**row.body, **secret}


def _waiting_for(rule: str, channel: Channel) -> Any:
    return select(OutboxRow).where(
        OutboxRow.rule == rule,
        OutboxRow.kind == channel.kind.value,
        OutboxRow.to == channel.to,
        OutboxRow.state == WAITING,
    )


def _add_event(session: Session, rule: RuleRequest, channel: Channel, event: Event, now: datetime) -> bool:
    """Add an event to a waiting message of its key, or start a new one, due now or after the window.

    The first event of a camera and type is sent at once. Events in the `within` seconds after it are merged into one
    more message at the end of that window, and so on. An event more urgent than the previous message is sent at once. A
    message that was not tried yet (its channel is down) takes all further events.
    """
    key = _dedup_key(rule, channel, event)
    before_clock_was_set_back = OutboxRow.created > now  # such a message would look like the newest
    order = (before_clock_was_set_back, OutboxRow.created.desc(), OutboxRow.id.desc())
    newest = select(OutboxRow).where(OutboxRow.dedup_key == key).order_by(*order)
    rows = session.scalars(newest.limit(_RECENT_MESSAGES)).all()
    if any(event.id in row.body["events"] for row in rows):
        return False
    last = rows[0] if rows else None
    urgent = last is None or event.priority.rank > last.priority
    if last is not None and rule.within > 0 and last.state == WAITING and last.attempts == 0:
        _merge_event(last, event)
        last.due = min(last.due, now) if urgent else last.due
        return True
    window = timedelta(seconds=rule.within)
    follows = last is not None and not urgent and last.due <= now + window and now < last.due + window
    due = last.due + window if last is not None and follows else now
    session.add(_new_row(key, rule, channel, event, now, due))
    return True


def _dedup_key(rule: RuleRequest, channel: Channel, event: Event) -> str:
    parts = [rule.name, channel.kind.value, channel.to, event.camera, event.type]
    parts += [event.product] if event.product else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _merge_event(row: OutboxRow, event: Event) -> None:
    row.count += 1
    row.priority = max(row.priority, event.priority.rank)
    ids = [*row.body["events"], event.id][-MAX_EVENT_IDS:]
    row.body = {**row.body, "event": event.model_dump(mode="json"), "events": ids}


def _new_row(key: str, rule: RuleRequest, channel: Channel, event: Event, now: datetime, due: datetime) -> OutboxRow:
    return OutboxRow(
        id=new_id(),
        rule=rule.name,
        kind=channel.kind.value,
        to=channel.to,
        body={
            "event": event.model_dump(mode="json"),
            "events": [event.id],
            "first": event.started.isoformat(),
            "secret_variable": channel.secret_variable,
        },
        state=WAITING,
        priority=event.priority.rank,
        count=1,
        attempts=0,
        due=due,
        created=now,
        sent=None,
        why="",
        dedup_key=key,
    )


def _channel(row: OutboxRow) -> Channel:
    return Channel(kind=ChannelKind(row.kind), to=row.to, secret_variable=row.body["secret_variable"])


def _message(row: OutboxRow) -> Message:
    return Message(
        id=row.id,
        rule=row.rule,
        channel=_channel(row),
        event=Event.model_validate(row.body["event"]),
        count=row.count,
        first=datetime.fromisoformat(row.body["first"]),
        events=tuple(row.body["events"]),
    )


def _delivery(row: OutboxRow) -> Delivery:
    return Delivery(
        id=row.id,
        rule=row.rule,
        kind=ChannelKind(row.kind),
        to=shown_address(_channel(row)),
        state=row.state,
        count=row.count,
        attempts=row.attempts,
        created=row.created,
        sent=row.sent,
        why=row.why,
    )
