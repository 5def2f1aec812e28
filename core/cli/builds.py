"""`xaiva build`, `load`, `builds`: images and their history."""

from __future__ import annotations

import os

import click

from core.cli import output
from core.cli.follow import operation_options, run_operation
from core.cli.name_completion import build_ids, complete, stages
from core.cli.session import CliSession, PresetName, json_option, preset_argument
from core.cli.single_use_options import Command, Group


@click.command("build", cls=Command)
@preset_argument
@click.option(
    "--target",
    default="runtime",
    show_default=True,
    shell_complete=complete(stages),
    help="The stage to build: runtime, dev or a layer's name.",
)
@click.option("--no-cache", is_flag=True, help="Build every step without the cache.")
@click.option("--no-smoke", is_flag=True, help="Skip the smoke test of the new image.")
@operation_options
@click.pass_obj
def build_command(
    session: CliSession, preset: str, target: str, no_cache: bool, no_smoke: bool, detach: bool, as_json: bool
) -> None:
    """Build a preset's image with the network off."""
    from core.artifacts.lock_store import read_lock
    from core.presets.store import load_named

    load_named(session.site, preset)
    read_lock(session.site, preset)
    options = {"target": target, "no_cache": no_cache, "smoke": not no_smoke}
    run_operation(session, "build", preset, options, detach=detach, as_json=as_json)


@click.command("load", cls=Command)
@preset_argument
@click.option("--file", type=click.Path(exists=True, dir_okay=False), help="Load this `docker save` archive instead.")
@operation_options
@click.pass_obj
def load_command(session: CliSession, preset: str, file: str | None, detach: bool, as_json: bool) -> None:
    """Load a preset's base images from its artifacts, or an image archive, into the engine."""
    options = {"file": os.path.abspath(file)} if file else {}
    run_operation(session, "load", preset, options, detach=detach, as_json=as_json)


@click.group("builds", cls=Group)
def builds_command() -> None:
    """Past builds, each with its stages, times, log and outcome."""


@builds_command.command("list")
@click.argument("preset", type=PresetName(), required=False)
@json_option
@click.pass_obj
def list_command(session: CliSession, preset: str | None, as_json: bool) -> None:
    """List builds, newest first."""
    from core.images.build_history import list_builds

    builds = list_builds(session.site, preset)
    if as_json:
        output.print_json({"builds": builds})
        return
    output.print_table(
        ("ID", "PRESET", "TARGET", "OUTCOME", "STARTED", "TOOK"),
        (
            (b.id, b.preset or "?", b.target, b.outcome.word, output.moment(b.started), output.seconds(b.seconds))
            for b in builds
        ),
        f"no builds of {preset} yet" if preset else "no builds yet; start one with: xaiva build PRESET",
    )


@builds_command.command("show")
@click.argument("identifier", metavar="ID", shell_complete=complete(build_ids))
@json_option
@click.pass_obj
def show(session: CliSession, identifier: str, as_json: bool) -> None:
    """Show one build."""
    from core.images.build_history import read_build

    build = read_build(session.site, identifier)
    if as_json:
        output.print_json({"build": build})
        return
    for name, value in output.plain(build).items():
        if name not in ("stages", "findings") and value not in (None, "", [], {}):
            output.print_line(f"{name}: {value}")
    for stage in build.stages:
        state = "cached" if stage.cached else stage.state
        output.print_line(f"  [{state}] {stage.name} {output.seconds(stage.seconds)}")
    output.print_findings(build.findings)


@builds_command.command("compare")
@click.argument("before", metavar="ID", shell_complete=complete(build_ids))
@click.argument("after", metavar="ID", shell_complete=complete(build_ids))
@json_option
@click.pass_obj
def compare_command(session: CliSession, before: str, after: str, as_json: bool) -> None:
    """Show why one build was slower, larger or different from another."""
    from core.images.build_history import compare_builds, read_build

    comparison = compare_builds(session.site, read_build(session.site, before), read_build(session.site, after))
    if as_json:
        output.print_json({"comparison": comparison})
        return
    sign = "slower" if comparison.seconds > 0 else "faster"
    click.echo(f"{after} was {output.seconds(abs(comparison.seconds))} {sign} than {before}")
    for line in (*comparison.reasons, *comparison.lock_changes):
        output.print_line(f"  {line}")
    output.print_table(
        ("STAGE", "BEFORE", "AFTER"),
        (
            (stage.name, _took(stage.before, stage.before_cached), _took(stage.after, stage.after_cached))
            for stage in comparison.stages
        ),
    )


def _took(seconds: float | None, cached: bool) -> str:
    return "-" if seconds is None else f"{output.seconds(seconds)}{' (cached)' if cached else ''}"
