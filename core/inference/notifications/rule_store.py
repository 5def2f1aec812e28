"""Stores notification rules with their secrets, and shows them without."""

from __future__ import annotations

import threading
from collections import Counter

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core.api_schema import Channel, ChannelKind, Rule, RuleRequest
from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.database.models import NotificationRuleRow
from core.inference.database.request_rows import load_requests, put_request
from core.inference.notifications.channel_addresses import check_channel, shown_address
from core.inference.notifications.outbox import readdress
from core.redaction import has_placeholder, matches_redacted, restore_secrets


class UnknownRule(InputError):
    """No rule has that name."""


class RuleExists(InputError):
    """Another rule has that name."""


class RuleStore:
    """Rules in the order of their creation, also in memory: notifying does not read the database.

    Thread-safe. Raises DatabaseError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()  # one change at a time: database and memory stay the same
        self._rules = {rule.name: rule for rule in load_requests(database, NotificationRuleRow, RuleRequest, "rule")}

    def list(self) -> list[Rule]:
        return [_without_secrets(rule) for rule in self.list_with_secrets()]

    def get(self, name: str) -> Rule:
        return _without_secrets(self.get_with_secrets(name))

    def add(self, request: RuleRequest) -> Rule:
        """Add a rule at the end. Raises RuleExists, and InputError for an invalid address."""
        with self._lock:
            if request.name in self._rules:
                raise RuleExists(
                    f"Rule {request.name}", "this name is taken", "change the existing one, or choose another name"
                )
            return self._store(request, None)

    def change(self, request: RuleRequest) -> Rule:
        """Replace the rule of that name.

        Hidden parts of an address keep their stored value. Waiting messages go to their channel's corrected address.
        Raises UnknownRule, and InputError for an invalid address.
        """
        with self._lock:
            return self._store(request, self.get_with_secrets(request.name))

    def drop(self, name: str) -> None:
        """Remove a rule; its waiting messages are given up. Raises UnknownRule."""
        with self._lock:
            self.get_with_secrets(name)
            statement = delete(NotificationRuleRow).where(NotificationRuleRow.name == name)
            self._database.write(lambda session: session.execute(statement))
            del self._rules[name]

    def list_with_secrets(self) -> tuple[RuleRequest, ...]:
        """All rules with their secrets: for sending, never for showing."""
        return tuple(self._rules.copy().values())

    def get_with_secrets(self, name: str) -> RuleRequest:
        """One rule with its secrets. Raises UnknownRule."""
        rule = self._rules.get(name)
        if rule is None:
            raise UnknownRule(f"Rule {name}", "there is no rule of that name", "list them: xaiva rule list")
        return rule

    def _store(self, request: RuleRequest, previous: RuleRequest | None) -> Rule:
        """Store a rule; the caller holds the lock."""
        channels = _fill_hidden(request.channels, previous.channels if previous else ())
        rule = request.model_copy(update={"channels": channels})
        for channel in rule.channels:
            check_channel(channel)
        self._database.write(lambda session: _put_rule(session, rule, previous))
        self._rules[rule.name] = rule
        return _without_secrets(rule)


def _fill_hidden(channels: tuple[Channel, ...], stored: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """Fill the hidden parts of addresses from the stored channels. Raises InputError where that is ambiguous."""
    hidden = [channel for channel in channels if has_placeholder(channel.to)]
    addresses = {id(channel): _matching_addresses(channel, stored) for channel in hidden}
    for channel in hidden:
        same_shown = sum(_matching_addresses(other, stored) == addresses[id(channel)] for other in hidden)
        if (count := len(addresses[id(channel)])) > 1 and same_shown != count:
            why = f"the rule has {count} addresses that are shown as {channel.to}"
            raise InputError(f"Channel {channel.kind.value}: to", why, "enter the complete address of each")
    used: Counter[tuple[str, ...]] = Counter()
    completed = []
    for channel in channels:
        matching = tuple(addresses.get(id(channel), ()))
        place = used[matching]
        used[matching] += 1
        completed.append(channel.model_copy(update={"to": matching[place]}) if place < len(matching) else channel)
    return tuple(completed)


def _matching_addresses(channel: Channel, stored: tuple[Channel, ...]) -> list[str]:
    """The stored addresses that a hidden one may stand for: those shown the same, else those of the same host."""
    same = [other for other in stored if other.kind is channel.kind]
    alike = [other.to for other in same if matches_redacted(channel.to, shown_address(other))]
    if alike or channel.kind is not ChannelKind.WEBHOOK:
        return alike
    return list(dict.fromkeys(whole for other in same if (whole := restore_secrets(channel.to, other.to)) is not None))


def _put_rule(session: Session, rule: RuleRequest, previous: RuleRequest | None) -> None:
    put_request(session, NotificationRuleRow, rule.name, rule)
    if previous and len(previous.channels) == len(rule.channels):
        for old, new in zip(previous.channels, rule.channels, strict=True):
            if old.kind is new.kind and old != new:
                readdress(session, rule.name, old, new)


def _without_secrets(rule: RuleRequest) -> Rule:
    channels = tuple(channel.model_copy(update={"to": shown_address(channel)}) for channel in rule.channels)
    return Rule(**{**dict(rule), "channels": channels})
