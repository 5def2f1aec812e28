"""The store of rules: kept with their passwords, shown without."""

from __future__ import annotations

import threading
from collections import Counter

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.database.models import NotificationRuleRow
from core.inference.database.requests import load_requests, put_request
from core.inference.notifications.addresses import check, shown
from core.inference.notifications.outbox import readdress
from core.inference.schemas import Channel, ChannelKind, Rule, RuleRequest
from core.redaction import has_placeholder, matches_redacted, restore_secrets


class UnknownRule(InputError):
    """There is no rule of that name."""


class RuleExists(InputError):
    """There is a rule of that name already."""


class RuleStore:
    """Rules in the order in which they came, held in memory too: telling an event reads no database.

    Every method may be called from any thread. Raises DatabaseError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()  # one change at a time: database and memory change together
        self._rules = {rule.name: rule for rule in load_requests(database, NotificationRuleRow, RuleRequest, "rule")}

    def list(self) -> list[Rule]:
        """All rules, as they are shown."""
        return [_shown(rule) for rule in self.whole()]

    def get(self, name: str) -> Rule:
        """One rule, as it is shown. Raises UnknownRule."""
        return _shown(self.one(name))

    def add(self, request: RuleRequest) -> Rule:
        """Keep a rule as the last. Raises RuleExists, and InputError for an address that cannot work."""
        with self._lock:
            if request.name in self._rules:
                raise RuleExists(
                    f"Rule {request.name}", "there is one with that name", "change it, or take another name"
                )
            return self._keep(request, None)

    def change(self, request: RuleRequest) -> Rule:
        """Keep a rule in the place of the one with its name.

        What is hidden in an address that is given stands for what is kept. What waits for a channel whose address was
        corrected goes to the new one. Raises UnknownRule, and InputError for an address that cannot work.
        """
        with self._lock:
            return self._keep(request, self.one(request.name))

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

    def _keep(self, request: RuleRequest, before: RuleRequest | None) -> Rule:
        """The caller holds the lock."""
        rule = request.model_copy(update={"channels": _completed(request.channels, before.channels if before else ())})
        for channel in rule.channels:
            check(channel)
        self._database.write(lambda session: _put(session, rule, before))
        self._rules[rule.name] = rule
        return _shown(rule)


def _completed(given: tuple[Channel, ...], kept: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """The channels with what is hidden in their addresses filled in. Raises InputError where it is not clear how."""
    hidden = [channel for channel in given if has_placeholder(channel.to)]
    known = {id(channel): _wholes(channel, kept) for channel in hidden}
    for channel in hidden:
        asked = sum(_wholes(other, kept) == known[id(channel)] for other in hidden)
        if (count := len(known[id(channel)])) > 1 and asked != count:
            why = f"the rule keeps {count} addresses that are shown as {channel.to}"
            raise InputError(f"Channel {channel.kind.value}: to", why, "write the whole address of each")
    taken: Counter[tuple[str, ...]] = Counter()
    channels = []
    for channel in given:
        wholes = tuple(known.get(id(channel), ()))
        place = taken[wholes]
        taken[wholes] += 1
        channels.append(channel.model_copy(update={"to": wholes[place]}) if place < len(wholes) else channel)
    return tuple(channels)


def _wholes(channel: Channel, kept: tuple[Channel, ...]) -> list[str]:
    """The addresses that a channel with something hidden may mean: those shown so, else those of the same host."""
    same = [one for one in kept if one.kind is channel.kind]
    alike = [one.to for one in same if matches_redacted(channel.to, shown(one))]
    if alike or channel.kind is not ChannelKind.WEBHOOK:
        return alike
    return list(dict.fromkeys(whole for one in same if (whole := restore_secrets(channel.to, one.to)) is not None))


def _put(session: Session, rule: RuleRequest, before: RuleRequest | None) -> None:
    put_request(session, NotificationRuleRow, rule.name, rule)
    if before and len(before.channels) == len(rule.channels):
        for old, new in zip(before.channels, rule.channels, strict=True):
            if old.kind is new.kind and old != new:
                readdress(session, rule.name, old, new)


def _shown(rule: RuleRequest) -> Rule:
    channels = tuple(channel.model_copy(update={"to": shown(channel)}) for channel in rule.channels)
    return Rule(**{**dict(rule), "channels": channels})
