"""`xaiva login`, `logout` and `password`: the site's login, which the command line and new consoles use."""

from __future__ import annotations

import click

from core.cli import output
from core.cli.service_calls import ask_password, client
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Command
from core.errors import InputError

RUNNING_CONSOLES = "a console that runs already stays who it is, and F4 offers this login there"


@click.command("login", cls=Command)
@click.argument("name")
@json_option
@click.pass_obj
def login_command(session: CliSession, name: str, as_json: bool) -> None:
    """Log in to the inference service, for this site: for the command line and for consoles that start later.

    A console that runs already stays who it is, and offers the new login.
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
    """End the site's login, here and at the service. A console that shares it asks for a login."""
    service = client(session)
    name = service.logged_in()
    service.logout()
    if as_json:
        output.print_json({"user": name, "state": "logged out" if name else "not logged in"})
    else:
        click.echo(f"{name} is logged out of this site" if name else "nobody was logged in")


@click.command("password", cls=Command)
@json_option
@click.pass_obj
def password_command(session: CliSession, as_json: bool) -> None:
    """Change your own password. The current and the new one are asked for, or are two lines of the standard input."""
    service = client(session)
    name = service.logged_in()
    if not name:
        raise InputError("Password", "nobody is logged in here", "log in first: xaiva login NAME")
    current = ask_password(f"Current password of {name}")
    service.change_password(current, ask_password("New password", twice=True))
    if as_json:
        output.print_json({"user": name, "state": "changed"})
    else:
        click.echo(f"{name}: the password is changed, and every other login of yours has ended")
