"""The options of `xaiva camera add`, `edit` and `test`: every setting of a camera; None if it is not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from core.cli.session import PRIORITY, option_group

if TYPE_CHECKING:
    from core.api_schema import CameraRequest

_DETECTION = ("detector", "model", "product", "threshold", "release", "minimum_seconds", "cooldown")
camera_options = option_group(
    click.option("--name", help="The display name (default: the id)."),
    click.option("--enabled/--disabled", default=None, help="Whether the service connects to it."),
    click.option("--fps", type=float, help="Maximum number of frames scored per second (default 5)."),
    click.option("--timeout", type=float, help="Seconds to wait for a connection and for a frame (default 5)."),
    click.option("--transport", type=click.Choice(["tcp", "udp"]), help="The transport protocol of RTSP."),
    click.option("--loop/--once", default=None, help="For a file: loop it, or play it once."),
    click.option(
        "--poll-interval", type=float, help="For a camera that sends single pictures: seconds between two (default 1)."
    ),
    click.option("--detector", help="motion, memory or onnx."),
    click.option("--model", help="The model file for the onnx detector, in the models folder."),
    click.option(
        "--product", help='The product whose memory bank the memory detector uses, or "" for the camera\'s own.'
    ),
    click.option("--threshold", type=float, help="An anomaly starts at this score, 0 to 1."),
    click.option("--release", type=float, help="It ends below this score (default: 0.8 of the threshold)."),
    click.option("--minimum-seconds", type=float, help="How long the score must stay above or below."),
    click.option("--cooldown", type=float, help="Seconds before the next anomaly can start."),
    click.option(
        "--zone", "zones", multiple=True, metavar="NAME:x,y …", help="Watch only this part of the picture (repeatable)."
    ),
    click.option(
        "--mask", "masks", multiple=True, metavar="x,y …", help="Ignore this part of the picture (repeatable)."
    ),
    click.option("--no-zones", is_flag=True, help="Watch the whole picture again."),
    click.option("--no-masks", is_flag=True, help="Remove all masks."),
    click.option("--schedule", metavar="WINDOWS", help='When to watch: "mo-fr 18:00-06:00; sa,su", or "" for always.'),
    click.option("--pre-roll", type=float, help="Seconds of the clip before the anomaly starts."),
    click.option("--post-roll", type=float, help="Seconds of the clip after it ends."),
    click.option("--longest-clip", type=float, help="Maximum length of a clip in seconds."),
    click.option("--priority", type=PRIORITY, help="The priority of its events."),
    click.option("--analyse/--no-analyse", default=None, help="Whether to send its events to the analyser."),
    click.option("--flow", help="The flow that handles its events."),
)


def camera_request(options: Mapping[str, Any], base: CameraRequest | None = None, **fixed: str) -> CameraRequest:
    """Build a camera from the options, starting from `base`. Raises InputError."""
    from core.api_schema import CameraRequest
    from core.service_client import text_formats

    fields: dict[str, Any] = base.model_dump() if base else {}
    set_by_hand = {name: value for name, value in options.items() if value is not None and name in _TOP_LEVEL}
    detection = {name: options[name] for name in _DETECTION if options[name] is not None}
    if options["threshold"] is not None and options["release"] is None:
        detection["release"] = None  # it follows the new threshold
    fields |= {**set_by_hand, **fixed, "detection": {**fields.get("detection", {}), **detection}}
    if options["zones"] or options["no_zones"]:
        fields["zones"] = tuple(text_formats.parse_zone(text) for text in options["zones"])
    if options["masks"] or options["no_masks"]:
        fields["masks"] = tuple(text_formats.parse_polygon(text) for text in options["masks"])
    if options["schedule"] is not None:
        fields["schedule"] = text_formats.parse_schedule(options["schedule"])
    return text_formats.build_request(CameraRequest, fields)


_TOP_LEVEL = (
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
