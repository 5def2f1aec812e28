"""The store of rules: kept with their passwords, shown without."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.database.models import NotificationRuleRow
from core.inference.database.requests import load_requests, put_request
from core.inference.notifications.addresses import HIDDEN, check, shown
from core.inference.notifications.outbox import readdress
from core.inference.schemas import Channel, Rule, RuleRequest


class UnknownRule(InputError):
    """There is no rule of that name."""


class RuleStore:
    """Rules in the order in which they came, held in memory too: telling an event reads no database.

    Every method may be called from any thread. Raises DatabaseError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()  # file and memory change together
        self._rules = {rule.name: rule for rule in load_requests(database, NotificationRuleRow, RuleRequest, "rule")}

    def list(self) -> list[Rule]:
        """All rules, as they are shown."""
        return [_shown(rule) for rule in self.whole()]

    def get(self, name: str) -> Rule:
        """One rule, as it is shown. Raises UnknownRule."""
        return _shown(self.one(name))

    def put(self, request: RuleRequest) -> Rule:
        """Keep a rule, in the place of one with its name or as the last.

        An address given as it is shown stands for the one that is kept. What waits for a channel whose address was
        corrected goes to the new one. Raises InputError for an address that cannot work.
        """
        with self._lock:
            before = self._rules.get(request.name)
            rule = request.model_copy(
                update={"channels": _completed(request.channels, before.channels if before else ())}
            )
            for channel in rule.channels:
                check(channel)
            self._database.write(lambda session: _put(session, rule, before))
            self._rules[rule.name] = rule
        return _shown(rule)

    def drop(self, name: str) -> None:
        """Keep it no longer; what waits for it is given up. Raises UnknownRule."""
        with self._lock:
            self.one(name)
            statement = delete(NotificationRuleRow).where(NotificationRuleRow.name == name)
            self._database.write(lambda session: session.execute(statement))
            del self._rules[name]

    def whole(self) -> tuple[RuleRequest, ...]:
        """All rules with their passwords: for sending, never for showing."""
        return tuple(self._rules.copy().values())

    def one(self, name: str) -> RuleRequest:
        """One rule with its passwords. Raises UnknownRule."""
        rule = self._rules.get(name)
        if rule is None:
            raise UnknownRule(f"Rule {name}", "there is no rule of that name", "list them: xaiva rule list")
        return rule


def _completed(given: tuple[Channel, ...], kept: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """The channels with those addresses filled in that were given as they are shown."""
    known: defaultdict[tuple[str, str], list[Channel]] = defaultdict(list)
    for channel in kept:
        known[channel.kind.value, shown(channel)].append(channel)
    asked = Counter((channel.kind.value, channel.to) for channel in given if HIDDEN in channel.to)
    for (kind, to), count in asked.items():
        if len(known[kind, to]) != count and len(known[kind, to]) > 1:
            why = f"the rule keeps {len(known[kind, to])} addresses that are shown as {to}"
            raise InputError(f"Channel {kind}", why, "write the whole address of each")
    return tuple(
        channel.model_copy(update={"to": same.pop(0).to})
        if HIDDEN in channel.to and (same := known[channel.kind.value, channel.to])
        else channel
        for channel in given
    )


def _put(session: Session, rule: RuleRequest, before: RuleRequest | None) -> None:
    put_request(session, NotificationRuleRow, rule.name, rule)
    if before and len(before.channels) == len(rule.channels):
        for old, new in zip(before.channels, rule.channels, strict=True):
            if old.kind is new.kind and old != new:
                readdress(session, rule.name, old, new)


def _shown(rule: RuleRequest) -> Rule:
    channels = tuple(channel.model_copy(update={"to": shown(channel)}) for channel in rule.channels)
    return Rule(**{**dict(rule), "channels": channels})
