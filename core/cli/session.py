"""Helpers of all commands: the site, opened on first use, and common options."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from click.shell_completion import CompletionItem

from core.errors import InputError
from core.natural_order import natural_key
from core.terminal_text import escape_invisible, strip_controls

if TYPE_CHECKING:
    import docker
    from core.operations.ledger import Ledger
    from core.site import Site

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

PRIORITY = click.Choice(["low", "normal", "high", "critical"])


class OpenConsole(Protocol):
    """Opens the console on a site and returns its exit code."""

    def __call__(self, site_root: str, /, *, service: str, read_only: bool, low_bandwidth: bool) -> int: ...


class CliSession:
    """One run of the command line, with its site, ledger, engine and console."""

    def __init__(
        self,
        root: str,
        service: str = "",
        console: OpenConsole | None = None,
        *,
        read_only: bool = False,
        low_bandwidth: bool = False,
    ) -> None:
        self.root = root
        self.service = service
        self._console = console
        self._read_only = read_only
        self._low_bandwidth = low_bandwidth

    @cached_property
    def site(self) -> Site:
        """Open the site. Raises InputError."""
        from core.site import Site

        site = Site.open(self.root)
        site.service = (self.service, "--service") if self.service else None
        return site

    @property
    def open_console(self) -> Callable[..., int]:
        """The console with this command line's options. Raises InputError if the command line was given none."""
        if self._console is None:
            why = "`python -m core.cli` has only the commands"
            raise InputError("The console", why, "open it with `xaiva`, or see the commands: xaiva --help")
        return partial(self._console, read_only=self._read_only, low_bandwidth=self._low_bandwidth)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of the site's operations."""
        from core.site_operations import site_ledger

        return site_ledger(self.site)

    @cached_property
    def engine(self) -> docker.DockerClient:
        """Connect to the site's engine. Raises EngineError."""
        from core.engine import connect_engine

        return connect_engine(self.site)


class PresetName(click.ParamType):  # type: ignore[type-arg]  # generic in newer click alone
    """A preset's name, completed from the site's folder."""

    name = "preset"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The site's presets that start with the typed text."""
        from pathlib import Path

        folder = Path(ctx.find_root().params.get("root") or ".") / "presets"
        stems = (path.stem for path in folder.glob("*.json") if path.name != "preset.schema.json")
        names = sorted(stems, key=natural_key)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def option_group(*options: Callable[[Any], Any]) -> Callable[[CommandT], CommandT]:
    """A decorator that adds all these options to a command."""

    def add(command: CommandT) -> CommandT:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def json_option(command: CommandT) -> CommandT:
    """Add `--json`, which prints results and errors as a JSON document."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def preset_argument(command: CommandT) -> CommandT:
    """Add the argument with the preset's name."""
    return click.argument("preset", type=PresetName())(command)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is destroyed; the default is No. Without a terminal, only `--yes` continues."""
    asked = escape_invisible(strip_controls(question))
    if not yes and not click.confirm(asked, default=False, err=True):  # standard output is for documents
        raise click.Abort()


def yes_option(command: CommandT) -> CommandT:
    """Add `--yes`, which answers all questions."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")(command)
