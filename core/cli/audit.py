"""`xaiva audit`: the audit log of the site."""

from __future__ import annotations

from collections.abc import Mapping

import click

from core.cli import output
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Command


@click.command("audit", cls=Command)
@click.option("--last", default=20, show_default=True, type=click.IntRange(min=1), help="How many entries.")
@json_option
@click.pass_obj
def audit_command(session: CliSession, last: int, as_json: bool) -> None:
    """Show what was packed, unpacked, built and launched, when and by whom; the newest entry is the last."""
    from core.audit import read_audit

    entries = read_audit(session.site, last)
    if as_json:
        output.print_json({"entries": entries})
        return
    output.print_table(
        ("TIME", "BY", "HOST", "ACTION", "SUBJECT", "DETAILS"),
        (
            ("?", "", "", "unreadable", entry.unreadable, "")
            if entry.unreadable
            else (entry.time, entry.user, entry.host, entry.action, entry.subject, _details(entry.details))
            for entry in entries
        ),
        "nothing was recorded yet",
    )


def _details(details: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in details.items() if value not in (None, "", [], {}))
