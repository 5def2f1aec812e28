"""`xaiva login`, `logout` and `password`: the site's login, which the command line and new consoles use."""

from __future__ import annotations

import click

from core.cli import output
from core.cli.service_calls import ask_password, client
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Command
from core.errors import InputError

RUNNING_CONSOLES = "an open console keeps its own login; press F4 there to use this one"


@click.command("login", cls=Command)
@click.argument("name")
@json_option
@click.pass_obj
def login_command(session: CliSession, name: str, as_json: bool) -> None:
    """Log in to the inference service for this site: for the command line and for consoles started later.

    An open console keeps its own login and offers the new one.
    """
    tokens = client(session).login(name, ask_password(f"Password of {name}"))
    if as_json:
        output.print_json({"user": tokens.user, "role": tokens.role})
    else:
        click.echo(f"logged in as {tokens.user} ({tokens.role.word}) for this site; {RUNNING_CONSOLES}")


@click.command("logout", cls=Command)
@json_option
@click.pass_obj
def logout_command(session: CliSession, as_json: bool) -> None:
    """Log out of this site, here and at the service. A console that shares the login asks for a new one."""
    service = client(session)
    name = service.logged_in()
    service.logout()
    if as_json:
        output.print_json({"user": name, "state": "logged out" if name else "not logged in"})
    else:
        click.echo(f"{name} is logged out of this site" if name else "nobody is logged in")


@click.command("password", cls=Command)
@json_option
@click.pass_obj
def password_command(session: CliSession, as_json: bool) -> None:
    """Change your password. It asks for the current and the new one, or reads them as two lines of standard input."""
    service = client(session)
    name = service.logged_in()
    if not name:
        raise InputError("Password", "nobody is logged in at this site", "log in first: xaiva login NAME")
    current = ask_password(f"Current password of {name}")
    service.change_password(current, ask_password("New password", twice=True))
    if as_json:
        output.print_json({"user": name, "state": "changed"})
    else:
        click.echo(f"{name}: password changed; your other logins have ended")
