"""`xaiva rule`: the notification rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.name_completion import cameras, complete, rules
from core.cli.service_calls import client, format_time, print_outcome
from core.cli.session import PRIORITY, CliSession, confirm, json_option, option_group, yes_option
from core.cli.single_use_options import Group

if TYPE_CHECKING:
    from core.api_schema import Rule, RuleRequest

rule_options = option_group(
    click.option("--enabled/--disabled", default=None, help="Whether the rule is in use."),
    click.option(
        "--camera",
        "cameras",
        multiple=True,
        metavar="ID",
        shell_complete=complete(cameras),
        help="Only for this camera (repeatable).",
    ),
    click.option("--type", "types", multiple=True, metavar="WORD", help="Only for this event type (repeatable)."),
    click.option("--priority", type=PRIORITY, help="The lowest priority that notifies."),
    click.option("--schedule", metavar="WINDOWS", help='When to notify: "mo-fr 18:00-06:00; sa,su", or "" for always.'),
    click.option(
        "--within", type=float, help="Events of the same camera and type within so many seconds become one message."
    ),
)


def _request(options: Mapping[str, Any], to: tuple[str, ...], base: dict[str, Any]) -> RuleRequest:
    from core.api_schema import RuleRequest
    from core.service_client import text_formats

    fields = {**base, **{name: value for name, value in options.items() if value is not None and value != ()}}
    if options["schedule"] is not None:
        fields["schedule"] = text_formats.parse_schedule(options["schedule"])
    if to:
        fields["channels"] = text_formats.parse_channels(word for text in to for word in text.split())
    return text_formats.build_request(RuleRequest, fields)


@click.group("rule", cls=Group)
def rule_command() -> None:
    """Notification rules: which events are sent by mail, webhook or Apprise, and to whom."""


@rule_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the rules."""
    from core.service_client import text_formats

    rules = client(session).rules()
    if as_json:
        output.print_json({"rules": rules})
        return
    output.print_table(
        ("NAME", "ENABLED", "CAMERAS", "TYPES", "PRIORITY", "WHEN", "TO"),
        (
            (
                rule.name,
                "yes" if rule.enabled else "no",
                ", ".join(rule.cameras) or "all",
                ", ".join(rule.types) or "all",
                f"{rule.priority.word} and above",
                text_formats.format_schedule(rule.schedule) or "always",
                "  ".join(map(text_formats.format_channel, rule.channels)) or f"cannot be read: {rule.unreadable}",
            )
            for rule in rules
        ),
        "no rules yet, so nobody is notified; add one with: xaiva rule add NAME CHANNEL",
    )


@rule_command.command("add")
@click.argument("name")
@click.argument("to", nargs=-1, required=True, metavar="CHANNEL...")
@rule_options
@json_option
@click.pass_obj
def add(session: CliSession, /, name: str, to: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Add a rule. A CHANNEL is email:ADDRESS, webhook:URL (and secret=VARIABLE after it), or apprise:URL."""
    _print_rule(client(session).add_rule(_request(options, to, {"name": name})), "added", as_json)


@rule_command.command("edit")
@click.argument("name", shell_complete=complete(rules))
@click.option("--to", multiple=True, metavar="CHANNEL", help="Replace all its channels with this one (repeatable).")
@click.option("--all-cameras", is_flag=True, help="Apply to all cameras again.")
@click.option("--all-types", is_flag=True, help="Apply to all event types again.")
@rule_options
@json_option
@click.pass_obj
def edit(
    session: CliSession,
    /,
    name: str,
    to: tuple[str, ...],
    all_cameras: bool,
    all_types: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Change the named settings; the others stay."""
    service = client(session)
    base = service.rule(name).model_dump()
    base |= {"cameras": ()} if all_cameras else {}
    base |= {"types": ()} if all_types else {}
    _print_rule(service.update_rule(_request(options, to, base)), "changed", as_json)


@rule_command.command("remove")
@click.argument("name", shell_complete=complete(rules))
@yes_option
@json_option
@click.pass_obj
def remove(session: CliSession, name: str, yes: bool, as_json: bool) -> None:
    """Remove a rule."""
    confirm(f"Remove the rule {name}?", yes)
    client(session).remove_rule(name)
    print_outcome(name, "removed", as_json)


@rule_command.command("test")
@click.argument("name", shell_complete=complete(rules))
@json_option
@click.pass_obj
def test(session: CliSession, name: str, as_json: bool) -> int:
    """Send a test message over every channel of the rule. The exit code is 3 when one fails."""
    result = client(session).test_rule(name)
    if as_json:
        output.print_json({"test": result})
    else:
        for to in result.sent:
            output.print_line(f"{to}: sent")
        for to, why in result.failed.items():
            output.print_line(f"{to}: {why}")
    return 3 if result.failed else 0


@rule_command.command("deliveries")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
@json_option
@click.pass_obj
def deliveries(session: CliSession, limit: int, as_json: bool) -> None:
    """List the newest messages with their state and the newest error."""
    messages = client(session).deliveries(limit)
    if as_json:
        output.print_json({"deliveries": messages})
        return
    output.print_table(
        ("CREATED", "RULE", "TO", "STATE", "EVENTS", "TRIES", "WHY"),
        ((format_time(d.created), d.rule, d.to, d.state, d.count, d.attempts, d.why) for d in messages),
        "no messages yet",
    )


def _print_rule(rule: Rule, what: str, as_json: bool) -> None:
    print_outcome(rule.name, what if rule.enabled else f"{what}, disabled", as_json, rule=rule)
