"""`xaiva build`, `load`, `builds`: images and their history."""

from __future__ import annotations

import click

from core.cli import output
from core.cli.follow import operation_options, run_operation
from core.cli.session import PresetName, Session, json_option, preset_argument
from core.errors import InputError


@click.command("build")
@preset_argument
@click.option("--target", default="runtime", show_default=True, help="The stage: runtime, dev or a layer's name.")
@operation_options
@click.pass_obj
def build_command(session: Session, preset: str, target: str, detach: bool, as_json: bool) -> None:
    """Build a preset's image with the network off."""
    from core.artifacts.store import read_lock
    from core.presets.store import load_named

    load_named(session.site, preset)
    read_lock(session.site, preset)
    run_operation(session, "build", preset, {"target": target}, detach=detach, as_json=as_json)


@click.command("load")
@preset_argument
@operation_options
@click.pass_obj
def load_command(session: Session, preset: str, detach: bool, as_json: bool) -> None:
    """Load a preset's packed image into the engine."""
    run_operation(session, "load", preset, {}, detach=detach, as_json=as_json)


@click.group("builds")
def builds_command() -> None:
    """Every build is kept: stages, times, log and outcome."""


@builds_command.command("list")
@click.argument("preset", type=PresetName(), required=False)
@json_option
@click.pass_obj
def list_command(session: Session, preset: str | None, as_json: bool) -> None:
    """Builds, newest first."""
    from core.images.history import list_builds

    builds = list_builds(session.site, preset)
    if as_json:
        output.print_json({"builds": builds})
        return
    output.print_table(
        ("ID", "PRESET", "TARGET", "OUTCOME", "STARTED", "TOOK"),
        (
            (b.id, b.preset, b.target, output.plain(b.outcome), output.moment(b.started), output.seconds(b.seconds))
            for b in builds
        ),
    )


@builds_command.command("show")
@click.argument("identifier", metavar="ID")
@json_option
@click.pass_obj
def show(session: Session, identifier: str, as_json: bool) -> None:
    """One build."""
    build = _build(session, identifier)
    if as_json:
        output.print_json({"build": build})
        return
    for name, value in output.plain(build).items():
        if name != "stages" and value not in (None, "", [], {}):
            click.echo(f"{name}: {value}")
    for stage in build.stages:
        took = output.seconds(stage.ended - stage.started) if stage.ended and stage.started else ""
        click.echo(f"  [{stage.state.value}] {stage.title} {took}".rstrip())


@builds_command.command("compare")
@click.argument("first", metavar="ID")
@click.argument("second", metavar="ID")
@json_option
@click.pass_obj
def compare_command(session: Session, first: str, second: str, as_json: bool) -> None:
    """Why one build was slower, larger or different from another."""
    from core.images.history import compare

    comparison = compare(_build(session, first), _build(session, second))
    if as_json:
        output.print_json({"comparison": comparison})
    else:
        for name, value in output.plain(comparison).items():
            click.echo(f"{name}: {value}")


def _build(session: Session, identifier: str):  # type: ignore[no-untyped-def]
    from core.images.history import list_builds

    for build in list_builds(session.site):
        if str(build.id) == identifier:
            return build
    raise InputError(f"Build {identifier}", "there is none with that id", "see: xaiva builds list")
