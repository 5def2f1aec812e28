"""`xaiva camera`: the cameras of the running inference service."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.camera_options import camera_options, camera_request
from core.cli.given_once import Group
from core.cli.names import cameras, complete
from core.cli.service import client, number, say
from core.cli.session import Session, confirm, json_option, yes_option
from core.service_client import notation

if TYPE_CHECKING:
    from core.inference.schemas import CameraStatus, ConnectionTest
    from core.service_client import ServiceClient


@click.group("camera", cls=Group)
def camera_command() -> None:
    """The inference service's cameras (which service: xaiva --service NAME)."""


@camera_command.command("list")
@json_option
@click.pass_obj
def list_command(session: Session, as_json: bool) -> None:
    """Every camera as it is now."""
    cameras = client(session).cameras()
    if as_json:
        output.print_json({"cameras": cameras})
    else:
        _table(cameras)


@camera_command.command("show")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@json_option
@click.pass_obj
def show(session: Session, identifier: str, as_json: bool) -> None:
    """One camera: how it is set, and how it is now."""
    service = client(session)
    status, settings = service.camera(identifier), service.camera_settings(identifier)
    if as_json:
        output.print_json({"camera": status, "settings": settings})
        return
    _table([status])
    for name, value in output.plain(settings).items():
        output.print_line(f"  {name}: {value}")


@camera_command.command("add")
@click.argument("identifier", metavar="ID")
@click.argument("source")
@camera_options
@json_option
@click.pass_obj
def add(session: Session, /, identifier: str, source: str, as_json: bool, **given: Any) -> None:
    """Add a camera: an RTSP or HTTP address, a device, or a file inside the container."""
    _said(client(session).add_camera(camera_request(given, id=identifier, source=source)), "added", as_json)


@camera_command.command("edit")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.option("--source", help="Another address; *** in it keeps what is hidden, for the same host.")
@camera_options
@json_option
@click.pass_obj
def edit(session: Session, /, identifier: str, as_json: bool, **given: Any) -> None:
    """Change what is named; everything else stays."""
    service = client(session)
    request = camera_request(given, service.camera_settings(identifier))
    _said(service.update_camera(request), "changed", as_json)


@camera_command.command("remove")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@yes_option
@json_option
@click.pass_obj
def remove(session: Session, identifier: str, yes: bool, as_json: bool) -> None:
    """Stop and forget a camera; its events stay."""
    confirm(f"Remove the camera {identifier}?", yes)
    client(session).remove_camera(identifier)
    say(identifier, "removed", as_json)


@camera_command.command("start")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@json_option
@click.pass_obj
def start(session: Session, identifier: str, as_json: bool) -> None:
    """Start a stopped or failed camera."""
    _said(client(session).start_camera(identifier), "started", as_json)


@camera_command.command("stop")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@json_option
@click.pass_obj
def stop(session: Session, identifier: str, as_json: bool) -> None:
    """Stop a camera; it stays in the list."""
    _said(client(session).stop_camera(identifier), "stopped", as_json)


@camera_command.command("restart")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@json_option
@click.pass_obj
def restart(session: Session, identifier: str, as_json: bool) -> None:
    """Connect again."""
    _said(client(session).restart_camera(identifier), "restarted", as_json)


@camera_command.command("learn")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.option("--minutes", type=float, default=10, show_default=True, help="Of normal pictures; 0 ends it.")
@json_option
@click.pass_obj
def learn(session: Session, identifier: str, minutes: float, as_json: bool) -> None:
    """Learn the camera's normal pictures, then score with what was learned.

    The detector is “memory” from then on and its threshold 0.5, whatever is set now; `camera edit` sets both.
    """
    said = f"learns for {minutes:g} min; {notation.LEARNED}" if minutes else "is not learned any more"
    _said(client(session).learn(identifier, minutes), said, as_json)


@camera_command.command("suspend")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.option("--minutes", type=float, default=60, show_default=True, help="0 ends it.")
@json_option
@click.pass_obj
def suspend(session: Session, identifier: str, minutes: float, as_json: bool) -> None:
    """Send no notifications of this camera for a while; events are kept all the same."""
    said = f"no notifications for {minutes:g} min" if minutes else "notifications again"
    _said(client(session).suspend(identifier, minutes), said, as_json)


