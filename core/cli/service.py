"""`xaiva service`: the inference service as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.service_calls import client, format_number
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Command

if TYPE_CHECKING:
    from core.api_schema import LedgerStatus, ServiceStatus


@click.command("service", cls=Command)
@json_option
@click.pass_obj
def service_command(session: CliSession, as_json: bool) -> None:
    """Show the state of the inference service, its parts, and its models with the memory they use."""
    status = client(session).status()
    if as_json:
        output.print_json({"service": status})
        return
    cameras = status.cameras
    live = sum(camera.state.value == "live" for camera in cameras)
    output.print_line(
        f"version {status.version}, up for {output.seconds(status.uptime)}, {output.size(status.rss)} resident"
    )
    click.echo(f"{live} of {len(cameras)} cameras live, {status.unacknowledged} events not acknowledged\n")
    if status.unreadable:
        output.print_line(f"the service's answer cannot be read: {status.unreadable}", err=True)
    output.print_table(("PART", "STATE", "WHAT", "WHY"), _parts(status))
    if status.ledger is not None:
        click.echo()
        _print_models(status.ledger)


def _parts(status: ServiceStatus) -> Iterator[tuple[str, str, str, str]]:
    logger, analyser, outbox, storage = status.logger, status.analyser, status.outbox, status.storage
    written = f"{logger.written} written, {logger.waiting} waiting for the database"
    yield "events", logger.state or "unknown", written, logger.why
    yield (
        "analyser",
        analyser.state or "unknown",
        f"{analyser.answered} answered, {analyser.queue} waiting",
        analyser.why,
    )
    yield "messages", "waiting" if outbox.why else "ok", f"{outbox.sent} sent, {outbox.waiting} waiting", outbox.why
    used = f"{storage.clips} clips, {output.size(storage.used)}, {output.size(storage.free)} free"
    yield "recordings", storage.state or "unknown", used, storage.why
    folder = status.inspect_folder
    if folder.state not in ("", "off"):
        what = f"{folder.inspected} inspected, {folder.failed} failed, {folder.waiting} waiting"
        yield "drop folder", folder.state, what, folder.why
    if status.inspections_refused:
        why = "the log says why; the files are inspection/waiting/*.refused in the data folder"
        yield "inspections", "failing", f"{status.inspections_refused} refused by the database", why


def _print_models(ledger: LedgerStatus) -> None:
    output.print_line(
        f"{ledger.device}: {output.size(ledger.ours)} used by models, {output.size(ledger.free)} free for more"
    )
    output.print_table(
        ("MODEL", "STATE", "PROVIDER", "MEMORY", "CAMERAS", "PER SECOND", "WHY"),
        (
            (
                model.key,
                model.state or "unknown",
                model.provider or "-",
                output.size(model.cost or model.declared),
                model.leases,
                format_number(model.rate, digits=1),
                model.why,
            )
            for model in ledger.models
        ),
        "no models are loaded",
    )
