"""`xaiva camera`: the cameras of the running inference service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import Session, confirm, json_option, yes_option

if TYPE_CHECKING:
    from core.inference.schemas import CameraStatus
    from core.service_client import ServiceClient


@click.group("camera")
def camera_command() -> None:
    """The inference service's cameras (its address: site.toml, [service] url)."""


def _client(session: Session) -> ServiceClient:
    from core.service_client import ServiceClient

    return ServiceClient.of(session.site, 5)


@camera_command.command("list")
@json_option
@click.pass_obj
def list_command(session: Session, as_json: bool) -> None:
    """Every camera as it is now."""
    status = _client(session).status()
    if as_json:
        output.print_json({"cameras": status.cameras})
    else:
        _table(status.cameras)


@camera_command.command("add")
@click.argument("identifier", metavar="ID")
@click.argument("source")
@click.option("--name", default="", help="For people (default: the id).")
@json_option
@click.pass_obj
def add(session: Session, identifier: str, source: str, name: str, as_json: bool) -> None:
    """Add a camera: an RTSP address or a file inside the container."""
    from core.inference.schemas import CameraRequest

    _client(session).add_camera(CameraRequest(id=identifier, source=source, name=name))
    _said(identifier, "added", as_json)


@camera_command.command("remove")
@click.argument("identifier", metavar="ID")
@yes_option
@json_option
@click.pass_obj
def remove(session: Session, identifier: str, yes: bool, as_json: bool) -> None:
    """Stop and forget a camera."""
    confirm(f"Remove the camera {identifier}?", yes)
    _client(session).remove_camera(identifier)
    _said(identifier, "removed", as_json)


@camera_command.command("watch")
@json_option
@click.pass_obj
def watch(session: Session, as_json: bool) -> None:
    """The cameras live, until Ctrl-C. With --json every status is one line."""
    for status in _client(session).stream():
        if as_json:
            output.print_json(status, one_line=True)
        else:
            _table(status.cameras)
            click.echo()


def _said(identifier: str, what: str, as_json: bool) -> None:
    if as_json:
        output.print_json({"camera": identifier, "state": what})
    else:
        click.echo(f"{identifier}: {what}")


def _table(cameras: list[CameraStatus]) -> None:
    output.print_table(
        ("ID", "STATE", "FPS", "SCORED", "AGE", "LATENCY", "SCORE", "DROPPED", "WHY"),
        (
            (
                camera.id,
                camera.state.value,
                f"{camera.fps:.1f}",
                f"{camera.processed_fps:.1f}",
                _number(camera.last_frame_age, "s"),
                _number(camera.latency, "s"),
                _number(camera.score, ""),
                camera.dropped,
                camera.reason,
            )
            for camera in cameras
        ),
    )


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.2f} {unit}".rstrip()
