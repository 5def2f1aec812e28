"""`xaiva job`: the jobs of the running inference service, such as rebuilding an index."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.name_completion import complete, jobs
from core.cli.service_calls import client, format_time, print_outcome, refuse_existing
from core.cli.session import CliSession, json_option, option_group
from core.cli.single_use_options import Group

if TYPE_CHECKING:
    from core.api_schema import Job, JobFilter
    from core.progress import Stage
    from core.service_client import ServiceClient

_MAX_PAGE = 1000
_STATES = ("queued", "running", "done", "failed", "cancelled", "crashed")

filters = option_group(
    click.option("--kind", help="Only jobs of this kind; see: xaiva job kinds."),
    click.option("--state", type=click.Choice(_STATES), help="Only jobs in this state."),
    click.option("--subject", help="Only jobs that work on this."),
    click.option("--since", metavar="TIME", help="Asked for at or after: 2h, today, 2026-01-31."),
    click.option("--until", metavar="TIME", help="Asked for before."),
)


@click.group("job", cls=Group)
def job_command() -> None:
    """The inference service's jobs (choose the service with xaiva --service NAME)."""


@job_command.command("start")
@click.argument("kind")
@click.argument("subject", default="")
@click.option("--option", "-o", "options", multiple=True, metavar="NAME=VALUE", help="An option; may be repeated.")
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), default="normal", show_default=True)
@click.option("--follow", "-f", "follows", is_flag=True, help="Watch it until it ends. Ctrl-C only stops watching.")
@json_option
@click.pass_obj
def start(
    session: CliSession, kind: str, subject: str, options: tuple[str, ...], priority: str, follows: bool, as_json: bool
) -> None:
    """Start a job of a KIND on a SUBJECT, or queue it. `xaiva job kinds` says which there are."""
    from core.api_schema import JobRequest
    from core.service_client.text_formats import build_request

    fields = {"kind": kind, "subject": subject, "options": _parse_options(options), "priority": priority}
    service = client(session)
    job = service.jobs.start(build_request(JobRequest, fields))
    if follows:
        _follow(service, job.id, 0, as_json)
    else:
        _print_started(job, as_json)


@job_command.command("list")
@filters
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, _MAX_PAGE), help="How many.")
@click.option("--cursor", default="", help="Continue after an earlier --json page (its `next`).")
@json_option
@click.pass_obj
def list_command(session: CliSession, /, limit: int, cursor: str, as_json: bool, **options: Any) -> None:
    """List jobs, newest first."""
    from core.api_schema import JobQuery
    from core.service_client.text_formats import build_request

    fields = _filter(options).model_dump(exclude_none=True)
    page = client(session).jobs.page(build_request(JobQuery, {**fields, "limit": limit, "cursor": cursor}))
    if as_json:
        output.print_json(page)
        return
    filtered = any(value for value in options.values())
    empty = "no jobs match these options" if filtered or cursor else "no jobs yet"
    head = ("ID", "STATE", "KIND", "SUBJECT", "ASKED", "TOOK", "BY", "RESULT")
    output.print_table(head, map(_row, page.jobs), empty)
    if page.next:
        click.echo("there are more; use --limit to see them", err=True)


@job_command.command("show")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(jobs))
@json_option
@click.pass_obj
def show(session: CliSession, identifier: int, as_json: bool) -> None:
    """Show a job: its stages, its history, what came out."""
    job = client(session).jobs.get(identifier)
    if as_json:
        output.print_json({"job": job})
        return
    _print_job(job)
    for depth, stage in _stage_tree(job):
        took = output.seconds(stage.ended - stage.started) if stage.ended and stage.started else ""
        output.print_line(f"{'  ' * depth}  [{stage.state.word}] {stage.title} {stage.detail} {took}".rstrip())
    for entry in job.history:
        by = f" by {entry.by}" if entry.by else ""
        output.print_line(f"  {format_time(entry.at)} {entry.what}{by}")


@job_command.command("follow")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(jobs))
@click.option("--offset", default=0, help="Continue at this offset of the log (`next` of an earlier --json line).")
@json_option
@click.pass_obj
def follow(session: CliSession, identifier: int, offset: int, as_json: bool) -> None:
    """Watch a job until it ends. Ctrl-C stops watching; the job continues.

    With --json, each message of the service's stream is one line. The exit code is 1 if the job does not succeed.
    """
    _follow(client(session), identifier, offset, as_json)


@job_command.command("cancel")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(jobs))
@json_option
@click.pass_obj
def cancel(session: CliSession, identifier: int, as_json: bool) -> None:
    """Cancel a job within a second. What was published before stays."""
    job = client(session).jobs.cancel(identifier)
    state = "is being cancelled" if job.state.live else job.state.value
    print_outcome(f"job {identifier}", state, as_json, job=job)


@job_command.command("retry")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(jobs))
@json_option
@click.pass_obj
def retry(session: CliSession, identifier: int, as_json: bool) -> None:
    """Start a job again that failed, crashed or was cancelled. It reuses what is complete."""
    _print_started(client(session).jobs.retry(identifier), as_json)


@job_command.command("kinds")
@json_option
@click.pass_obj
def kinds(session: CliSession, as_json: bool) -> None:
    """List the kinds of jobs, with their subjects and options."""
    known = client(session).jobs.kinds()
    if as_json:
        output.print_json({"kinds": known})
        return
    rows = (
        (kind.kind, kind.about, kind.subjects, "; ".join(f"{name}: {about}" for name, about in kind.options.items()))
        for kind in known
    )
    output.print_table(("KIND", "WHAT", "SUBJECT", "OPTIONS"), rows, "the service knows no jobs")


