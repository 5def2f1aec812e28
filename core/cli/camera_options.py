"""The options of `xaiva camera add`, `edit` and `test`: every setting of a camera, None where it is not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from core.cli.session import Command

if TYPE_CHECKING:
    from core.inference.schemas import CameraRequest

_DETECTION = ("detector", "model", "threshold", "release", "minimum_seconds", "cooldown")
_OPTIONS = (
    click.option("--name", help="For people (default: the id)."),
    click.option("--enabled/--disabled", default=None, help="Whether the service reads it."),
    click.option("--fps", type=float, help="Frames a second that are scored at most (default 5)."),
    click.option("--timeout", type=float, help="Seconds for connecting and for a frame (default 5)."),
    click.option("--transport", type=click.Choice(["tcp", "udp"]), help="How RTSP carries the pictures."),
    click.option("--loop/--once", default=None, help="A file: again and again, or once."),
    click.option("--poll-interval", type=float, help="A camera of single pictures: seconds between two (default 1)."),
    click.option("--detector", help="motion, memory or onnx."),
    click.option("--model", help="The model file of the detector onnx, under the models folder."),
    click.option("--threshold", type=float, help="Score from which on it is an anomaly, 0 to 1."),
    click.option("--release", type=float, help="Score below which it ends (default: 0.8 of the threshold)."),
    click.option("--minimum-seconds", type=float, help="How long it must last."),
    click.option("--cooldown", type=float, help="Seconds before the next one."),
    click.option("--zone", "zones", multiple=True, metavar="NAME:x,y …", help="A part that alone is watched."),
    click.option("--mask", "masks", multiple=True, metavar="x,y …", help="A part that is not watched."),
    click.option("--no-zones", is_flag=True, help="Watch everything again."),
    click.option("--no-masks", is_flag=True, help="Take all masks away."),
    click.option(
        "--schedule", metavar="WINDOWS", help='When it is watched: "mo-fr 18:00-06:00; sa,su", "" for always.'
    ),
    click.option("--pre-roll", type=float, help="Seconds of the clip before the anomaly."),
    click.option("--post-roll", type=float, help="Seconds of the clip after it."),
    click.option("--longest-clip", type=float, help="Seconds of a clip at most."),
    click.option("--priority", type=click.Choice(["low", "normal", "high", "critical"]), help="Of its events."),
    click.option("--analyse/--no-analyse", default=None, help="Whether the analyser is asked."),
    click.option("--flow", help="What is done about an event."),
)


def camera_options(command: Command) -> Command:
    """All of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def camera_request(given: Mapping[str, Any], base: CameraRequest | None = None, **fixed: str) -> CameraRequest:
    """The camera that the options describe, over what it was. Raises InputError."""
    from core.inference.schemas import CameraRequest
    from core.service_client import notation

    fields: dict[str, Any] = base.model_dump() if base else {}
    set_by_hand = {name: value for name, value in given.items() if value is not None and name in _PLAIN}
    detection = {name: given[name] for name in _DETECTION if given[name] is not None}
    if given["threshold"] is not None and given["release"] is None:
        detection["release"] = None  # it follows the threshold
    fields |= {**set_by_hand, **fixed, "detection": {**fields.get("detection", {}), **detection}}
    if given["zones"] or given["no_zones"]:
        fields["zones"] = tuple(notation.zone(text) for text in given["zones"])
    if given["masks"] or given["no_masks"]:
        fields["masks"] = tuple(notation.polygon(text) for text in given["masks"])
    if given["schedule"] is not None:
        fields["schedule"] = notation.schedule(given["schedule"])
    return notation.build(CameraRequest, fields)


_PLAIN = (
    "name",
    "source",
    "enabled",
    "fps",
    "timeout",
    "transport",
    "loop",
    "poll_interval",
    "pre_roll",
    "post_roll",
    "longest_clip",
    "priority",
    "analyse",
    "flow",
)
