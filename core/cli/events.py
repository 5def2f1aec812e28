"""`xaiva event`: the events of the inference service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.name_completion import cameras, complete, products
from core.cli.service_calls import client, format_number, format_time, print_outcome, refuse_existing
from core.cli.session import PRIORITY, CliSession, confirm, json_option, option_group, yes_option
from core.cli.single_use_options import Group
from core.errors import InputError
from core.service_client import text_formats

if TYPE_CHECKING:
    from core.api_schema import Event, EventQuery

_MAX_IDS_PER_REQUEST = 1000  # a limit of the service

filters = option_group(
    click.option("--camera", metavar="ID", shell_complete=complete(cameras), help="Only this camera's."),
    click.option("--type", "type_", metavar="WORD", help="Only this type."),
    click.option("--product", metavar="NAME", shell_complete=complete(products), help="Only of inspections of it."),
    click.option("--priority", type=PRIORITY, help="Only this priority."),
    click.option("--since", metavar="TIME", help="From this time on: 2h (ago), today, 2026-01-31, 2026-01-31 12:00."),
    click.option("--until", metavar="TIME", help="Before this time."),
    click.option("--minimum-score", type=float, help="Only with at least this score."),
    click.option("--acknowledged/--unacknowledged", default=None, help="Only events with or without acknowledgement."),
    click.option("--text", default="", help="Only with this text in the type, description or note."),
)


def _query(options: dict[str, Any], **more: Any) -> EventQuery:
    from core.api_schema import EventQuery
    from core.service_client import text_formats

    fields = {name: value for name, value in options.items() if value is not None and name != "type_"}
    if options["type_"] is not None:
        fields["type"] = options["type_"]
    for name in ("since", "until"):
        if options[name] is not None:
            fields[name] = text_formats.parse_time_of_past(options[name])
    return text_formats.build_request(EventQuery, {**fields, **more})


@click.group("event", cls=Group)
def event_command() -> None:
    """Events of the inference service: list, show, acknowledge, protect, export."""


@event_command.command("list")
@filters
@click.option("--sort", type=click.Choice(["time", "score"]), default="time", show_default=True)
@click.option("--ascending", is_flag=True, help="Oldest or lowest first.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--cursor", default="", help="Continue after an earlier --json page (its `next`).")
@json_option
@click.pass_obj
def list_command(
    session: CliSession, /, sort: str, ascending: bool, limit: int, cursor: str, as_json: bool, **options: Any
) -> None:
    """List events, newest first."""
    page = client(session).events(_query(options, sort=sort, ascending=ascending, limit=limit, cursor=cursor))
    if as_json:
        output.print_json(page)
        return
    filtered = any(value not in (None, "") for value in options.values())
    empty = "no events match these options" if filtered or cursor else "no events yet"
    head = ("ID", "STARTED", "CAMERA", "TYPE", "PRIORITY", "SCORE", "ACK", "WHAT")
    output.print_table(head, map(_row, page.events), empty)
    if page.next:
        click.echo("there are more; use --limit to see them", err=True)


def _row(event: Event) -> tuple[object, ...]:
    words = event.analysis.description or ", ".join(fact.label for fact in event.facts)
    if event.unreadable:
        words = f"the service's answer cannot be read: {event.unreadable}"
    return (
        event.id or "?",
        format_time(event.started),
        event.camera,
        event.type,
        event.priority.word,
        format_number(event.score),
        "yes" if event.acknowledged else "no",
        " ".join(words.split()),
    )


@event_command.command("show")
@click.argument("identifier", metavar="ID")
@json_option
@click.pass_obj
def show(session: CliSession, identifier: str, as_json: bool) -> None:
    """Show everything about one event."""
    event = client(session).event(identifier)
    if as_json:
        output.print_json({"event": event})
        return
    ended = f" to {format_time(event.ended)}" if event.ended else ", still going on"
    analysis = event.analysis.description or event.analysis.why
    clip = event.clip
    fields = (
        ("camera", f"{event.camera} {event.camera_name if event.camera_name != event.camera else ''}".strip()),
        ("what", f"{event.type}, priority {event.priority.word}"),
        ("when", f"{format_time(event.started)}{ended}"),
        ("score", f"{event.score:.2f} at a threshold of {event.threshold:.2f} ({event.detector})"),
        ("zone", event.zone),
        ("analysis", f"{event.analysis.state.word}{f': {analysis}' if analysis else ''}"),
        ("clip", f"{clip.state or 'unknown'} {f'{clip.seconds:.0f} s' if clip.seconds else clip.why}"),
        ("protected", "yes" if event.protected else ""),
        (
            "acknowledged",
            f"{format_time(event.acknowledged)} by {text_formats.format_acknowledger(event)}"
            if event.acknowledged
            else "no",
        ),
        ("note", event.note),
        ("unreadable", event.unreadable),
    )
    for name, value in fields:
        head = f"{name}:"
        for text in value.splitlines():  # a note may have several lines, which must not look like other fields
            output.print_line(f"{head:<14}{text}")
            head = ""
    for fact in event.facts:
        output.print_line(f"  seen: {fact.label} ({fact.score:.2f})")
    for action in event.actions:
        output.print_line(f"  {action.step}: {action.state}{f', {action.detail}' if action.detail else ''}")


@event_command.command("ack")
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All events that match the filters.")
@filters
@click.option("--note", default="", help="A note to store with them.")
@yes_option
@json_option
@click.pass_obj
def acknowledge(
    session: CliSession,
    /,
    identifiers: tuple[str, ...],
    every: bool,
    note: str,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Acknowledge the named events, or with --all every event that matches the filters."""
    if bool(identifiers) == every:
        raise InputError("xaiva event ack", "it needs event ids, or --all with filters", "see: xaiva event ack --help")
    service = client(session)
    ids = list(identifiers)
    if every:
        query = _query(options, limit=_MAX_IDS_PER_REQUEST)
        if query.acknowledged is None:
            query = query.model_copy(update={"acknowledged": False})
        ids = [event.id for event in service.all_events(query)]
        if ids:
            confirm(f"Acknowledge {len(ids)} events?", yes)
    count = sum(
        service.acknowledge(ids[at : at + _MAX_IDS_PER_REQUEST], note)
        for at in range(0, len(ids), _MAX_IDS_PER_REQUEST)
    )
    if not every and count < len(ids):
        for identifier in ids:
            service.event(identifier)  # raises if it does not exist; the others had been acknowledged before
    if as_json:
        output.print_json({"acknowledged": count, "named": len(ids)})
    else:
        click.echo(f"{count} of {len(ids)} acknowledged" if count != len(ids) else f"{count} acknowledged")


