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
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of the locked ones.")
@operation_options
@click.pass_obj
def lock_command(session: CliSession, preset: str, upgrade: bool, detach: bool, as_json: bool) -> None:
    """List every file a preset needs, with its URL, size and SHA-256. Needs the network."""
    from core.presets.store import load_named

    load_named(session.site, preset)
    run_operation(session, "lock", preset, {"upgrade": upgrade}, detach=detach, as_json=as_json)


@click.command("sync", cls=Command)
@preset_argument
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@operation_options
@click.pass_obj
def sync_command(session: CliSession, preset: str, only_plan: bool, detach: bool, as_json: bool) -> None:
    """Make the artifacts match the lock: download, resume and repair files; leave the good ones alone."""
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
    """Print what a sync would do, one line each."""
    rows = (
        ("locked", plan.files, plan.bytes),
        ("already there", plan.present_files, plan.present_bytes),
        ("to download", plan.fetch_files, plan.fetch_bytes),
        ("to link from other presets", plan.link_files, plan.link_bytes),
        ("to build here", plan.make_files, plan.make_bytes),
    )
    for what, files, size in rows:
        click.echo(f"{what:<28}{files:>6} files  {output.size(size):>10}")
    if plan.resumed_bytes:
        click.echo(f"{'left from an interrupted sync':<28}{'':>14}{output.size(plan.resumed_bytes):>10}")
    for what, names in (("to repair", plan.corrupt), ("to remove", plan.extra)):
        for name in names:
            output.print_line(f"{what}: {name}")
    room = "" if plan.fits else ": it does not fit; free some space first"
    click.echo(f"needs {output.size(plan.needed_bytes)} of {output.size(plan.free_bytes)} free{room}")
    if plan.seconds is not None:
        click.echo(f"about {output.seconds(plan.seconds)} at the speed of the last sync")
    if plan.unlocked:
        click.echo(f"{plan.unlocked} requirements could not be locked; see: xaiva lock {plan.preset}")


@click.command("verify", cls=Command)
@preset_argument
@operation_options
@click.pass_obj
def verify_command(session: CliSession, preset: str, detach: bool, as_json: bool) -> None:
    """Check every byte of the artifacts against the lock. The exit code is 3 when a file differs."""
    from core.artifacts.lock_store import read_lock

    read_lock(session.site, preset)
    run_operation(session, "verify", preset, {}, detach=detach, as_json=as_json)


@click.command("wheel", cls=Command)
@preset_argument
@click.argument("requirement")
@click.option(
    "--no-build-isolation", is_flag=True, help="Install the locked wheels first, so that the build can use them."
)
@operation_options
@click.pass_obj
def wheel_command(
    session: CliSession, preset: str, requirement: str, no_build_isolation: bool, detach: bool, as_json: bool
) -> None:
    """Build a wheel for a package that is published only as source, in a container of the preset's base image."""
    from core.artifacts.build_wheel import read_requirement
    from core.presets.store import load_named

    read_requirement(load_named(session.site, preset), requirement, preset)
    options = {"requirement": requirement, "no_build_isolation": no_build_isolation}
    run_operation(session, "wheel", preset, options, detach=detach, as_json=as_json)