@job_command.command("export")
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@filters
@click.option("--format", "kind_of_file", type=click.Choice(["csv", "json"]), help="Default: the file's extension.")
@click.option("--force", is_flag=True, help="Replace the file.")
@json_option
@click.pass_obj
def export(session: CliSession, /, target: Path, kind_of_file: Any, force: bool, as_json: bool, **options: Any) -> None:
    """Write all matching jobs, with stages and history, to a file as CSV or JSON; - is standard output."""
    from core.service_client.export import format_of

    calls = client(session).jobs
    if str(target) == "-":
        for part in calls.export_parts(kind_of_file or "json", _filter(options)):
            sys.stdout.buffer.write(part)
        return
    refuse_existing(target, force)
    calls.export(target, kind_of_file or format_of(target), _filter(options))
    size = target.stat().st_size
    print_outcome(str(target), output.size(size), as_json, file=str(target), bytes=size)


def _parse_options(words: tuple[str, ...]) -> dict[str, Any]:
    """Options from `NAME=VALUE`; a value that is JSON, such as true or 5, is that, and any other is text."""
    from core.errors import InputError

    options: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise InputError(f"Option {word}", "it has no value", "write it as NAME=VALUE")
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options


def _filter(options: dict[str, Any]) -> JobFilter:
    from core.api_schema import JobFilter
    from core.service_client.text_formats import build_request, parse_time_of_past

    fields = {name: value for name, value in options.items() if value is not None}
    for name in ("since", "until"):
        if name in fields:
            fields[name] = parse_time_of_past(fields[name])
    return build_request(JobFilter, fields)


def _follow(service: ServiceClient, identifier: int, offset: int, as_json: bool) -> None:
    """Print what the job does until it has ended; exits with 1 unless it succeeded."""
    from core.api_schema import JobEvent, JobLines, JobSnapshot

    printed: dict[str, str] = {}
    try:
        for message in service.jobs.follow(identifier, offset=offset):
            if as_json:
                output.print_json(message, one_line=True)
            elif isinstance(message, JobLines):
                output.print_text("\n".join(message.lines))
            elif isinstance(message, JobSnapshot):
                _print_stages(message.job, printed)
            if isinstance(message, JobEvent) and message.final:
                break
    except KeyboardInterrupt:
        click.echo(f"the job continues; watch it again with: xaiva job follow {identifier}", err=True)
        return
    job = service.jobs.get(identifier)
    if not as_json:
        _print_job(job)
    if job.state.value != "done":
        raise click.exceptions.Exit(1)


def _print_stages(job: Job, printed: dict[str, str]) -> None:
    """Print each stage whose state is new, and why a queued job waits. `printed` remembers them."""
    if job.why_queued and printed.get("") != job.why_queued:
        output.print_line(f"[queued] {job.why_queued}")
    printed[""] = job.why_queued
    for _, stage in _stage_tree(job):
        if stage.state.value != printed.get(stage.id) and stage.state.value != "waiting":
            output.print_line(f"[{stage.state.word}] {stage.title} {stage.detail}".rstrip())
        printed[stage.id] = stage.state.value


def _stage_tree(job: Job) -> list[tuple[int, Stage]]:
    """The stages, each followed by its parts, with their depths."""
    from core.progress import Stage, stage_tree

    return stage_tree([Stage.model_validate(stage.model_dump()) for stage in job.stages])


def _print_started(job: Job, as_json: bool) -> None:
    if as_json:
        output.print_json({"job": job})
        return
    waits = f"; it {job.why_queued}" if job.why_queued else ""
    output.print_line(f"job {job.id} ({job.title}) was accepted{waits}")
    click.echo(f"watch it with: xaiva job follow {job.id}")


def _print_job(job: Job) -> None:
    from core.errors import XaivaError
    from core.findings import read_finding
    from core.operations.outcome import format_value, record_table, result_label, without_known_total

    state = f"{job.state.word}; {job.why_queued}" if job.why_queued else job.state.word
    output.print_line(f"job {job.id}, {job.title}: {state}, {output.seconds(job.seconds)}")
    if job.failure:
        output.print_text(f"  {XaivaError(job.failure.what, job.failure.why, job.failure.remedy)}")
    for name, value in without_known_total(job.result or {}).items():
        if name == "findings" and isinstance(value, list):
            output.print_findings(map(read_finding, value))
        elif records := record_table(name, value):
            output.print_table([title.upper() for title in records[0]], records[1:])
        elif value not in (None, "", [], {}):
            output.print_text(f"  {result_label(name)}: " + format_value(value).replace("\n", "\n  "))


def _row(job: Job) -> tuple[object, ...]:
    failed = f"{job.failure.what}: {job.failure.why}" if job.failure else ""
    found = (job.result or {}).get("findings_total")
    findings = f"{found} finding{'' if found == 1 else 's'}" if found else ""
    asked = format_time(job.created)
    if job.unreadable:
        failed = f"the service's answer cannot be read: {job.unreadable}"
    words = " ".join((failed or job.why_queued or findings).split())
    return (job.id, job.state.word, job.kind, job.subject, asked, output.seconds(job.seconds), job.by, words)
