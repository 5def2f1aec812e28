"""`xaiva stack`: several services as one compose project."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.follow import operation_options, run_operation
from core.cli.session import CliSession, CommandT, confirm, json_option, yes_option
from core.cli.single_use_options import Command, Group

if TYPE_CHECKING:
    from core.containers.model import ContainerPort
    from core.stacks.model import Service
    from core.stacks.plan import StackPlan

_services = click.argument("services", nargs=-1, metavar="[SERVICE]...")


def _stack(command: CommandT) -> CommandT:
    return click.argument("stack")(command)


@click.group("stack", cls=Group)
def stack_command() -> None:
    """Several services as one compose project: what would change, and changing it.

    A stack is a folder stacks/NAME/ with a compose.yaml. `docker compose` can do by hand what these commands do.
    """


@stack_command.command("list", cls=Command)
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the stacks of the site."""
    from core.stacks.store import list_stacks

    entries = list_stacks(session.site)
    if as_json:
        rows = [
            {"name": entry.name, "services": [*entry.stack.services] if entry.stack else None, "error": entry.error}
            for entry in entries
        ]
        output.print_json({"stacks": rows})
        return
    output.print_table(
        ("NAME", "SERVICES"),
        ((entry.name, ", ".join(entry.stack.services) if entry.stack else str(entry.error)) for entry in entries),
        f"no stacks in {session.site.stacks}; write a compose.yaml into a folder there",
    )


@stack_command.command("show", cls=Command)
@_stack
@json_option
@click.pass_obj
def show_command(session: CliSession, stack: str, as_json: bool) -> None:
    """Show the services of a stack: where their images come from, and what each waits for."""
    from core.stacks.store import load_stack

    loaded = load_stack(session.site, stack)
    if as_json:
        rows = [_service_row(service) for service in loaded.services.values()]
        output.print_json({"stack": stack, "project": loaded.project, "services": rows})
        return
    output.print_table(
        ("SERVICE", "IMAGE", "FROM", "WAITS FOR", "PORTS"),
        (
            (
                service.name,
                service.image,
                loaded.origin_text(service),
                ", ".join(service.depends_on) or "-",
                _port_text(service.ports),
            )
            for service in loaded.services.values()
        ),
        "the file has no services",
    )


def _service_row(service: Service) -> dict[str, Any]:
    """Without the resolved section, which may have secrets."""
    return {
        "name": service.name,
        "image": service.image,
        "origin": service.origin,
        "preset": service.preset,
        "depends_on": {name: one.condition for name, one in service.depends_on.items()},
        "ports": [str(port) for port in service.ports],
        "profiles": service.profiles,
    }


def _port_text(ports: Iterable[ContainerPort]) -> str:
    from core.containers.model import format_ports

    return format_ports(ports, addresses=False) or "-"


@stack_command.command("ps", cls=Command)
@_stack
@json_option
@click.pass_obj
def ps_command(session: CliSession, stack: str, as_json: bool) -> None:
    """List the containers of a stack, and the services that have none."""
    from core.containers.listing import list_containers
    from core.stacks.observe import stack_containers
    from core.stacks.store import load_stack

    loaded = load_stack(session.site, stack)
    found = stack_containers(loaded, list_containers(session.engine))
    names = dict.fromkeys([*loaded.services, *found])
    rows = [(name, one) for name in names for one in found.get(name, ())]
    missing = [name for name in loaded.services if name not in found]
    if as_json:
        output.print_json(
            {"containers": [{"service": name, **output.plain(one)} for name, one in rows], "missing": missing}
        )
        return
    output.print_table(
        ("SERVICE", "STATE", "HEALTH", "PORTS", "CONTAINER", "STATUS"),
        [
            *(
                (name, one.condition, one.health.word, _port_text(one.ports), one.name, one.status)
                for name, one in rows
            ),
            *((name, "no container", "-", "-", "-", "-") for name in missing),
        ],
        "the file has no services",
    )


