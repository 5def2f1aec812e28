"""Alerts on the view: what is frozen, black or moved; and what only looks so."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from core.api_schema import AlertKind, CameraRequest
from core.inference.cameras.camera import LeaseScorer
from core.inference.cameras.conversion import convert
from core.inference.cameras.tamper_detection import HEIGHT, WIDTH, TamperDetector, TamperTimes
from core.inference.models.detector import Picture
from tests.inference.conftest import Manage, RecordingObserver
from tests.support import require, rtsp, street, until

Rgb = NDArray[np.uint8]
STEP = 0.5
NOISE = np.random.default_rng(3).normal(0, 4, (288, 384, 3))


class WatchedView:
    """A view under watch, half a second a picture."""

    def __init__(self) -> None:
        self.watch = TamperDetector()
        self.at = 0.0
        self.changes: list[tuple[AlertKind, bool]] = []

    def see(self, pictures: Iterable[Picture]) -> set[AlertKind]:
        """Show them; the alerts that stand afterwards."""
        for picture in pictures:
            self.changes += [(alert.kind, active) for alert, active in self.watch.feed_picture(picture, self.at)]
            self.at += STEP
        return {alert.kind for alert in self.watch.alerts}


def small(rgb: Rgb) -> Picture:
    """As the watch sees a frame."""
    return convert(VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p"), WIDTH, HEIGHT, "gray")


@pytest.fixture(scope="module")
def people() -> list[Rgb]:
    """A street for a minute and a quarter, a picture a second, 384 x 288."""
    require(street.find("vtest.avi"), "the Debian package opencv-doc")
    return [np.ascontiguousarray(rgb[::2, ::2]) for rgb in street.street(0, 79)[::5]]


LIGHT: dict[str, Callable[[Rgb], Rgb]] = {
    "none": lambda rgb: rgb,
    "dark": lambda rgb: (rgb * 0.4).astype(np.uint8),
    "bright": lambda rgb: np.clip(rgb * 1.5 + 20, 0, 255).astype(np.uint8),
    "contrast": lambda rgb: (255 * (rgb / 255.0) ** 2).astype(np.uint8),
    "night": lambda rgb: (rgb * 0.15 + NOISE).clip(0, 255).astype(np.uint8),
    "shadow": lambda rgb: np.where(np.arange(384)[None, :, None] > 150, rgb * 0.4, rgb).astype(np.uint8),
}
MOVES: dict[str, Callable[[Rgb], Rgb]] = {
    "turned": lambda rgb: np.roll(rgb, 20, axis=1),
    "tilted": lambda rgb: np.roll(rgb, 16, axis=0),
    "mirrored": lambda rgb: np.ascontiguousarray(rgb[:, ::-1]),
    "zoomed": lambda rgb: np.kron(rgb[72:216, 96:288], np.ones((2, 2, 1), dtype=np.uint8)),
    "covered": lambda rgb: (rgb % 4) + np.uint8(120),  # with some noise left
    "covered by half": lambda rgb: np.where(np.arange(384)[None, :, None] < 200, np.uint8(90), rgb),
}


@pytest.mark.media
@pytest.mark.parametrize("light", LIGHT)
def test_people_and_light_move_no_view(people: list[Rgb], light: str) -> None:
    watched = WatchedView()
    watched.see(small(rgb) for rgb in people)
    watched.see(small(LIGHT[light](rgb)) for rgb in people)
    assert watched.changes == []


@pytest.mark.media
@pytest.mark.parametrize("move", MOVES)
def test_a_moved_camera_is_told_and_so_is_its_return(people: list[Rgb], move: str) -> None:
    watched = WatchedView()
    watched.see(small(rgb) for rgb in people)
    assert watched.see(small(MOVES[move](rgb)) for rgb in people) == {AlertKind.MOVED}
    assert watched.see(small(rgb) for rgb in people) == set()
    assert watched.changes == [(AlertKind.MOVED, True), (AlertKind.MOVED, False)]


def scene(seed: int) -> Picture:
    """A made-up view with edges everywhere."""
    blocks = np.random.default_rng(seed).integers(30, 220, (9, 16)).astype(np.uint8)
    return np.kron(blocks, np.ones((10, 10), dtype=np.uint8))


def noisy(picture: Picture, count: int, seed: int = 7) -> list[Picture]:
    """The picture with a sensor's noise."""
    noise = np.random.default_rng(seed)
    return [np.clip(picture + noise.normal(0, 0.6, picture.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def test_a_new_view_is_accepted_after_a_while() -> None:
    watched = WatchedView()
    watched.watch = TamperDetector(TamperTimes(accept=60))
    watched.see(noisy(scene(1), 100))
    assert watched.see(noisy(scene(2), 60)) == {AlertKind.MOVED}
    assert watched.see(noisy(scene(2), 120)) == set()


def test_a_passing_vehicle_moves_nothing() -> None:
    watched = WatchedView()
    watched.see(noisy(scene(1), 100))
    lorry = scene(1).copy()
    lorry[:, :110] = 128
    watched.see(noisy(lorry, 20))  # ten seconds in front of the camera
    watched.see(noisy(scene(1), 40))
    assert watched.changes == []


def test_a_frozen_picture_is_told_though_its_clock_goes_on() -> None:
    watched = WatchedView()
    watched.see(noisy(scene(1), 40))
    frozen = []
    for second in range(80):
        picture = scene(1).copy()
        picture[2:7, 4 * (second % 3) : 4 * (second % 3) + 6] = 255
        frozen.append(picture)
    assert watched.see(frozen) == {AlertKind.FROZEN}
    assert watched.see(noisy(scene(1), 4)) == set()


def test_a_black_picture_is_told_though_a_clock_is_written_into_it() -> None:
    watched = WatchedView()
    watched.see(noisy(scene(1), 40))
    black = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    black[2:7, 5:60] = 250
    assert watched.see(noisy(black, 30)) == {AlertKind.BLACK}
    night = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    night[40:46, 70:76] = 180  # a lamp
    assert watched.see(noisy(night, 4)) == set()


@pytest.mark.camera
def test_a_real_camera_that_shows_one_picture_for_ever(
    lease: LeaseScorer, manage: Manage, witness: RecordingObserver
) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    manager = manage(lease, tamper_times=TamperTimes(frozen=2, black=2))
    with rtsp.RtspServer({"still": rtsp.Live(pattern="smpte75"), "dark": rtsp.Live(pattern="black")}) as server:
        for name in ("still", "dark"):
            manager.add(CameraRequest(id=name, source=server.url(name)))
        until(lambda: set(witness.alerts), lambda alerts: len(alerts) == 2)
        kinds = {status.id: [alert.kind for alert in status.alerts] for status in manager.statuses()}
        assert kinds == {"still": [AlertKind.FROZEN], "dark": [AlertKind.BLACK]}
        assert manager.stop() == []
    assert sorted(witness.alerts) == [
        ("dark", AlertKind.BLACK, False),
        ("dark", AlertKind.BLACK, True),
        ("still", AlertKind.FROZEN, False),
        ("still", AlertKind.FROZEN, True),
    ]
