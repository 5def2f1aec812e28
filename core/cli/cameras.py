"""`xaiva camera`: the cameras of the running inference service."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.cli import output
from core.cli.camera_options import camera_options, camera_request
from core.cli.name_completion import cameras, complete
from core.cli.service_calls import client, format_number, print_outcome
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Group
from core.errors import os_reason
from core.service_client import text_formats

if TYPE_CHECKING:
    from core.api_schema import CameraStatus, ConnectionTest
    from core.service_client import ServiceClient


@click.group("camera", cls=Group)
def camera_command() -> None:
    """The inference service's cameras (choose the service with xaiva --service NAME)."""


@camera_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the cameras and their current state."""
    cameras = client(session).cameras()
    if as_json:
        output.print_json({"cameras": cameras})
    else:
        _print_cameras(cameras)


@camera_command.command("show")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@json_option
@click.pass_obj
def show(session: CliSession, identifier: str, as_json: bool) -> None:
    """Show a camera's state and settings."""
    service = client(session)
    status, settings = service.camera(identifier), service.camera_settings(identifier)
    if as_json:
        output.print_json({"camera": status, "settings": settings})
        return
    _print_cameras([status])
    for name, value in output.plain(settings).items():
        output.print_line(f"  {name}: {value}")


@camera_command.command("add")
@click.argument("identifier", metavar="ID")
@click.argument("source")
@camera_options
@json_option
@click.pass_obj
def add(session: CliSession, /, identifier: str, source: str, as_json: bool, **options: Any) -> None:
    """Add a camera: an RTSP or HTTP address, a device, or a file inside the container."""
    _print_camera(client(session).add_camera(camera_request(options, id=identifier, source=source)), "added", as_json)


@camera_command.command("edit")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.option("--source", help="A new address; *** in it keeps the hidden login, if the host is the same.")
@camera_options
@json_option
@click.pass_obj
def edit(session: CliSession, /, identifier: str, as_json: bool, **options: Any) -> None:
    """Change the named settings; the others stay."""
    service = client(session)
    request = camera_request(options, service.camera_settings(identifier))
    _print_camera(service.update_camera(request), "changed", as_json)


@camera_command.command("remove")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@yes_option
@json_option
@click.pass_obj
def remove(session: CliSession, identifier: str, yes: bool, as_json: bool) -> None:
    """Remove a camera. Its events stay."""
    confirm(f"Remove the camera {identifier}?", yes)
    client(session).remove_camera(identifier)
    print_outcome(identifier, "removed", as_json)


@camera_command.command("start")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@json_option
@click.pass_obj
def start(session: CliSession, identifier: str, as_json: bool) -> None:
    """Start a stopped or failed camera."""
    _print_camera(client(session).start_camera(identifier), "started", as_json)


@camera_command.command("stop")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@json_option
@click.pass_obj
def stop(session: CliSession, identifier: str, as_json: bool) -> None:
    """Stop a camera. It stays in the list."""
    _print_camera(client(session).stop_camera(identifier), "stopped", as_json)


@camera_command.command("restart")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@json_option
@click.pass_obj
def restart(session: CliSession, identifier: str, as_json: bool) -> None:
    """Reconnect a camera."""
    _print_camera(client(session).restart_camera(identifier), "restarted", as_json)


@camera_command.command("learn")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.option("--minutes", type=float, default=10, show_default=True, help="How long to learn; 0 cancels learning.")
@json_option
@click.pass_obj
def learn(session: CliSession, identifier: str, minutes: float, as_json: bool) -> None:
    """Learn what is normal for a camera, then score by that.

    Learning sets the detector to “memory” and its threshold to 0.5; change both with `camera edit`.
    """
    outcome = f"learning for {minutes:g} min; {text_formats.LEARNING_EFFECT}" if minutes else "learning cancelled"
    _print_camera(client(session).learn(identifier, minutes), outcome, as_json)


@camera_command.command("suspend")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.option("--minutes", type=float, default=60, show_default=True, help="0 resumes notifications.")
@json_option
@click.pass_obj
def suspend(session: CliSession, identifier: str, minutes: float, as_json: bool) -> None:
    """Suspend a camera's notifications for a while. Its events are still recorded."""
    outcome = f"notifications suspended for {minutes:g} min" if minutes else "notifications resumed"
    _print_camera(client(session).suspend(identifier, minutes), outcome, as_json)


