"""`xaiva process`: processes that use a GPU, and those of containers."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Group
from core.errors import InputError, XaivaError

if TYPE_CHECKING:
    from core.containers.processes import ListedProcess, ProcessList
    from core.site import Site
    from core.telemetry.gpus import GpuSample

ENGINE_SECONDS = 3.0  # the processes of GPUs are known without an engine, so they are not worth a longer wait
BETWEEN_SAMPLES = 0.5  # CPU use is the difference of two samples


@click.group("process", cls=Group)
def process_command() -> None:
    """Processes that use a GPU, and those of containers."""


@process_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the processes on GPUs, then those of running containers, the largest first."""
    from core.telemetry.gpus import gpu_problem

    sample, listing = _list_processes(session.site)
    problem = gpu_problem(sample)
    if listing.problems and not listing.processes:
        raise XaivaError("Processes of containers", "; ".join(listing.problems), "see: xaiva doctor")
    if as_json:
        output.print_json({"processes": listing.processes, "problems": listing.problems, "gpus": sample.state})
        return
    output.print_table(
        ("GPU", "PID", "OWNER", "CONTAINER", "VRAM", "GPU %", "CPU %", "MEMORY", "TIME", "COMMAND"),
        map(_row, listing.processes),
        f"no process {'' if problem else 'uses a GPU or '}runs in a container",
    )
    for words in listing.problems:
        output.print_line(words, err=True)
    if problem:
        output.print_text(str(XaivaError(*problem)))


@process_command.command("kill")
@click.argument("pid", type=click.IntRange(min=1))
@click.option("--force", is_flag=True, help="Send SIGKILL: the process has no chance to save anything.")
@yes_option
@json_option
@click.pass_obj
def kill_command(session: CliSession, pid: int, force: bool, yes: bool, as_json: bool) -> None:
    """Ask a process of the list to end (SIGTERM).

    The exit code is 1 when it still runs after some seconds.
    """
    from core.telemetry.process_end import END_SECONDS, end_process

    _, listing = _list_processes(session.site, rates=False)
    process = _find(listing, pid)
    place = f" in the container {process.container}" if process.container else ""
    better = f" (xaiva launched it: better stop the container with `xaiva stop {process.container}`)"
    who = f"process {pid} of {process.owner or 'an unknown owner'}{place}: {process.command}"
    confirm(f"{'Kill' if force else 'End'} {who}{better if process.ours else ''}?", yes)
    ended = end_process(pid, process.started, kill=force)
    if as_json:
        output.print_json({"pid": pid, "signal": "SIGKILL" if force else "SIGTERM", "ended": ended})
    elif ended:
        output.print_line(f"{pid}: ended")
    if not ended:
        if not as_json:
            why = f"it still runs after {END_SECONDS:.0f} s"
            raise XaivaError(f"Process {pid}", why, "" if force else f"kill it: xaiva process kill {pid} --force")
        raise click.exceptions.Exit(1)


def _find(listing: ProcessList, pid: int) -> ListedProcess:
    """The process of the list that can be ended. Raises InputError."""
    found = [process for process in listing.processes if process.pid == pid]
    if any(process.can_be_ended for process in found):
        return next(process for process in found if process.can_be_ended)
    if found:
        why = "it runs on the engine's host, or outside of this program's pid namespace"
        raise InputError(f"Process {pid}", why, "end it there, or stop its container: xaiva stop NAME")
    why = "it uses no GPU and is in no container that the engine lists"
    raise InputError(f"Process {pid}", why, "see: xaiva process list")


def _list_processes(site: Site, *, rates: bool = True) -> tuple[GpuSample, ProcessList]:
    """The GPUs and the processes. When the engine does not answer, its error is one of the problems."""
    from core.containers.listing import list_containers
    from core.containers.processes import ProcessLister
    from core.engine import EngineError, connect_engine
    from core.telemetry.gpus import GpuSampler

    with GpuSampler() as sampler:
        sample = sampler.sample()
    lister = ProcessLister()

    def listing() -> ProcessList:
        try:
            with closing(connect_engine(site, ENGINE_SECONDS)) as client:
                return lister.list(sample, list_containers(client), client)
        except EngineError as error:
            listed = lister.list(sample)
            return listed.model_copy(update={"problems": [error.summary]})

    first = listing()
    if not rates or not first.processes:
        return sample, first
    time.sleep(BETWEEN_SAMPLES)
    return sample, listing()


def _row(process: ListedProcess) -> tuple[object, ...]:
    return (
        "-" if process.gpu is None else process.gpu,
        process.pid,
        process.owner or "-",
        process.container or "-",
        "-" if process.vram is None else output.size(process.vram),
        "-" if process.gpu_percent is None else f"{process.gpu_percent:.0f}",
        "-" if process.cpu_percent is None else f"{process.cpu_percent:.0f}",
        "-" if process.memory is None else output.size(process.memory),
        "-" if process.run_seconds is None else output.seconds(process.run_seconds),
        process.command,
    )
