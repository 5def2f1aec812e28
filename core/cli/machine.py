"""`xaiva gpu`, `host` and `doctor`: this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Command

if TYPE_CHECKING:
    from pathlib import Path

    from core.api_schema import ServiceStatus
    from core.containers.vram import VramHolder
    from core.doctor_fixes import Fix
    from core.site import Site
    from core.telemetry.gpus import GpuSample

ENGINE_SECONDS = 3.0  # container names and the service's status are not worth a longer wait
BETWEEN_SAMPLES = 0.5  # rates are differences of two samples


@click.command("gpu", cls=Command)
@json_option
@click.pass_obj
def gpu_command(session: CliSession, as_json: bool) -> None:
    """Show this machine's GPUs as NVML reports them, and which container holds how much of their memory.

    For the service's container, it also shows how much of that its models account for.
    """
    from core.containers.vram import vram_holders
    from core.errors import XaivaError
    from core.telemetry.gpus import GpuSampler, gpu_problem

    with GpuSampler() as sampler:
        sample = _with_containers(session.site, sampler.sample())
    holdings = vram_holders(sample, _service_status(session.site, sample))
    if as_json:
        output.print_json({"gpus": sample, "vram": holdings})
    else:
        if sample.gpus:
            _print_sample("gpus", sample, as_json=False)
            _print_holders(holdings)
        if problem := gpu_problem(sample):
            output.print_text(str(XaivaError(*problem)))


def _print_holders(holdings: list[VramHolder]) -> None:
    if holdings:
        click.echo()
        output.print_table(
            ("VRAM OF", "GPU", "MEMORY", "MODELS", "UNEXPLAINED"),
            (
                (
                    holder.name,
                    ",".join(map(str, holder.gpus)),
                    *map(_format_bytes, (holder.memory, holder.models, holder.unexplained)),
                )
                for holder in holdings
            ),
        )


def _format_bytes(count: int | None) -> str:
    return "-" if count is None else f"-{output.size(-count)}" if count < 0 else output.size(count)


@click.command("host", cls=Command)
@json_option
@click.pass_obj
def host_command(session: CliSession, as_json: bool) -> None:
    """Show this machine's CPU, memory, disks and network."""
    from core.telemetry.host import HostSampler

    sampler = HostSampler({"artifacts": session.site.artifacts, **_engine_folder(session.site)})
    sampler.sample()
    time.sleep(BETWEEN_SAMPLES)
    _print_sample("host", sampler.sample(), as_json)
    sampler.close()


@click.command("doctor", cls=Command)
@click.option("--fix", is_flag=True, help="Also show the commands that would help, and ask before running each.")
@json_option
@click.pass_obj
def doctor_command(session: CliSession, fix: bool, as_json: bool) -> None:
    """Check what this machine can and cannot do, with a remedy for each problem.

    With --fix, the commands of the remedies follow where xaiva knows them exactly for this distribution. On a terminal
    it asks before it runs any of them, with No as the default, and checks again afterwards.

    The exit code is 3 when something essential is missing.
    """
    from core.doctor import examine
    from core.doctor_fixes import find_fixes
    from core.findings import has_errors

    findings = examine(session.site)
    fixes = find_fixes(findings) if fix else []
    if as_json:
        output.print_json({"findings": findings, **({"fixes": fixes} if fix else {})})
    else:
        output.print_findings(findings)
    if fix and not as_json:
        _print_fixes(fixes)
        if sys.stdin.isatty() and _run_fixes(fixes):
            click.echo("\nchecked again:")
            findings = examine(session.site)
            output.print_findings(findings)
    if has_errors(findings):
        raise click.exceptions.Exit(3)


def _print_fixes(fixes: list[Fix]) -> None:
    click.echo()
    if not fixes:
        click.echo("xaiva knows no command for what was found")
    for fix in fixes:
        output.print_line(f"{fix.code}: {fix.text}")
        for command in fix.commands:
            output.print_line(f"  {command}")


def _run_fixes(fixes: list[Fix]) -> bool:
    """Ask for each command, and run it; returns whether any ran. A No or a failure leaves out the rest of that fix."""
    has_run = False
    for fix in fixes:
        for command in fix.commands:
            if not click.confirm(f"\nRun: {command}", default=False, err=True):
                break
            has_run = True
            if code := subprocess.run(["sh", "-c", command], check=False).returncode:
                output.print_line(f"exit code {code}: {command}", err=True)
                break
    return has_run


def _engine_folder(site: Site) -> dict[str, Path]:
    """The folder of the engine's images, if the engine is on this machine and answers."""
    from core.engine import EngineError, connect_engine, engine_root

    try:
        root = engine_root(site, connect_engine(site, ENGINE_SECONDS))
    except EngineError:
        return {}
    return {"engine": root} if root else {}


def _service_status(site: Site, sample: GpuSample) -> ServiceStatus | None:
    """The service's status if a container uses a GPU; None if the service does not answer."""
    from core.containers.service_discovery import connect_service
    from core.errors import XaivaError

    if not any(process.container_id for gpu in sample.gpus for process in gpu.processes):
        return None
    try:
        return connect_service(site, ENGINE_SECONDS).status()
    except XaivaError:
        return None


def _with_containers(site: Site, sample: GpuSample) -> GpuSample:
    """Add container names to the sample. Without an engine, the start of the id is kept."""
    from core.containers.listing import list_containers
    from core.engine import EngineError, connect_engine
    from core.telemetry.gpus import attribute_containers

    if not any(process.container_id for gpu in sample.gpus for process in gpu.processes):
        return sample
    try:
        containers = list_containers(connect_engine(site, ENGINE_SECONDS))
    except EngineError:
        containers = []
    return attribute_containers(
        sample,
        {container.id: container.name for container in containers},
        {container.id for container in containers if container.managed},
    )


def _print_sample(name: str, sample: object, as_json: bool) -> None:
    if as_json:
        output.print_json({name: sample})
        return
    for line in _lines(output.plain(sample), ""):
        output.print_line(line)


def _lines(value: object, indent: str) -> Iterator[str]:
    """A sample as indented lines. Empty values are left out."""
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{indent}{key}:"
            yield from _lines(item, indent + "  ")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            for entry in item:
                yield f"{indent}{key}:"
                yield from _lines(entry, indent + "  ")
        elif item not in (None, "", [], {}):
            yield f"{indent}{key}: {_value(key, item)}"


def _value(key: str, item: object) -> str:
    if isinstance(item, float):
        return f"{item:.1f}"
    if isinstance(item, int) and not isinstance(item, bool) and item > 1 << 20 and "time" not in key:
        return output.size(item)
    return ", ".join(map(str, item)) if isinstance(item, list) else str(item)