@camera_command.command("test")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.argument("source", required=False)
@camera_options
@json_option
@click.pass_obj
def test(session: CliSession, /, identifier: str, source: str | None, as_json: bool, **options: Any) -> int:
    """Test the connection to the camera ID, or to SOURCE before you add it. The exit code is 3 if it fails."""
    service = client(session)
    if source:
        request = camera_request(options, id=identifier, source=source)
    else:
        request = camera_request(options, service.camera_settings(identifier))
    result = service.test_camera(request)
    if as_json:
        output.print_json({"test": result})
    else:
        output.print_text(format_connection_test(result))
    return 0 if result.ok else 3


def format_connection_test(result: ConnectionTest) -> str:
    """The result of a connection test as a sentence."""
    if not result.ok:
        return f"it does not work ({result.cause}): {result.reason}"
    if result.snapshot:
        picture = f"{result.width}x{result.height} {result.codec}"
        return f"it works: one picture at a time, {picture}, the first after {result.seconds:.1f} s"
    rate = f"{result.fps:.1f} frames per second" if result.fps else "its rate could not be measured"
    return f"it works: {result.width}x{result.height} {result.codec}, {rate}, first frame after {result.seconds:.1f} s"


@camera_command.command("snapshot")
@click.argument("identifier", metavar="ID", shell_complete=complete(cameras))
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@json_option
@click.pass_obj
def snapshot(session: CliSession, identifier: str, target: Path, as_json: bool) -> None:
    """Save the newest picture as JPEG; - is standard output."""
    save_picture(lambda service: service.snapshot(identifier), session, target, as_json)


def save_picture(fetch: Callable[[ServiceClient], bytes], session: CliSession, target: Path, as_json: bool) -> None:
    """Save a picture of the service in a file. Raises InputError if it cannot be written."""
    from core.errors import InputError
    from core.files import write_atomic

    picture = fetch(client(session))
    if str(target) == "-":
        sys.stdout.buffer.write(picture)
        return
    try:
        write_atomic(target, picture)
    except OSError as error:
        raise InputError(f"{target}", f"it cannot be written: {os_reason(error)}", "name another file") from error
    print_outcome(str(target), output.size(len(picture)), as_json, file=str(target), bytes=len(picture))


@camera_command.command("watch")
@json_option
@click.pass_obj
def watch(session: CliSession, as_json: bool) -> None:
    """Watch the cameras until Ctrl-C. With --json, each status is one line."""
    for status in client(session).stream():
        if as_json:
            output.print_json(status, one_line=True)
        else:
            _print_cameras(status.cameras)
            click.echo()


def _print_camera(camera: CameraStatus, what: str, as_json: bool) -> None:
    state = f"{camera.state.word} ({camera.reason})" if camera.reason else camera.state.word
    print_outcome(camera.id, f"{what}; it is {state}", as_json, camera=camera)


def _print_cameras(cameras: list[CameraStatus]) -> None:
    output.print_table(
        ("ID", "STATE", "FPS", "SCORED", "AGE", "LATENCY", "P99", "SCORE", "AT", "DROPPED", "MODEL", "WHY"),
        (
            (
                camera.id or "?",
                camera.state.word,
                f"{camera.fps:.1f}",
                f"{camera.processed_fps:.1f}",
                format_number(camera.last_frame_age, "s"),
                format_number(camera.latency, "s"),
                format_number(camera.latency_p99, "s"),
                format_number(camera.score),
                format_number(camera.threshold),
                camera.dropped,
                camera.model or "-",
                _problems(camera),
            )
            for camera in cameras
        ),
        "no cameras, or none that you may see",
    )


def _problems(camera: CameraStatus) -> str:
    """All problems of a camera as text; empty: there are none."""
    retry = ""
    if camera.retry_in is not None:
        retry = f"; next attempt in {camera.retry_in:.0f} s, or now with: xaiva camera restart {camera.id}"
    words = [
        "" if camera.scheduled else "off schedule",
        f"{camera.reason}{retry}",
        camera.error,
        *(f"{alert.kind.word}: {alert.reason}" for alert in camera.alerts),
    ]
    if camera.learning is not None:
        share = camera.learning.done / camera.learning.wanted if camera.learning.wanted else 0
        words.append(camera.learning.error or f"learning, {share:.0%}")
    if camera.unreadable:
        words.append(f"the service's answer cannot be read: {camera.unreadable}")
    return "; ".join(word for word in words if word)
