"""`xaiva site`: what a site is, written for the office, and read there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Group

if TYPE_CHECKING:
    from core.site_report.model import SiteReport


@click.group("site", cls=Group)
def site_command() -> None:
    """The report of a site: its machine, engine, images, presets and cameras, without any secret."""


@site_command.command("report")
@click.argument("folder", metavar="[MEDIUM]", required=False, type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def report_command(session: CliSession, folder: Path | None, as_json: bool) -> None:
    """Write the site's report into `reports/` of a medium or folder. Without one, only show what it would say."""
    from core.site_report.collect import collect_report

    report = collect_report(session.site, session.ledger)
    if folder is None:
        _print(report, as_json)
        return
    _write(report, folder, as_json)


@site_command.command("show")
@click.argument("report", metavar="REPORT", type=click.Path(path_type=Path))
@json_option
def show_command(report: Path, as_json: bool) -> None:
    """Show a report that was brought from a site."""
    from core.site_report.files import read_report

    _print(read_report(report), as_json)


def _print(report: SiteReport, as_json: bool) -> None:
    from core.cli.report_text import print_report

    if as_json:
        output.print_json({"report": report})
    else:
        print_report(report)


def _write(report: SiteReport, folder: Path, as_json: bool) -> None:
    from core.site_report.files import write_report

    path = write_report(report, folder, None)
    if as_json:
        output.print_json({"path": path, "signed": False, "report": report})
        return
    click.echo(path)
    click.echo("it is not signed", err=True)
