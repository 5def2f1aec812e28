"""Shared by the commands about the inference service: its client, password prompts, and what they print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.session import CliSession
from core.errors import InputError

if TYPE_CHECKING:
    from core.service_client import ServiceClient

CALL_SECONDS = 10.0  # a call that takes longer is no answer


def client(session: CliSession) -> ServiceClient:
    """The client of the site's service, wherever it is. Raises as `find_service`."""
    from core.containers.service_discovery import connect_service

    return connect_service(session.site, CALL_SECONDS)


def ask_password(what: str = "Password", *, twice: bool = False) -> str:
    """Asked for without echo on a terminal, else the first line of the standard input; never a word of the command.

    Raises InputError for none.
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
    """`NAME: done`, or the same as a document whose keys are `more` or the state."""
    if as_json:
        output.print_json(more or {"name": name, "state": state})
    else:
        output.print_line(f"{name}: {state}")


def format_number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """A figure for people; `-` for none."""
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()


def format_time(moment: Any) -> str:
    """A moment of the service, in this machine's zone; empty for none."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""
