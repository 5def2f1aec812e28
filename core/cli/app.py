"""The command `xaiva`: its table of commands, which are imported on use, and its exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from core.cli.name_completion import complete, containers
from core.cli.output import print_error
from core.cli.session import CliSession, OpenConsole
from core.cli.single_use_options import Group
from core.cli.streams import OutputFailed, silence_output
from core.cli.usage_errors import usage_error
from core.errors import Cancelled, XaivaError

# Name → module and help. `xaiva --help` needs only this table, so it is fast.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Show xaiva with generated cameras: no engine, GPU or camera is needed."),
    "steps": ("steps", "The first steps, from an engine to a live camera: how far they are, what is next."),
    "preset": ("presets", "The presets of the site: list, check, suggest, edit."),
    "up": ("up", "Lock, sync, build and launch a preset; skip what is done."),
    "lock": ("artifacts", "List every file a preset needs, with its size and SHA-256."),
    "sync": ("artifacts", "Download, repair and remove files until the artifacts match the lock."),
    "verify": ("artifacts", "Check every byte of the artifacts against the lock."),
    "wheel": ("artifacts", "Build a wheel for a package that is published only as source."),
    "build": ("builds", "Build a preset's image with the network off."),
    "load": ("builds", "Load a preset's packed image into the engine."),
    "builds": ("builds", "Past builds: list, show, compare."),
    "site": ("site", "The report of a site for the office: write it, show it."),
    "support": ("support", "A bundle for support: the facts of the site, and the logs that you choose."),
    "pack": ("carry", "Put presets, images and xaiva itself onto a USB stick, signed."),
    "unpack": ("carry", "Take a shipment from a USB stick into the site; check every byte."),
    "medium": ("carry", "What is on a USB stick, and whether every byte is right."),
    "rehearse": ("carry", "At the office: what a site would do from a stick, without a network."),
    "launch": ("containers", "Start a container from a preset's image."),
    "ps": ("containers", "List the engine's containers; those launched by xaiva are marked."),
    "logs": ("containers", "Show a container's log: follow, filter, search."),
    "stop": ("containers", "Stop a container."),
    "restart": ("containers", "Stop and start a container."),
    "rm": ("containers", "Remove a container."),
    "exec": ("containers", "Run a command or a shell in a container."),
    "inspect": ("containers", "Show everything the engine reports about a container."),
    "stats": ("containers", "Show what the running containers use."),
    "stack": ("stacks", "Several services as one compose project: what would change, and changing it."),
    "engine": ("engine", "What the engine holds: images, volumes, networks, build cache; and its events."),
    "service": ("service", "Show the state of the inference service and its models."),
    "camera": ("cameras", "The inference service's cameras."),
    "event": ("events", "Events that the cameras detected: list, acknowledge, export, watch."),
    "product": ("products", "Products that the service inspects: pictures, verdicts, memory banks, indexes."),
    "rule": ("rules", "Who is notified of which events."),
    "storage": ("storage", "Where the service finds its pictures: list, put, get, delete objects."),
    "user": ("users", "Users who may log in to the inference service."),
    "login": ("login", "Log in to the inference service."),
    "logout": ("login", "Log out of the inference service."),
    "password": ("login", "Change your own password."),
    "ops": ("operations", "Long-running operations: list, show, follow, cancel, retry."),
    "job": ("jobs", "Jobs of the inference service, such as rebuilding an index: start, list, follow, cancel."),
    "key": ("keys", "Keys that sign shipments: create, trust, revoke, change for a new one."),
    "audit": ("audit", "The audit log: what was packed, unpacked, built and launched, by whom."),
    "gpu": ("machine", "Show this machine's GPUs."),
    "process": ("processes", "Processes that use a GPU, and those of containers: list, kill."),
    "host": ("machine", "Show this machine's CPU, memory, disks and network."),
    "clean": ("clean", "Show what takes space and is no longer needed, and remove it."),
    "settings": ("settings", "The settings of the site (site.toml): list, set, reset."),
    "doctor": ("machine", "Check what this machine can and cannot do."),
    "console": ("console", "The console that was installed from a medium: its releases, the way back."),
    "version": ("version", "Show the versions of xaiva, of its formats and of what it works with."),
    "completion": ("completion", "Print the completion script of a shell."),
}


class LazyGroup(Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"core.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Print the table without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from core.artifacts.service_wheel import version

        click.echo(f"xaiva {version()}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 checks found errors, 130 cancelled.",
)
@click.option("--site", "root", metavar="DIR", default=".", help="The site's folder (default: the current folder).")
@click.option(
    "--service",
    metavar="NAME",
    default="",
    shell_complete=complete(containers),
    help="The inference service: its container, its preset or its address (default: found automatically).",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version of xaiva.",
)
@click.option("--read-only", is_flag=True, help="Console: view only, change nothing.")
@click.option("--low-bandwidth", is_flag=True, help="Console: for a slow connection.")
@click.pass_context
def root(ctx: click.Context, root: str, service: str, read_only: bool, low_bandwidth: bool) -> None:
    """Bring GPU inference to sites that have no network. Without a command, opens the console."""
    session = ctx.obj = CliSession(root, service, ctx.obj, read_only=read_only, low_bandwidth=low_bandwidth)
    if ctx.invoked_subcommand is None:
        ctx.exit(session.open_console(root, service=service))


def run(arguments: Sequence[str] | None = None, open_console: OpenConsole | None = None) -> int:
    """Run one command line and return the exit code. The user never sees a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words, open_console)
        sys.stdout.flush()  # here, because errors can still be reported
    except OutputFailed as error:
        silence_output()
        print_error(error.error(), as_json=False)
        return 1
    except BrokenPipeError:
        silence_output()
        return 1
    return code


def _run(words: Sequence[str], open_console: OpenConsole | None) -> int:
    as_json = "--json" in (words[: words.index("--")] if "--" in words else words)
    try:
        return _exit_code(root.main(words, prog_name="xaiva", standalone_mode=False, obj=open_console))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        print_error(usage_error(error), as_json)
        return 2
    except click.ClickException as error:
        print_error(XaivaError("xaiva", error.format_message()), as_json)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print_error(Cancelled(), as_json)
        return Cancelled.exit_code
    except XaivaError as error:
        print_error(error, as_json)
        return error.exit_code
    except (BrokenPipeError, OutputFailed):
        raise
    except Exception as error:
        print_error(_unexpected(error, words), as_json)
        return 1


def _exit_code(result: object) -> int:
    return result if isinstance(result, int) else 0


def _unexpected(error: Exception, words: Sequence[str]) -> XaivaError:
    from core.cli.crash_log import write_crash_log

    path = write_crash_log(error, words)
    return XaivaError(
        "Unexpected error in xaiva",
        f"{type(error).__name__}: {error}",
        f"the traceback is in {path}; please report it" if path else "please report it",
    )