@camera_command.command("test")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.argument("source", required=False)
@camera_options
@json_option
@click.pass_obj
def test(session: Session, /, identifier: str, source: str | None, as_json: bool, **given: Any) -> int:
    """Try to connect: to the camera ID, or to SOURCE before it becomes one. Ends with 3 when it does not work."""
    service = client(session)
    if source:
        request = camera_request(given, id=identifier, source=source)
    else:
        request = camera_request(given, service.camera_settings(identifier))
    found = service.test_camera(request)
    if as_json:
        output.print_json({"test": found})
    else:
        output.print_text(test_words(found))
    return 0 if found.ok else 3


def test_words(found: ConnectionTest) -> str:
    """What a connection test found, as a sentence."""
    if not found.ok:
        return f"it does not work ({found.cause}): {found.reason}"
    if found.snapshot:
        picture = f"{found.width}x{found.height} {found.codec}"
        return f"it works: one picture at a time, {picture}, the first after {found.seconds:.1f} s"
    rate = f"{found.fps:.1f} frames a second" if found.fps else "its rate could not be measured"
    return f"it works: {found.width}x{found.height} {found.codec}, {rate}, the first frame after {found.seconds:.1f} s"


@camera_command.command("snapshot")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@json_option
@click.pass_obj
def snapshot(session: Session, identifier: str, target: Path, as_json: bool) -> None:
    """Save the newest picture as JPEG; - is the standard output."""
    save_picture(lambda service: service.snapshot(identifier), session, target, as_json)


def save_picture(ask: Callable[[ServiceClient], bytes], session: Session, target: Path, as_json: bool) -> None:
    """A picture of the service into a file, whole or not at all. Raises InputError when it cannot be written."""
    from core.errors import InputError
    from core.files import write_atomic

    picture = ask(client(session))
    if str(target) == "-":
        sys.stdout.buffer.write(picture)
        return
    try:
        write_atomic(target, picture)
    except OSError as error:
        raise InputError(f"{target}", f"it cannot be written: {error.strerror}", "name another file") from error
    say(str(target), output.size(len(picture)), as_json, file=str(target), bytes=len(picture))


@camera_command.command("watch")
@json_option
@click.pass_obj
def watch(session: Session, as_json: bool) -> None:
    """The cameras live, until Ctrl-C. With --json every status is one line."""
    for status in client(session).stream():
        if as_json:
            output.print_json(status, one_line=True)
        else:
            _table(status.cameras)
            click.echo()


def _said(camera: CameraStatus, what: str, as_json: bool) -> None:
    state = f"{camera.state.word} ({camera.reason})" if camera.reason else camera.state.word
    say(camera.id, f"{what}; it is {state}", as_json, camera=camera)


def _table(cameras: list[CameraStatus]) -> None:
    output.print_table(
        ("ID", "STATE", "FPS", "SCORED", "AGE", "LATENCY", "P99", "SCORE", "AT", "DROPPED", "MODEL", "WHY"),
        (
            (
                camera.id or "?",
                camera.state.word,
                f"{camera.fps:.1f}",
                f"{camera.processed_fps:.1f}",
                number(camera.last_frame_age, "s"),
                number(camera.latency, "s"),
                number(camera.latency_p99, "s"),
                number(camera.score),
                number(camera.threshold),
                camera.dropped,
                camera.model or "-",
                _why(camera),
            )
            for camera in cameras
        ),
        "no camera that you may see",
    )


def _why(camera: CameraStatus) -> str:
    """Everything that is not as it should be."""
    again = ""
    if camera.retry_in is not None:
        again = f"; next try in {camera.retry_in:.0f} s, at once with: xaiva camera restart {camera.id}"
    words = [
        "" if camera.scheduled else "off schedule",
        f"{camera.reason}{again}",
        camera.error,
        *(f"{alert.kind.word}: {alert.reason}" for alert in camera.alerts),
    ]
    if camera.learning is not None:
        share = camera.learning.done / camera.learning.wanted if camera.learning.wanted else 0
        words.append(camera.learning.error or f"learning, {share:.0%}")
    if camera.unreadable:
        words.append(f"the service's answer cannot be read: {camera.unreadable}")
    return "; ".join(word for word in words if word)
