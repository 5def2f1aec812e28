"""`xaiva site`: what a site is, written for the office, and read there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Group

if TYPE_CHECKING:
    from core.carry.report_signature import ReportSignature
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
    from core.cli.report_text import print_report
    from core.site_report.collect import collect_report

    report = collect_report(session.site, session.ledger)
    if folder is not None:
        _write(session, report, folder, as_json)
    elif as_json:
        output.print_json({"report": report})
    else:
        print_report(report)


@site_command.command("show")
@click.argument("report", metavar="REPORT", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def show_command(session: CliSession, report: Path, as_json: bool) -> None:
    """Show a report that was brought from a site, and whose key signed it.

    The exit code is 3 when its signature does not fit, or is of a revoked key.
    """
    from core.carry.report_signature import SignatureState, check_signature
    from core.cli.report_text import print_report
    from core.site_report.files import read_report

    content, signature = read_report(report), check_signature(session.site, report)
    if as_json:
        output.print_json({"report": content, "signature": signature})
    else:
        print_report(content)
        _print_signature(signature)
    if signature.state in (SignatureState.WRONG, SignatureState.REVOKED):
        raise click.exceptions.Exit(3)


def _print_signature(signature: ReportSignature) -> None:
    from core.carry.report_signature import SignatureState

    key = f"{signature.fingerprint} {signature.comment}".strip()
    sentences = {
        SignatureState.NONE: "it is not signed",
        SignatureState.WRONG: "it does not fit: the report was changed after it was signed",
        SignatureState.UNKNOWN: f"by {key}, which is not trusted here: compare it with the key of the site",
        SignatureState.REVOKED: f"by {key}, which was revoked here",
        SignatureState.TRUSTED: f"by {key}, which is trusted here",
    }
    click.echo("\nsignature")
    output.print_line(sentences[signature.state])


def _write(session: CliSession, report: SiteReport, folder: Path, as_json: bool) -> None:
    from core.carry.report_signature import report_signer
    from core.site_report.files import write_report

    sign = report_signer(session.site)
    path = write_report(report, folder, sign)
    if as_json:
        output.print_json({"path": path, "signed": sign is not None, "report": report})
        return
    click.echo(path)
    if sign is None:
        click.echo("it is not signed: this site has no key; create one with: xaiva key create", err=True)
