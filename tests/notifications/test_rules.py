"""Rules: kept whole, shown without secrets, refused when they cannot work."""

from __future__ import annotations

import pytest

from core.api_schema import Channel, ChannelKind, RuleRequest
from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.notifications.outbox import Outbox
from core.inference.notifications.rule_store import RuleStore, UnknownRule
from tests.notifications.conftest import event, mail, rule, webhook

HOOK = "https://admin:hunter2@hooks.example/services/T0/9f8e7d6c5b4a39281716/in?token=s3cret&tenant=7"
HOOK_SHOWN = "https://***@hooks.example/services/T0/***/in?token=***&tenant=***"


def apprise(url: str) -> Channel:
    return Channel(kind=ChannelKind.APPRISE, to=url)


def test_rules_stay_in_their_order_over_a_restart_with_their_secrets(either: Database) -> None:
    store = RuleStore(either)
    for name in ("zulu", "alpha", "mike"):
        store.add(rule(name, webhook(HOOK)))
    store.change(rule("alpha", webhook(HOOK), mail("ops@example.org")))
    store.drop("mike")
    again = RuleStore(either)
    assert [one.name for one in again.list()] == ["zulu", "alpha"]
    assert again.get_with_secrets("alpha").channels[0].to == HOOK


def test_no_secret_of_an_address_is_shown(rules: RuleStore) -> None:
    shown = rules.add(rule("ops", webhook(HOOK), apprise("tgram://123456789:abcdefg_hijklmnop/12315544/")))
    assert [channel.to for channel in shown.channels] == [HOOK_SHOWN, "tgram://***"]
    for secret in ("hunter2", "s3cret", "9f8e7d6c5b4a39281716", "abcdefg"):
        assert secret not in shown.model_dump_json() + rules.get("ops").model_dump_json()


def test_an_address_given_as_it_is_shown_stays_as_it_was(rules: RuleStore) -> None:
    rules.add(rule("ops", webhook(HOOK), mail("ops@example.org")))
    shown = rules.get("ops")
    changed = RuleRequest(name="ops", within=60, channels=(mail("night@example.org"), shown.channels[0]))
    rules.change(changed)
    assert [channel.to for channel in rules.get_with_secrets("ops").channels] == ["night@example.org", HOOK]
    assert rules.get_with_secrets("ops").within == 60


def test_addresses_that_look_alike_are_not_guessed(rules: RuleStore) -> None:
    first, second = HOOK, HOOK.replace("hunter2", "other")
    rules.add(rule("ops", webhook(first), webhook(second)))
    rules.change(rule("ops", webhook(HOOK_SHOWN), webhook(HOOK_SHOWN)))
    assert [channel.to for channel in rules.get_with_secrets("ops").channels] == [first, second]
    with pytest.raises(InputError, match="2 addresses"):
        rules.change(rule("ops", webhook(HOOK_SHOWN)))
    with pytest.raises(InputError, match="no stored secret"):
        rules.add(rule("new", webhook(HOOK_SHOWN)))


@pytest.mark.parametrize(
    "channel",
    [
        mail("nobody"),
        mail("a@b, c@d"),
        webhook("ftp://hunter2@host/x"),
        webhook("http://user:hunter2@169.254.169.254/latest"),
        webhook("http://user:hunter2@[::ffff:169.254.169.254]/latest"),
        webhook("http://user:hunter2@0.0.0.0/"),
        webhook("http://:80/hunter2"),
        apprise("syslog://hunter2"),
        apprise("dbus://hunter2"),
        apprise("exec://hunter2"),
        apprise("windows://hunter2"),
        apprise("discord://hunter2/token?template=/etc/passwd"),
        apprise("fcm://hunter2/x?keyfile=file:///etc/passwd"),
        apprise("slack://T1JJ3T3L2/A1BRTD4JD/hunter2?template=file%253A%252F%252F/etc/passwd"),
        apprise("json://user:hunter2@169.254.169.254/x"),
        apprise("hunter2"),
    ],
    ids=lambda channel: channel.to[:30],
)
def test_what_cannot_or_must_not_be_told_is_refused_without_its_secret(rules: RuleStore, channel: Channel) -> None:
    with pytest.raises(InputError) as refused:
        rules.add(rule("ops", channel))
    assert "hunter2" not in str(refused.value)
    assert rules.list() == []


def test_what_waits_goes_to_the_corrected_address(either: Database) -> None:
    rules, outbox = RuleStore(either), Outbox(either)
    wrong = rule("ops", webhook("http://127.0.0.1:1/typo"), mail("ops@example.org"))
    rules.add(wrong)
    outbox.put(event(), [wrong])
    rules.change(rule("ops", webhook("http://127.0.0.1:1/right", "HOOK_SECRET"), mail("ops@example.org")))
    assert sorted(one.to for one in outbox.waiting()) == ["http://127.0.0.1:1/right", "ops@example.org"]
    (hook,) = [one for one in outbox.waiting() if one.kind == "webhook"]
    message = outbox.claim(hook.id)
    assert message is not None
    assert message.channel.secret_variable == "HOOK_SECRET"


def test_an_unknown_rule_is_told(rules: RuleStore) -> None:
    for ask in (rules.get, rules.drop):
        with pytest.raises(UnknownRule, match="nope"):
            ask("nope")
