"""`xaiva lock`, `sync`, `verify`, `wheel`: the exact files of a preset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.follow import operation_options, run_operation
from core.cli.session import CliSession, preset_argument
from core.cli.single_use_options import Command

if TYPE_CHECKING:
    from core.artifacts.sync_plan import SyncPlan


@click.command("lock", cls=Command)
@preset_argument
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of those locked before.")
@operation_options
@click.pass_obj
def lock_command(session: CliSession, preset: str, upgrade: bool, detach: bool, as_json: bool) -> None:
    """Name every file a preset needs, with URL, size and SHA-256. Needs the network."""
    from core.presets.store import load_named

    load_named(session.site, preset)
    run_operation(session, "lock", preset, {"upgrade": upgrade}, detach=detach, as_json=as_json)


@click.command("sync", cls=Command)
@preset_argument
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be done.")
@operation_options
@click.pass_obj
def sync_command(session: CliSession, preset: str, only_plan: bool, detach: bool, as_json: bool) -> None:
    """Bring the artifacts in line with the lock: fetch, resume, repair, touch nothing else."""
    if not only_plan:
        from core.artifacts.lock_store import read_lock

        read_lock(session.site, preset)
        run_operation(session, "sync", preset, {}, detach=detach, as_json=as_json)
        return
    from core.artifacts.sync import plan

    planned = plan(session.site, preset)
    if as_json:
        output.print_json({"preset": preset, "plan": planned})
    else:
        print_plan(planned)


def print_plan(plan: SyncPlan) -> None:
    """What a sync would do, one line each."""
    rows = (
        ("locked", plan.files, plan.bytes),
        ("there already", plan.present_files, plan.present_bytes),
        ("to fetch", plan.fetch_files, plan.fetch_bytes),
        ("to link from other presets", plan.link_files, plan.link_bytes),
        ("to make here", plan.make_files, plan.make_bytes),
    )
    for what, files, size in rows:
        click.echo(f"{what:<28}{files:>6} files  {output.size(size):>10}")
    if plan.resumed_bytes:
        click.echo(f"{'left of a stopped sync':<28}{'':>14}{output.size(plan.resumed_bytes):>10}")
    for what, names in (("to repair", plan.corrupt), ("to remove", plan.extra)):
        for name in names:
            output.print_line(f"{what}: {name}")
    room = "" if plan.fits else ": it does not fit, make room first"
    click.echo(f"needs {output.size(plan.needed_bytes)} of {output.size(plan.free_bytes)} free{room}")
    if plan.seconds is not None:
        click.echo(f"about {output.seconds(plan.seconds)} at the speed of the last sync")
    if plan.unlocked:
        click.echo(f"{plan.unlocked} things could not be locked; see: xaiva lock {plan.preset}")


@click.command("verify", cls=Command)
@preset_argument
@operation_options
@click.pass_obj
def verify_command(session: CliSession, preset: str, detach: bool, as_json: bool) -> None:
    """Check every byte of the artifacts against the lock. Exit code 3 when one differs."""
    from core.artifacts.lock_store import read_lock

    read_lock(session.site, preset)
    run_operation(session, "verify", preset, {}, detach=detach, as_json=as_json)


@click.command("wheel", cls=Command)
@preset_argument
@click.argument("requirement")
@click.option(
    "--no-build-isolation", is_flag=True, help="Install the wheels of the lock before: the build may use them."
)
@operation_options
@click.pass_obj
def wheel_command(
    session: CliSession, preset: str, requirement: str, no_build_isolation: bool, detach: bool, as_json: bool
) -> None:
    """Build the wheel of a package that comes only as source, in a container of the preset's base image."""
    from core.artifacts.build_wheel import read_requirement
    from core.presets.store import load_named

    read_requirement(load_named(session.site, preset), requirement, preset)
    options = {"requirement": requirement, "no_build_isolation": no_build_isolation}
    run_operation(session, "wheel", preset, options, detach=detach, as_json=as_json)
