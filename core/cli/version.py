"""`xaiva version`: the numbers that a report of a problem needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Command

if TYPE_CHECKING:
    from core.versions import EngineVersion


@click.command("version", cls=Command)
@json_option
@click.pass_obj
def version_command(session: CliSession, as_json: bool) -> None:
    """Show the versions of xaiva, of its formats, and of what it works with here."""
    from core.versions import read_versions

    versions = read_versions(session.site)
    if as_json:
        output.print_json({"versions": versions})
        return
    rows = (
        ("xaiva", versions.xaiva),
        ("API of the service", f"{versions.api}; reads {', '.join(map(str, versions.readable_apis))}"),
        ("lock", versions.lock),
        ("memory bank", versions.memory_bank),
        ("ledger", versions.ledger),
        ("engine", _engine_text(versions.engine)),
        ("Python", versions.python),
        ("Textual", versions.textual or "not installed"),
    )
    for name, value in rows:
        output.print_line(f"{name:<20}{value}")


def _engine_text(engine: EngineVersion) -> str:
    if engine.problem:
        return f"unknown: {engine.problem}"
    return f"{engine.version or 'without a version'}, API {engine.api or 'unknown'}"
