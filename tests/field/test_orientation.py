"""A camera mounted on its side: the picture is upright for one viewer and lying for another.

Applies to everybody who sees a picture: snapshots, zones, detectors, sizes, and players of clips.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from core.api_schema import CameraRequest, CameraState
from core.inference.cameras.manager import MultiCameraManager
from tests.inference.conftest import Add, RecordingObserver
from tests.support import require, rtsp, until

pytestmark = pytest.mark.media

# name: the display matrix (right, down, right, down), and where the white quarter of the upper left corner is seen
SIDES = {
    "upright": ((1, 0, 0, 1), "upper left"),
    "a quarter turn right": ((0, 1, -1, 0), "upper right"),
    "upside down": ((-1, 0, 0, -1), "lower right"),
    "a quarter turn left": ((0, -1, 1, 0), "lower left"),
    "mirrored": ((-1, 0, 0, 1), "upper right"),
    "mirrored upside down": ((1, 0, 0, -1), "lower left"),
    "mirrored on its side": ((0, 1, 1, 0), "upper left"),
    "mirrored on its other side": ((0, -1, -1, 0), "lower right"),
}


def on_its_side(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """A film, 320 x 180, whose upper left quarter is white, with that matrix in its track's header."""
    picture = [
        "-f",
        "lavfi",
        "-i",
        "color=black:size=320x180:rate=10:duration=2",
        "-vf",
        "drawbox=0:0:160:90:white:fill",
    ]
    command = ["ffmpeg", "-v", "error", "-y", *picture, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "10"]
    subprocess.run([*command, "-threads", "1", str(path)], check=True)
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    place = header + 4 + 40  # version 0: forty bytes of times, identity, layer and volume before it
    right_right, right_down, down_right, down_down = (value << 16 for value in matrix)
    for index, value in enumerate((right_right, right_down, 0, down_right, down_down, 0, 0, 0, 1 << 30)):
        data[place + 4 * index : place + 4 * index + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path


def white_corner(picture: np.ndarray) -> str:  # type: ignore[type-arg]
    """Which quarter of a grey picture is white."""
    height, width = picture.shape
    rows = {"upper": picture[: height // 2], "lower": picture[height // 2 :]}
    quarters = {
        f"{row} {side}": part
        for row, half in rows.items()
        for side, part in (("left", half[:, : width // 2]), ("right", half[:, width // 2 :]))
    }
    return max(quarters, key=lambda name: float(quarters[name].mean()))


@pytest.mark.parametrize("name", SIDES)
def test_everybody_sees_the_picture_upright(
    name: str, tmp_path: Path, add: Add, manager: MultiCameraManager, witness: RecordingObserver
) -> None:
    require(rtsp.has_ffmpeg(), "ffmpeg")
    matrix, corner = SIDES[name]
    film = on_its_side(tmp_path / "film.mp4", matrix)
    size = (180, 320) if matrix[0] == 0 else (320, 180)
    looks: list[np.ndarray] = []  # type: ignore[type-arg]
    probe = add(str(film), detection={"threshold": 0.0, "minimum_seconds": 0.0}, longest_clip=2)
    manager.add_frame_listener("a", lambda look: looks.append(look.sample(32, 32, "gray").picture))
    status = until(probe, lambda status: status.state is CameraState.LIVE and looks and witness.clips)
    assert (status.width, status.height) == size
    assert white_corner(looks[0]) == corner
    with av.open(io.BytesIO(manager.get("a").snapshot()[0]), format="mjpeg") as container:
        snapshot = next(container.decode(video=0))
    assert (snapshot.width, snapshot.height, snapshot.rotation) == (*size, 0)
    assert white_corner(snapshot.to_ndarray(format="gray")) == corner
    tested = manager.test(CameraRequest(id="x", source=str(film)))
    assert (tested.width, tested.height) == size
    (event,) = witness.clips
    with av.open(str(film)) as before, av.open(str(witness.clip_path(event))) as after:
        first, copied = next(before.decode(video=0)), next(after.decode(video=0))
        assert (copied.width, copied.height, copied.rotation) == (320, 180, first.rotation)
