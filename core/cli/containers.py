"""`xaiva launch`, `ps`, `logs`, `stop`, `restart`, `rm`, `exec`, `inspect`, `stats`: containers of the engine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.name_completion import complete, containers
from core.cli.session import CliSession, confirm, json_option, preset_argument, yes_option
from core.cli.single_use_options import Command
from core.errors import InputError

if TYPE_CHECKING:
    from core.containers.model import Container
    from core.findings import Finding

WAIT_SECONDS = 120.0  # loading a model from a slow disk takes time


@click.command("launch", cls=Command)
@preset_argument
@click.option("--name", default="", help="The container's name (default: xaiva-PRESET).")
@click.option("--replace", is_flag=True, help="Replace a container of that name, even if it is running.")
@click.option("--create-folders", is_flag=True, help="Create missing volume folders.")
@click.option(
    "--dev/--no-dev", default=None, help="Mount the source and reload on changes (default: as the preset says)."
)
@click.option("--wait", is_flag=True, help="Wait until it runs and its health check passes.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    help="How many seconds --wait waits.",
)
@json_option
@click.pass_obj
def launch_command(
    session: CliSession,
    preset: str,
    name: str,
    replace: bool,
    create_folders: bool,
    dev: bool | None,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Start a container from a preset's image with its run settings.

    With --wait, the exit code is 1 and the problems are listed when the container is not healthy in time. The
    container is left as it is.
    """
    from core.containers.launch import launch
    from core.presets.store import load_named

    loaded = load_named(session.site, preset)
    container = launch(session.site, preset, loaded, name=name, replace=replace, create_folders=create_folders, dev=dev)
    if wait:
        container = _wait_healthy(session, container, timeout, as_json)
    if as_json:
        output.print_json({"container": container})
    else:
        output.print_line(f"{container.name}: {container.status}")


def _wait_healthy(session: CliSession, container: Container, timeout: float, as_json: bool) -> Container:
    """Wait until the container is healthy. If it is not in time, print its problems and exit with 1."""
    from core.containers.listing import get_container
    from core.containers.manage import diagnose, wait_healthy
    from core.engine import EngineError

    try:
        return wait_healthy(session.engine, container.id, timeout=timeout)
    except EngineError:
        findings = diagnose(session.engine, container.id)
        if not findings:
            raise  # it is only slow, and the error says so
        if as_json:
            output.print_json({"container": get_container(session.engine, container.id), "findings": findings})
        else:
            output.print_findings(findings)
        raise click.exceptions.Exit(1) from None


@click.command("ps", cls=Command)
@json_option
@click.pass_obj
def ps_command(session: CliSession, as_json: bool) -> None:
    """List the engine's containers. Those launched by xaiva are marked, and their problems are listed."""
    from core.containers.listing import list_containers

    containers = list_containers(session.engine)
    findings = _diagnose_all(session, (c for c in containers if c.managed))
    if as_json:
        rows = [{**output.plain(c), "ours": c.managed} for c in containers]
        output.print_json({"containers": rows, "findings": findings})
        return
    output.print_table(
        ("", "NAME", "STATE", "HEALTH", "PORTS", "IMAGE", "STATUS"),
        (
            (
                "*" if c.managed else "",
                c.name,
                c.condition,
                c.health.word,
                _ports(c),
                c.image.removeprefix("sha256:")[:12] if c.image.startswith("sha256:") else c.image,
                c.status,
            )
            for c in containers
        ),
        "no containers on this engine; start one with: xaiva launch PRESET",
    )
    if findings:
        click.echo()
        output.print_findings(findings)


def _ports(container: Container) -> str:
    """The published ports, with consecutive ones as a range."""
    from core.containers.model import format_ports

    return format_ports(container.ports, addresses=False) or "-"


def _diagnose_all(session: CliSession, containers: Iterable[Container]) -> list[Finding]:
    """The problems of these containers. A container that is removed meanwhile is skipped."""
    from core.containers.manage import diagnose
    from core.engine import EngineError, engine_refused

    findings: list[Finding] = []
    for container in containers:
        try:
            findings += diagnose(session.engine, container.id)
        except EngineError as error:
            if not engine_refused(error):
                raise
    return findings


@click.command("logs", cls=Command)
@click.argument("container", shell_complete=complete(containers))
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines.")
@click.option("--since", default="", help="Lines since then: 10m, 2h, or a time like 2026-01-31T12:00.")
@click.option("--grep", "pattern", default="", help="Only lines that match this regular expression.")
@click.option("--tail", type=click.IntRange(min=0), help="Only this many of the last lines.")
@json_option
@click.pass_obj
def logs_command(
    session: CliSession, container: str, follow: bool, since: str, pattern: str, tail: int | None, as_json: bool
) -> None:
    """Print a container's log. With --json, each line is one document."""
    from core.containers.container_logs import follow_logs, parse_time, read_logs

    name = resolve_container(session, container)
    moment = parse_time(since) if since else None
    read = follow_logs if follow else read_logs
    for line in read(session.engine, name, tail=tail, since=moment, search=pattern):
        if as_json:
            output.print_json(line, one_line=True)
        else:
            click.echo(line.text, err=line.stream == "stderr")