@event_command.command("protect")
@click.argument("identifier", metavar="ID")
@click.option("--off", is_flag=True, help="Remove the protection.")
@json_option
@click.pass_obj
def protect(session: CliSession, identifier: str, off: bool, as_json: bool) -> None:
    """Keep an event's clip and picture when old ones are deleted to free space."""
    event = client(session).protect(identifier, not off)
    print_outcome(identifier, "protected" if event.protected else "not protected", as_json, event=event)


@event_command.command("export")
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@filters
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), help="Default: the file's extension decides.")
@click.option("--force", is_flag=True, help="Replace the file.")
@json_option
@click.pass_obj
def export(session: CliSession, /, target: Path, kind: Any, force: bool, as_json: bool, **options: Any) -> None:
    """Write all matching events to a file as CSV or JSON; - is standard output."""
    from core.service_client.export import export, format_of, write

    events = client(session).all_events(_query(options, limit=_MAX_IDS_PER_REQUEST))
    if str(target) == "-":
        write(events, sys.stdout, kind or "json")
        return
    refuse_existing(target, force)
    count = export(events, target, kind or format_of(target))
    print_outcome(str(target), f"{count} events", as_json, file=str(target), events=count)


@event_command.command("clip")
@click.argument("identifier", metavar="ID")
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file.")
@json_option
@click.pass_obj
def clip(session: CliSession, identifier: str, target: Path, force: bool, as_json: bool) -> None:
    """Save an event's clip as MP4. An incomplete download leaves no file."""
    refuse_existing(target, force)
    show_progress = sys.stderr.isatty() and not as_json
    on_progress = _print_progress if show_progress else None
    client(session).save_clip(identifier, target, on_progress)
    if show_progress:
        click.echo(err=True)
    size = target.stat().st_size
    print_outcome(str(target), output.size(size), as_json, file=str(target), bytes=size)


@event_command.command("snapshot")
@click.argument("identifier", metavar="ID")
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@json_option
@click.pass_obj
def snapshot(session: CliSession, identifier: str, target: Path, as_json: bool) -> None:
    """Save an event's best picture as JPEG; - is standard output."""
    from core.cli.cameras import save_picture

    save_picture(lambda service: service.event_snapshot(identifier), session, target, as_json)


@event_command.command("watch")
@json_option
@click.pass_obj
def watch(session: CliSession, as_json: bool) -> None:
    """Watch new and updated events until Ctrl-C. With --json, each event is one line."""
    for event in client(session).event_stream():
        if as_json:
            output.print_json(event, one_line=True)
        else:
            output.print_line("  ".join(str(cell) for cell in _row(event)))


@event_command.command("statistics")
@click.option("--first", metavar="DAY", help="First day, like 2026-01-25 (default: six days before the last).")
@click.option("--last", metavar="DAY", help="Last day, like 2026-01-31 (default: today).")
@click.option("--camera", metavar="ID", shell_complete=complete(cameras), help="Only this camera's.")
@json_option
@click.pass_obj
def statistics(session: CliSession, first: str | None, last: str | None, camera: str | None, as_json: bool) -> None:
    """Count events per day and camera, in the service's time zone."""
    from core.api_schema import StatisticsQuery
    from core.service_client import text_formats

    options = {"first": first, "last": last, "camera": camera}
    query = text_formats.build_request(
        StatisticsQuery, {name: value for name, value in options.items() if value is not None}
    )
    result = client(session).statistics(query)
    if as_json:
        output.print_json(result)
        return
    output.print_table(
        ("DAY", "CAMERA", "EVENTS", "ACKNOWLEDGED", "HIGHEST", "RESPONSE", "TYPES"),
        (
            (
                day.date,
                day.camera,
                day.events,
                day.acknowledged,
                format_number(day.highest_score),
                format_number(day.mean_response, "s", 1),
                ", ".join(f"{name} {count}" for name, count in sorted(day.by_type.items())),
            )
            for day in result.days
        ),
        "no events on these days",
    )


def _print_progress(done: int, total: int) -> None:
    share = f"{done / total:4.0%} of {output.size(total)}" if total else output.size(done)
    click.echo(f"\r{share}  ", nl=False, err=True)