@stack_command.command("logs", cls=Command)
@_stack
@_services
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines.")
@click.option("--since", default="", help="Lines since then: 10m, 2h, or a time like 2026-01-31T12:00.")
@click.option("--grep", "pattern", default="", help="Only lines that match this regular expression.")
@click.option("--tail", type=click.IntRange(min=0), help="Only this many of the last lines of each service.")
@json_option
@click.pass_obj
def logs_command(
    session: CliSession,
    stack: str,
    services: tuple[str, ...],
    follow: bool,
    since: str,
    pattern: str,
    tail: int | None,
    as_json: bool,
) -> None:
    """Print the logs of all services or of these, in the order of time. With --json, each line is one document."""
    from core.containers.container_logs import parse_time
    from core.containers.listing import list_containers
    from core.engine import connect_engine
    from core.stacks.logs import follow_stack_logs, read_stack_logs
    from core.stacks.observe import stack_containers
    from core.stacks.run import checked_services
    from core.stacks.store import load_stack

    loaded = load_stack(session.site, stack)
    chosen = checked_services(loaded, services) or [*loaded.services]
    found = stack_containers(loaded, list_containers(session.engine))
    containers = [(name, one.id) for name in chosen for one in found.get(name, ())]
    options: dict[str, Any] = {"tail": tail, "since": parse_time(since) if since else None, "search": pattern}
    if follow:
        lines = follow_stack_logs(lambda: connect_engine(session.site), containers, **options)
    else:
        lines = read_stack_logs(session.engine, containers, **options)
    width = max(map(len, chosen), default=0)
    for name, line in lines:
        if as_json:
            output.print_json({"service": name, **output.plain(line)}, one_line=True)
        else:
            click.echo(f"{name:<{width}} | {line.text}")


@stack_command.command("plan", cls=Command)
@_stack
@_services
@json_option
@click.pass_obj
def plan_command(session: CliSession, stack: str, services: tuple[str, ...], as_json: bool) -> None:
    """Show what `up` would do, and why. Exit code 3 when it could not work."""
    plan = _plan(session, stack, services)
    if as_json:
        output.print_json(plan)
    else:
        _print_plan(plan)
    if plan.errors():
        raise click.exceptions.Exit(3)


def _plan(session: CliSession, name: str, services: tuple[str, ...]) -> StackPlan:
    from core.stacks.run import read_plan

    return read_plan(session.site, name, services)[1]


def _print_plan(plan: StackPlan) -> None:
    for step in plan.steps:
        output.print_line(
            f"{step.kind.value:<8} {step.subject:<20} {step.reason}{f' ({step.order})' if step.order else ''}"
        )
    if plan.findings:
        click.echo()
        output.print_findings(plan.findings)


@stack_command.command("up", cls=Command)
@_stack
@_services
@operation_options
@click.pass_obj
def up_command(session: CliSession, stack: str, services: tuple[str, ...], detach: bool, as_json: bool) -> None:
    """Bring a stack in line with its files: build, create and replace what has changed, and leave the rest alone.

    Shows its plan first. A service whose new container does not become healthy keeps the one before. Nothing is
    pulled. After a failure the same command goes on where it stopped.
    """
    from core.errors import ChecksFailed
    from core.findings import describe_errors

    plan = _plan(session, stack, services)
    if not as_json:
        _print_plan(plan)
    if errors := plan.errors():
        raise ChecksFailed(f"Nothing was changed: stack {stack} cannot come up", *describe_errors(errors))
    _run(session, stack, "up", services, detach=detach, as_json=as_json)


@stack_command.command("down", cls=Command)
@_stack
@click.option("--volumes", is_flag=True, help="Remove its volumes, too, with everything in them.")
@yes_option
@operation_options
@click.pass_obj
def down_command(session: CliSession, stack: str, volumes: bool, yes: bool, detach: bool, as_json: bool) -> None:
    """Stop and remove the containers and networks of a stack. Its volumes stay."""
    if volumes:
        confirm(f"Remove the volumes of {stack}, with everything in them?", yes)
    _run(session, stack, "down", (), detach=detach, as_json=as_json, volumes=volumes)


@stack_command.command("start", cls=Command)
@_stack
@_services
@operation_options
@click.pass_obj
def start_command(session: CliSession, stack: str, services: tuple[str, ...], detach: bool, as_json: bool) -> None:
    """Start containers that are stopped, each after those it waits for."""
    _run(session, stack, "start", services, detach=detach, as_json=as_json)


@stack_command.command("stop", cls=Command)
@_stack
@_services
@operation_options
@click.pass_obj
def stop_command(session: CliSession, stack: str, services: tuple[str, ...], detach: bool, as_json: bool) -> None:
    """Stop containers, each before those it waits for."""
    _run(session, stack, "stop", services, detach=detach, as_json=as_json)


@stack_command.command("restart", cls=Command)
@_stack
@_services
@operation_options
@click.pass_obj
def restart_command(session: CliSession, stack: str, services: tuple[str, ...], detach: bool, as_json: bool) -> None:
    """Stop and start containers, in their order."""
    _run(session, stack, "restart", services, detach=detach, as_json=as_json)


def _run(
    session: CliSession,
    stack: str,
    action: str,
    services: tuple[str, ...],
    *,
    detach: bool,
    as_json: bool,
    **options: Any,
) -> None:
    options = {"action": action, "services": [*services], **options}
    run_operation(session, "stack", stack, options, detach=detach, as_json=as_json, key=f"stack:{stack}")
