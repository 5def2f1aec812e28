"""`xaiva preset`: the folder of presets, and whether they can work on the site's machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.session import CliSession, confirm, json_option, preset_argument, yes_option
from core.cli.single_use_options import Group
from core.errors import InputError

if TYPE_CHECKING:
    from core.presets.compat import Facts, RatedChoice, TargetMachine
    from core.presets.store import Leftovers, PresetEntry
    from core.site_report.model import SiteReport


@click.group("preset", cls=Group)
def preset_command() -> None:
    """The site's presets, from which images are built."""


@preset_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the presets. A broken file is listed with its error."""
    from core.presets.store import list_presets

    entries = list_presets(session.site)
    if as_json:
        output.print_json(
            {"presets": [{"name": e.name, "path": e.path, "preset": e.preset, "error": e.error} for e in entries]}
        )
        return
    empty = f"no presets in {session.site.presets} yet; create one with: xaiva preset new NAME"
    output.print_table(("NAME", "BASE IMAGE", "PYTHON", "PYTORCH", "DESCRIPTION"), map(_row, entries), empty)
    for entry in entries:
        if entry.error:
            output.print_error(entry.error, False)


def _row(entry: PresetEntry) -> tuple[str, ...]:
    if entry.preset is None:
        return (entry.name, "-", "-", "-", "cannot be used")
    preset = entry.preset
    pytorch = preset.pytorch.version if preset.pytorch else "-"
    return (entry.name, preset.base_image, preset.python_version, pytorch, preset.metadata.description)


@preset_command.command("show")
@preset_argument
@json_option
@click.pass_obj
def show(session: CliSession, preset: str, as_json: bool) -> None:
    """Show a preset's file; with --json, the preset with every default filled in."""
    from core.presets.store import load_named, preset_path, read_text

    loaded = load_named(session.site, preset)
    if as_json:
        output.print_json({"name": preset, "preset": loaded})
    else:
        click.echo(read_text(preset_path(session.site, preset)), nl=False)


@preset_command.command("new")
@click.argument("name")
@click.option(
    "--file",
    "source",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Copy this file (-: standard input).",
)
@click.option(
    "--from",
    "requirements",
    type=click.Path(exists=True, dir_okay=False),
    help="Create it from this requirement file of pip or uv.",
)
@json_option
@click.pass_obj
def new(session: CliSession, name: str, source: str | None, requirements: str | None, as_json: bool) -> None:
    """Create a preset from a file, from a requirement file, or from a small template."""
    from core.presets.store import STARTER, create, read_text

    if requirements is not None:
        if source is not None:
            raise click.UsageError("--file and --from cannot be used together")
        _new_from_requirements(session, name, Path(requirements), as_json)
        return
    text = STARTER if source is None else sys.stdin.read() if source == "-" else read_text(Path(source))
    _print_path(create(session.site, name, text), as_json)


def _new_from_requirements(session: CliSession, name: str, source: Path, as_json: bool) -> None:
    from core.presets.from_requirements import create_from_requirements

    created = create_from_requirements(session.site, name, source)
    if as_json:
        output.print_json({"path": created.path, "copied": created.copied, "findings": created.findings})
        return
    click.echo(created.path)
    for path in created.copied:
        click.echo(path)
    if created.findings:
        output.print_findings(created.findings)


@preset_command.command("duplicate")
@preset_argument
@click.argument("new_name")
@json_option
@click.pass_obj
def duplicate_command(session: CliSession, preset: str, new_name: str, as_json: bool) -> None:
    """Copy a preset under a new name."""
    from core.presets.store import duplicate

    _print_path(duplicate(session.site, preset, new_name), as_json)


@preset_command.command("rename")
@preset_argument
@click.argument("new_name")
@json_option
@click.pass_obj
def rename_command(session: CliSession, preset: str, new_name: str, as_json: bool) -> None:
    """Rename a preset. Its artifacts and images keep the old name."""
    from core.presets.store import rename

    _print_leftovers(rename(session.site, preset, new_name), as_json)


@preset_command.command("delete")
@preset_argument
@yes_option
@json_option
@click.pass_obj
def delete_command(session: CliSession, preset: str, yes: bool, as_json: bool) -> None:
    """Delete a preset's file. Its artifacts and images stay."""
    from core.presets.store import delete

    confirm(f"Delete the preset {preset}?", yes)
    _print_leftovers(delete(session.site, preset), as_json)


def _print_path(path: Path, as_json: bool) -> None:
    if as_json:
        output.print_json({"path": path})
    else:
        click.echo(path)


def _print_leftovers(remains: Leftovers, as_json: bool) -> None:
    if as_json:
        output.print_json({"remains": remains})
    elif remains.artifacts:
        click.echo(f"its artifacts stay in {remains.artifacts}")