@click.command("stop", cls=Command)
@click.argument("container", shell_complete=complete(containers))
@json_option
@click.pass_obj
def stop_command(session: CliSession, container: str, as_json: bool) -> None:
    """Stop a container."""
    from core.containers.manage import stop_container

    name = resolve_container(session, container)
    stop_container(session.engine, name)
    _print_container(session, name, as_json)


@click.command("restart", cls=Command)
@click.argument("container", shell_complete=complete(containers))
@json_option
@click.pass_obj
def restart_command(session: CliSession, container: str, as_json: bool) -> None:
    """Stop and start a container."""
    from core.containers.manage import restart_container

    name = resolve_container(session, container)
    restart_container(session.engine, name)
    _print_container(session, name, as_json)


@click.command("rm", cls=Command)
@click.argument("container", shell_complete=complete(containers))
@click.option("--force", is_flag=True, help="Even if it is running.")
@yes_option
@json_option
@click.pass_obj
def rm_command(session: CliSession, container: str, force: bool, yes: bool, as_json: bool) -> None:
    """Remove a container. Its volumes and image stay."""
    from core.containers.manage import remove_container

    name = resolve_container(session, container)
    confirm(f"Remove the container {name}?", yes)
    remove_container(session.engine, name, force=force)
    if as_json:
        output.print_json({"removed": name})
    else:
        output.print_line(f"{name}: removed")


@click.command("exec", cls=Command, context_settings={"ignore_unknown_options": True})
@click.argument("container", shell_complete=complete(containers))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def exec_command(session: CliSession, container: str, command: tuple[str, ...]) -> None:
    """Run a command or a shell in a container. Exits with its exit code."""
    import sys

    from core.containers.shell import SHELL, exec_argv
    from core.engine import docker_environment

    name = resolve_container(session, container)
    argv = exec_argv(name, command or SHELL, terminal=sys.stdin.isatty() and sys.stdout.isatty())
    done = subprocess.run(argv, env=docker_environment(session.site), check=False)
    raise click.exceptions.Exit(done.returncode)


@click.command("inspect", cls=Command)
@click.argument("container", shell_complete=complete(containers))
@json_option
@click.pass_obj
def inspect_command(session: CliSession, container: str, as_json: bool) -> None:
    """Print the engine's full description of a container as JSON, with secrets hidden."""
    from core.containers.listing import redacted_description

    data = redacted_description(session.engine, resolve_container(session, container))
    output.print_json({"container": data} if as_json else data)


@click.command("stats", cls=Command)
@json_option
@click.pass_obj
def stats_command(session: CliSession, as_json: bool) -> None:
    """Show what the running containers use now."""
    import time

    from core.containers.listing import list_containers
    from core.containers.stats import StatsSampler

    running = [container for container in list_containers(session.engine) if container.running]
    sampler = StatsSampler(session.engine)
    sampler.sample(c.id for c in running)
    time.sleep(1 if running else 0)  # rates are differences of two samples
    samples = sampler.sample(c.id for c in running)
    if as_json:
        output.print_json({"stats": {c.name: samples[c.id] for c in running if c.id in samples}})
        return
    output.print_table(
        ("NAME", "CPU", "MEMORY", "LIMIT", "NET IN", "NET OUT", "PIDS"),
        (
            (
                c.name,
                "-" if s.cpu_percent is None else f"{s.cpu_percent:.1f} %",
                output.size(s.memory),
                output.size(s.memory_limit) if s.memory_limit else "-",
                output.size(s.network_received),
                output.size(s.network_sent),
                s.pids,
            )
            for c in running
            if (s := samples.get(c.id))
        ),
        "no container is running" if not running else "the containers stopped before they could be measured",
    )


def resolve_container(session: CliSession, text: str) -> str:
    """Find a container by its name, the start of its id, or its preset. Returns its name. Raises InputError."""
    from core.containers.listing import list_containers

    containers = list_containers(session.engine)
    by_name = [c.name for c in containers if c.name == text]
    names = by_name or [c.name for c in containers if c.preset == text or (len(text) >= 4 and c.id.startswith(text))]
    if len(names) == 1:
        return names[0]
    if names:
        raise InputError(f"Container {text}", f"several containers match: {', '.join(names)}", "name one of them")
    raise InputError(f"Container {text}", "there is no such container", "see: xaiva ps")


def _print_container(session: CliSession, name: str, as_json: bool) -> None:
    from core.containers.listing import get_container

    container = get_container(session.engine, name)
    if as_json:
        output.print_json({"container": container})
    else:
        output.print_line(f"{container.name}: {container.status}")
