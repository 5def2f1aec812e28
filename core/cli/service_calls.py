"""Helpers of the commands that call the inference service: its client, password prompts and output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.session import CliSession
from core.errors import InputError

if TYPE_CHECKING:
    from core.service_client import ServiceClient

CALL_SECONDS = 10.0  # the timeout of a call


def client(session: CliSession) -> ServiceClient:
    """A client of the site's service. Raises as `find_service`."""
    from core.containers.service_discovery import connect_service

    return connect_service(session.site, CALL_SECONDS)


def ask_password(what: str = "Password", *, twice: bool = False) -> str:
    """Ask for a password without echo; without a terminal, read it from the first line of standard input.

    Raises InputError if none is given.
    """
    if sys.stdin.isatty():
        password = click.prompt(
            what, hide_input=True, confirmation_prompt=twice, err=True, default="", show_default=False
        )
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise InputError(what, "no password was given", "type it, or pass it as the first line of standard input")
    return str(password)


def print_outcome(name: str, state: str, as_json: bool, **more: Any) -> None:
    """Print `NAME: state`, or as JSON the document `more`, if any, or the name and state."""
    if as_json:
        output.print_json(more or {"name": name, "state": state})
    else:
        output.print_line(f"{name}: {state}")


def format_number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Format a number; `-` for None."""
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()


def format_time(moment: Any) -> str:
    """Format a time of the service in this machine's time zone; empty for None."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def refuse_existing(target: Path, force: bool) -> None:
    """Raise InputError if the file exists, unless `force` is set."""
    if target.exists() and not force:
        raise InputError(f"{target}", "the file already exists", "name another file, or add --force")