def _named_target(gpu: tuple[str, ...], driver: str, report: SiteReport | None, facts: Facts) -> TargetMachine | None:
    """The machine in the options; None: use the preset's target, or this machine."""
    from core.presets.compat import named_target
    from core.site_report.target import report_target

    if gpu or driver:
        return named_target(list(gpu), driver, facts=facts)
    return report_target(report, facts) if report else None


def _read_report(path: Path | None) -> SiteReport | None:
    from core.site_report.files import read_report

    return read_report(path) if path else None


def target_options(command: Any) -> Any:
    """Add `--gpu`, `--driver` and `--report` to a command. GPU and driver given by hand win over the report's."""
    command = click.option(
        "--report",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The report of the site: its GPUs and driver, processor and engine.",
    )(command)
    command = click.option("--driver", default="", help='The GPU driver of the site, e.g. "535.183".')(command)
    return click.option("--gpu", multiple=True, help='The site\'s GPU, e.g. "GTX 1060".')(command)


@preset_command.command("check")
@preset_argument
@target_options
@json_option
@click.pass_obj
def check_command(
    session: CliSession, preset: str, gpu: tuple[str, ...], driver: str, report: Path | None, as_json: bool
) -> None:
    """Check whether the preset can work on the site's machine. The exit code is 3 when it cannot."""
    from core.artifacts.lock_check import check_preset
    from core.findings import Level, has_errors
    from core.presets.compat import site_facts, target_for
    from core.presets.store import load_named
    from core.site_report.target import site_findings

    loaded, there = load_named(session.site, preset), _read_report(report)
    facts = site_facts(session.site)
    target = _named_target(gpu, driver, there, facts) or target_for(loaded, facts)
    findings = check_preset(session.site, preset, loaded, target)
    if there:
        findings = sorted([*site_findings(there, loaded), *findings], key=lambda one: list(Level).index(one.level))
    if as_json:
        output.print_json({"preset": preset, "target": target, "findings": findings})
    else:
        output.print_findings(findings)
    if has_errors(findings):
        raise click.exceptions.Exit(3)


@preset_command.command("choices")
@preset_argument
@click.argument("field")
@target_options
@json_option
@click.pass_obj
def choices_command(
    session: CliSession,
    preset: str,
    field: str,
    gpu: tuple[str, ...],
    driver: str,
    report: Path | None,
    as_json: bool,
) -> None:
    """List the known values of a field, such as base_image or pytorch.version, and which can work on the machine."""
    from core.presets.compat import FIELD_CHOICES, choices, rate_choices, target_for
    from core.presets.store import load_named

    loaded = load_named(session.site, preset)
    rated_fields = [name for name in FIELD_CHOICES if not name.startswith("target.")]
    if field not in rated_fields:
        raise InputError(f"Field {field!r}", "it has no known values", f"use one of: {', '.join(rated_fields)}")
    known = choices(session.site)
    target = _named_target(gpu, driver, _read_report(report), known.facts) or target_for(loaded, known.facts)
    values = known.of_field(field, loaded.python_version)
    rated = rate_choices(loaded, field, values, target, site=session.site, name=preset)
    if as_json:
        output.print_json({"preset": preset, "field": field, "target": target, "choices": rated})
        return
    output.print_line(f"checked for {target or 'any machine: neither the preset nor this host names a GPU'}")
    rows = ((choice.value, *_rating(choice)) for choice in rated)
    output.print_table(("VALUE", "FITS", "WHY NOT"), rows, "no known values")


def _rating(choice: RatedChoice) -> tuple[str, str]:
    from core.findings import Level

    if choice.problem is None:
        return "yes", "-"
    return ("no" if choice.problem.level is Level.ERROR else "maybe"), choice.problem.summary


@preset_command.command("suggest")
@target_options
@json_option
@click.pass_obj
def suggest_command(session: CliSession, gpu: tuple[str, ...], driver: str, report: Path | None, as_json: bool) -> None:
    """Suggest the newest versions that work with a GPU and driver (default: this machine's)."""
    from core.presets.compat import host_target, site_facts, suggest

    facts = site_facts(session.site)
    target = _named_target(gpu, driver, _read_report(report), facts) or host_target(facts)
    if target is None:
        raise InputError("No GPU to suggest for", "this machine has no working GPU", 'name one: --gpu "GTX 1060"')
    suggestions = suggest(target, site=session.site)
    if as_json:
        output.print_json({"target": target, "suggestions": suggestions})
        return
    for suggestion in suggestions:
        for name, value in output.plain(suggestion).items():
            if name not in ("preset", "reasons") and value:
                output.print_line(f"{name}: {value}")
        for reason in suggestion.reasons:
            output.print_line(f"  {reason}")
        click.echo()


@preset_command.command("schema")
@json_option
def schema(as_json: bool) -> None:  # noqa: ARG001 - it is JSON either way
    """Print the JSON Schema of preset files."""
    from core.presets.schema import schema_text

    click.echo(schema_text(), nl=False)
