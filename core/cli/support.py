"""`xaiva support`: what support needs from a site."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Group
from core.errors import InputError

if TYPE_CHECKING:
    from core.site_report.bundle import BundleManifest
    from core.site_report.logs import AvailableLogs, SupportLog


@click.group("support", cls=Group)
def support_command() -> None:
    """What support needs from a site, without any secret."""


@support_command.command("bundle")
@click.argument("file", metavar="FILE.tar.gz", type=click.Path(path_type=Path))
@click.option("--log", "names", metavar="NAME", multiple=True, help="Add this log; may be repeated.")
@json_option
@click.pass_obj
def bundle_command(session: CliSession, file: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Write the facts of the site report and the logs that you choose, with secrets hidden, into one archive.

    Without --log, a terminal shows the logs to choose from; elsewhere their names are printed, and none is added.
    """
    from core.site_report.bundle import check_bundle_path, choose_logs, write_bundle
    from core.site_report.collect import collect_report
    from core.site_report.logs import available_logs

    check_bundle_path(file)
    available = available_logs(session.site, session.ledger)
    is_asked = not names and not as_json and sys.stdin.isatty()
    logs = _ask(available) if is_asked else choose_logs(available, names)
    manifest = write_bundle(session.site, file, collect_report(session.site, session.ledger), logs, available)
    if as_json:
        others = [log.name for log in available.logs if log not in logs]
        output.print_json({"path": file, "manifest": manifest, "not_added": others})
        return
    if not names and not is_asked:
        _print_logs(available)
    _print_manifest(file, manifest)


def _ask(available: AvailableLogs) -> list[SupportLog]:
    """Let the engineer choose by number. Raises InputError for what is no number of a log."""
    _print_logs(available)
    if not available.logs:
        return []
    text = click.prompt("Logs to add, by number, such as 1 3 4", default="", show_default=False, err=True)
    return [available.logs[number - 1] for number in _numbers(str(text), len(available.logs))]


def _numbers(text: str, count: int) -> Sequence[int]:
    words = [word for word in re.split("[ ,;]+", text.strip()) if word]
    for word in words:
        if not word.isdecimal() or not 1 <= int(word) <= count:
            raise InputError(f"Log {word}", f"it is no number from 1 to {count}", "type the numbers before the logs")
    return sorted({int(word) for word in words})


def _print_logs(available: AvailableLogs) -> None:
    rows = ((number, log.name, log.about) for number, log in enumerate(available.logs, 1))
    output.print_table(("", "LOG", "WHAT"), rows, "no logs to add")
    for source, why in available.unreadable.items():
        output.print_line(f"the logs of {source} are unknown: {why}", err=True)


def _print_manifest(path: Path, manifest: BundleManifest) -> None:
    output.print_line(str(path))
    for file in manifest.files:
        cut = f", without {file.left_out}" if file.left_out else ""
        output.print_line(f"  {file.name}  {output.size(file.bytes)}{cut}")
    for source in manifest.not_read:
        output.print_line(f"  not in it: {source.name}: {source.why}")
