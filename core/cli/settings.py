"""`xaiva settings`: the keys of `site.toml`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.name_completion import complete
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Group
from core.errors import ChecksFailed

if TYPE_CHECKING:
    from core.site_settings import Setting, SettingsFile


def keys(_session: CliSession, _context: click.Context) -> Iterable[str]:
    """The keys of `site.toml`."""
    from core.site_settings import setting_fields

    return [key for key, _ in setting_fields()]


@click.group("settings", cls=Group)
def settings_command() -> None:
    """The settings of the site, in its file `site.toml`."""


@settings_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List every setting: its value, where that comes from, its default, and what it means.

    The variables of .env are listed without their values. The exit code is 3 when the file has a problem.
    """
    listing = _read(session)
    if as_json:
        from core.redaction import redact_document

        names = ("settings", "variables", "problems")
        output.print_json({name: redact_document(output.plain(getattr(listing, name))) for name in names})
    else:
        output.print_table(("KEY", "VALUE", "FROM", "DEFAULT", "MEANING"), map(_row, listing.settings))
        click.echo()
        output.print_table(
            ("VARIABLE", "SET IN"), ((variable.name, variable.set_in or "not set") for variable in listing.variables)
        )
    problems = [error.summary for error in listing.problems]
    problems += [f"{_place(listing, one)}: {one.key}: {one.problem}" for one in listing.settings if one.problem]
    if problems:
        if not as_json:
            for words in problems:
                output.print_line(words, err=True)
        raise click.exceptions.Exit(ChecksFailed.exit_code)


@settings_command.command("set")
@click.argument("key", shell_complete=complete(keys))
@click.argument("value")
@json_option
@click.pass_obj
def set_command(session: CliSession, key: str, value: str, as_json: bool) -> None:
    """Write one setting into site.toml. Comments and all other lines stay.

    A table is written as JSON, such as '{"https://pypi.example/": "http://mirror.lan/"}'. Consoles take it over within
    seconds.
    """
    from core.site_settings import set_setting

    set_setting(_folder(session), key, value)
    _print_setting(session, key, as_json)


@settings_command.command("reset")
@click.argument("key", shell_complete=complete(keys))
@json_option
@click.pass_obj
def reset_command(session: CliSession, key: str, as_json: bool) -> None:
    """Remove one setting from site.toml, so that its default holds. Also removes a key that xaiva does not know."""
    from core.site_settings import reset_setting

    reset_setting(_folder(session), key)
    _print_setting(session, key, as_json)


def _folder(session: CliSession) -> Path:
    """The site's folder. The site itself cannot be opened while its file is broken. Raises InputError."""
    from core.site import site_folder

    return site_folder(session.root)


def _read(session: CliSession) -> SettingsFile:
    from core.site_settings import read_settings

    return read_settings(_folder(session), os.environ)


def _print_setting(session: CliSession, key: str, as_json: bool) -> None:
    setting = next((one for one in _read(session).settings if one.key == key), None)
    if as_json:
        from core.redaction import redact_document

        output.print_json({"setting": redact_document(output.plain(setting))})
    elif setting is None:
        output.print_line(f"{key}: removed")
    else:
        output.print_line(f"{key} = {setting.text} ({_source(setting)})")


def _row(setting: Setting) -> tuple[str, ...]:
    from core.site_settings import value_text

    default = value_text(setting.default) if setting.known else ""
    return setting.key, setting.text, _source(setting), default, setting.explanation or setting.problem


def _source(setting: Setting) -> str:
    return setting.variable or setting.source.value


def _place(listing: SettingsFile, setting: Setting) -> str:
    return f"{listing.path}, line {setting.line}" if setting.line else f"{listing.path}"
