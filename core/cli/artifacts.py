"""`xaiva lock`, `sync`, `verify`, `wheel`: the exact files of a preset."""

from __future__ import annotations

import click

from core.cli import output
from core.cli.follow import operation_options, run_operation
from core.cli.session import Session, preset_argument


@click.command("lock")
@preset_argument
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of those locked before.")
@operation_options
@click.pass_obj
def lock_command(session: Session, preset: str, upgrade: bool, detach: bool, as_json: bool) -> None:
    """Name every file a preset needs, with URL, size and SHA-256. Needs the network."""
    from core.presets.store import load_named

    load_named(session.site, preset)
    run_operation(session, "lock", preset, {"upgrade": upgrade}, detach=detach, as_json=as_json)


@click.command("sync")
@preset_argument
@click.option("--plan", "only_plan", is_flag=True, help="Only say what would be done.")
@operation_options
@click.pass_obj
def sync_command(session: Session, preset: str, only_plan: bool, detach: bool, as_json: bool) -> None:
    """Bring the artifacts in line with the lock: fetch, resume, mend, touch nothing else."""
    if not only_plan:
        from core.artifacts.store import read_lock

        read_lock(session.site, preset)
        run_operation(session, "sync", preset, {}, detach=detach, as_json=as_json)
        return
    from core.artifacts.sync import plan

    planned = plan(session.site, preset)
    if as_json:
        output.print_json({"preset": preset, "plan": planned})
    else:
        click.echo(planned.in_words())


@click.command("verify")
@preset_argument
@operation_options
@click.pass_obj
def verify_command(session: Session, preset: str, detach: bool, as_json: bool) -> None:
    """Check every byte of the artifacts against the lock. Exit code 3 when one differs."""
    from core.artifacts.store import read_lock

    read_lock(session.site, preset)
    run_operation(session, "verify", preset, {}, detach=detach, as_json=as_json)


@click.command("wheel")
@preset_argument
@click.argument("requirements", nargs=-1, required=True)
@operation_options
@click.pass_obj
def wheel_command(session: Session, preset: str, requirements: tuple[str, ...], detach: bool, as_json: bool) -> None:
    """Build wheels of packages that come only as source, in a container of the preset's base image."""
    from core.presets.store import load_named

    load_named(session.site, preset)
    options = {"requirements": list(requirements)}
    run_operation(session, "wheel", preset, options, detach=detach, as_json=as_json)
