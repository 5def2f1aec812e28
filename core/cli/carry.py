"""`xaiva pack`, `unpack`, `medium`, `rehearse`: shipments on a USB stick, in a folder or over ssh."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.follow import operation_options, run_operation
from core.cli.session import CliSession, PresetName, json_option, preset_argument
from core.cli.single_use_options import Command, Group

if TYPE_CHECKING:
    from core.carry.pack_plan import PackPlan

_TRUST = click.option(
    "--trust",
    metavar="FINGERPRINT",
    default="",
    help="Trust the key with this fingerprint, which you compared with the paper from the office.",
)


@click.command("pack", cls=Command)
@click.argument("medium")
@click.option(
    "--preset", "presets", multiple=True, required=True, type=PresetName(), help="A preset to carry; may be repeated."
)
@click.option("--images", is_flag=True, help="Also carry their built images, so that the site need not build.")
@click.option(
    "--for",
    "report",
    type=click.Path(exists=True, dir_okay=False),
    help="The report of the site it is for: what that site has is left out.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be written, and write nothing.")
@operation_options
@click.pass_obj
def pack_command(
    session: CliSession,
    medium: str,
    presets: tuple[str, ...],
    images: bool,
    report: str | None,
    only_plan: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Pack presets, their artifacts and xaiva itself onto MEDIUM: where a USB stick is mounted, a folder, or ssh://….

    The shipment is signed and read back. Run the same command again after an interruption: it goes on.
    """
    medium = _absolute(medium)
    options: dict[str, Any] = {"presets": list(presets), "images": images}
    options |= {"report": os.path.abspath(report)} if report else {}
    if only_plan:
        from core.carry.pack import plan_pack

        plan = plan_pack(session.site, medium, options)
        if as_json:
            output.print_json({"medium": medium, "plan": plan})
        else:
            print_plan(plan)
        return
    run_operation(session, "pack", medium, options, detach=detach, as_json=as_json, key=f"medium:{medium}")


def print_plan(plan: PackPlan) -> None:
    """Print what a pack would write."""
    output.print_line(plan.medium)
    for group in plan.groups:
        amounts = f"{group.files:>7} files  {output.size(group.bytes):>10}  new {output.size(group.new_bytes):>10}"
        output.print_line(f"  {group.name:<40}{amounts}")
    rows = [
        ("all files", plan.bytes),
        ("equal ones stored once", plan.unique_bytes),
        ("already on the medium", plan.present_bytes),
        ("the site has already", plan.at_site_bytes),
    ]
    for what, size in rows:
        if size:
            click.echo(f"  {what:<56}{output.size(size):>10}")
    free = "an unknown amount" if plan.free_bytes is None else output.size(plan.free_bytes)
    click.echo(f"  needs {output.size(plan.needed_bytes)} of {free} free{'' if plan.fits else ': it does not fit'}")
    for shipment in plan.shipments:
        click.echo(f"  shipment {shipment} is there, and stays")


@click.command("unpack", cls=Command)
@click.argument("medium")
@_TRUST
@click.option("--allow-older", is_flag=True, help="Take it although a newer shipment was unpacked here before.")
@operation_options
@click.pass_obj
def unpack_command(
    session: CliSession, medium: str, trust: str, allow_older: bool, detach: bool, as_json: bool
) -> None:
    """Take the newest shipment of MEDIUM into this site: check every byte, copy what is missing, bring in the images.

    If anything is wrong with the medium, the site stays as it was. Nothing happens when all is here already.
    """
    options = {"trust": trust, "allow_older": allow_older}
    run_operation(session, "unpack", os.path.abspath(medium), options, detach=detach, as_json=as_json, key="unpack")


@click.command("rehearse", cls=Command)
@preset_argument
@click.option("--images", is_flag=True, help="Carry the built image, so that the site need not build.")
@click.option(
    "--medium",
    type=click.Path(exists=True, file_okay=False),
    help="A medium that is packed already, which is only read (default: pack one for the rehearsal).",
)
@operation_options
@click.pass_obj
def rehearse_command(
    session: CliSession, preset: str, images: bool, medium: str | None, detach: bool, as_json: bool
) -> None:
    """Do at the office what the site will do: install from a medium, unpack, verify, check, build and launch PRESET.

    It happens without a network, and without the artifacts, caches and engine of this machine. What would fail there
    is listed. Root is needed for the engine; without it, building and launching are left out, and this is said.
    """
    options: dict[str, Any] = {"images": images}
    options |= {"medium": os.path.abspath(medium)} if medium else {}
    run_operation(session, "rehearse", preset, options, detach=detach, as_json=as_json, key="rehearsal")


@click.group("medium", cls=Group)
def medium_command() -> None:
    """A medium with shipments: what is on it, and whether every byte is right."""


@medium_command.command("check")
@click.argument("medium")
@_TRUST
@operation_options
@click.pass_obj
def medium_check(session: CliSession, medium: str, trust: str, detach: bool, as_json: bool) -> None:
    """Check signature, names and every byte of the newest shipment on MEDIUM, and take nothing."""
    path = os.path.abspath(medium)
    run_operation(session, "check", path, {"trust": trust}, detach=detach, as_json=as_json, key=f"medium:{path}")


@medium_command.command("show")
@click.argument("medium")
@json_option
@click.pass_obj
def medium_show(session: CliSession, medium: str, as_json: bool) -> None:
    """Show the medium and the shipments on it, with who signed them."""
    from pathlib import Path

    from core.carry.medium_contents import describe_shipments

    described = describe_shipments(session.site, Path(medium))
    if as_json:
        output.print_json(described)
        return
    output.print_line(described.medium)
    for shipment in described.shipments:
        output.print_line(f"{shipment.id}  {shipment.state}")
        details: list[tuple[str, Any]] = [
            ("packed", f"{output.moment(shipment.created)} by {shipment.office}" if shipment.created else ""),
            ("presets", ", ".join(shipment.presets)),
            ("images", ", ".join(shipment.images)),
            ("files", f"{shipment.files}, {output.size(shipment.bytes)}" if shipment.files else ""),
            ("key", shipment.signer),
        ]
        for name, value in details:
            if value:
                output.print_line(f"  {name:<9}{value}")


def _absolute(medium: str) -> str:
    return medium if "://" in medium else os.path.abspath(medium)
