"""`xaiva user`: the users of the inference service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.name_completion import cameras, complete, users
from core.cli.service_calls import ask_password, client, format_time, print_outcome
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Group
from core.errors import InputError

if TYPE_CHECKING:
    from core.api_schema import User

ROLES = click.Choice(["viewer", "operator", "admin"])
camera_option = click.option(
    "--camera",
    "cameras",
    multiple=True,
    metavar="ID",
    shell_complete=complete(cameras),
    help="A camera the user may see (repeatable; default: all).",
)


@click.group("user", cls=Group)
def user_command() -> None:
    """Users of the inference service: who may log in, what they may see, and what they may do."""


@user_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the users."""
    users = client(session).users()
    if as_json:
        output.print_json({"users": users})
        return
    output.print_table(
        ("NAME", "ROLE", "ACTIVE", "CAMERAS", "LAST LOGIN"),
        (
            (
                user.name or "?",
                user.role.word,
                "yes" if user.active else "no",
                "all" if user.cameras is None else ", ".join(user.cameras) or "none",
                format_time(user.last_login) or "never",
            )
            for user in users
        ),
        "no users yet; add one with: xaiva user add NAME",
    )


@user_command.command("add")
@click.argument("name")
@click.option("--role", type=ROLES, default="viewer", show_default=True, help="What the user may do.")
@camera_option
@json_option
@click.pass_obj
def add(session: CliSession, name: str, role: str, cameras: tuple[str, ...], as_json: bool) -> None:
    """Add a user. It asks for the password, or reads it from the first line of standard input."""
    from core.api_schema import UserRequest
    from core.service_client import text_formats

    password = ask_password(f"Password for {name}", twice=True)
    fields = {"name": name, "password": password, "role": role, "cameras": list(cameras) or None}
    _print_user(client(session).add_user(text_formats.build_request(UserRequest, fields)), "added", as_json)


@user_command.command("edit")
@click.argument("name", shell_complete=complete(users))
@click.option("--role", type=ROLES, help="The new role.")
@click.option("--active/--inactive", default=None, help="Whether the user may log in.")
@camera_option
@click.option("--all-cameras", is_flag=True, help="Let the user see all cameras again.")
@click.option("--password", is_flag=True, help="Ask for a new password. It ends all logins of the user.")
@json_option
@click.pass_obj
def edit(
    session: CliSession, /, name: str, cameras: tuple[str, ...], password: bool, as_json: bool, **options: Any
) -> None:
    """Change the named settings; the others stay."""
    from core.api_schema import UserUpdate
    from core.service_client import text_formats

    fields = {key: value for key, value in options.items() if value not in (None, False) or key == "active"}
    if fields.get("active") is None:
        fields.pop("active", None)
    if cameras:
        fields["cameras"] = list(cameras)
    if password:
        fields["password"] = ask_password(f"New password for {name}", twice=True)
    if not fields:
        raise InputError(f"User {name}", "no change was given", f"see: xaiva user edit {name} --help")
    _print_user(client(session).update_user(name, text_formats.build_request(UserUpdate, fields)), "changed", as_json)


@user_command.command("remove")
@click.argument("name", shell_complete=complete(users))
@yes_option
@json_option
@click.pass_obj
def remove(session: CliSession, name: str, yes: bool, as_json: bool) -> None:
    """Remove a user and end the user's logins."""
    confirm(f"Remove the user {name}?", yes)
    client(session).remove_user(name)
    print_outcome(name, "removed", as_json)


def _print_user(user: User, what: str, as_json: bool) -> None:
    print_outcome(user.name, f"{what}, {user.role.word}{'' if user.active else ', inactive'}", as_json, user=user)
