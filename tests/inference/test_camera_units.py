"""The small parts of a camera, without a stream: addresses, ladder, life, sampling, motion."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from core.api_schema import CameraRequest, CameraState
from core.api_schema.sources import normalised_source
from core.errors import InputError
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.connection_state import ConnectionStateMachine
from core.inference.cameras.failures import Cause, Failure
from core.inference.cameras.frames import FrameSampler
from core.inference.cameras.restart_budget import CameraTimes, RestartBudget
from core.inference.cameras.source_address import parse_source
from core.inference.log_setup import RedactingFormatter
from core.inference.models.detector import Picture, Sample
from core.inference.models.motion_detector import MotionDetector
from core.inference.startup_cameras import merge_cameras, read_camera_file
from core.redaction import redact_text

LOST = Failure(Cause.END, "the stream ended")


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://u:hidden@h:554/x",
        "rtsps://u:hidden@[::1]/x?y=1",
        "rtsp://u:hid%40den-hidden@h/x",
        "rtsp://h/x?user=admin&password=hidden",
        "rtsp://u:a@hidden@h/x",
        "rtsp://u:hid/den@h/x",
    ],
)
def test_an_address_never_shows_its_password(source: str) -> None:
    address = parse_source(source)
    assert address.url == normalised_source(source)
    assert "hidden" not in address.redacted + repr(address) + redact_text(f"cannot open '{source}'")
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "lost %s", (source,), None)
    assert "hidden" not in RedactingFormatter("%(message)s").format(record)


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://u:12/hidden@h/x",
        "rtsp://",
        "rtsp://h:hidden/x",
        "gopher://h/hidden",
        "udp://hidden",
        "rtsp://h a/hid",
        "rtsp://u:hid/den@h d/x",
    ],
)
def test_a_source_that_cannot_be_one_is_refused_without_repeating_it(source: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_source(source)
    assert "hid" not in str(caught.value)


def test_the_ladder() -> None:
    delays = [Backoff().delay(failures) for failures in range(1, 23)]
    assert delays == [1] * 5 + [5] * 5 + [10] * 10 + [60] * 2


def test_a_life_goes_round_and_a_stale_token_changes_nothing() -> None:
    life = ConnectionStateMachine(Backoff(stable_seconds=0))
    old = life.start()
    assert old is not None
    assert life.start() is None
    assert not life.retry(old)
    assert life.connected(old)
    assert life.failed(old, LOST) == 1
    assert life.current.state is CameraState.DISCONNECTED
    assert life.retry(old)
    assert life.current.failure == LOST
    life.stop()
    new = life.start()
    assert new is not None
    assert not life.connected(old)
    assert life.failed(old, LOST) is None
    assert life.current.state is CameraState.CONNECTING
    assert life.connected(new)


def test_what_the_watch_saw_first_is_what_is_told() -> None:
    life = ConnectionStateMachine(Backoff())
    token = life.start()
    assert token is not None
    connecting = life.current
    life.connected(token)
    life.stalled(connecting, LOST)  # what it saw is over
    assert life.current.state is CameraState.LIVE
    life.stalled(life.current, Failure(Cause.TIMEOUT, "no frame"))
    assert not life.connected(token)
    assert life.failed(token, LOST) == 1
    assert life.current.failure == Failure(Cause.TIMEOUT, "no frame")
    assert life.current.retry_at is not None


def test_since_when_a_camera_has_no_picture_outlives_every_try(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count(1)
    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))
    life = ConnectionStateMachine(Backoff())
    token = life.start()
    assert token is not None
    begun = life.current.since
    life.failed(token, LOST)
    assert life.current.since == begun
    life.retry(token)
    assert life.current.since == begun
    life.connected(token)
    live = life.current.since
    assert live > begun
    life.failed(token, LOST)
    lost = life.current.since
    assert lost > live
    life.retry(token)
    life.failed(token, LOST)
    assert life.current.since == lost
    life.stop()
    assert life.current.since > lost


def test_a_camera_that_flaps_climbs_the_ladder_and_a_steady_one_starts_again() -> None:
    for steady, last in ((1000, 5), (0, 1)):
        life = ConnectionStateMachine(Backoff(stable_seconds=steady))
        token = life.start()
        assert token is not None
        delays = []
        for _ in range(6):
            life.connected(token)
            delays.append(life.failed(token, LOST))
            life.retry(token)
        assert delays[-1] == last


def test_the_ladder_starts_again_also_when_the_watch_saw_the_loss() -> None:
    life = ConnectionStateMachine(Backoff(stable_seconds=0))
    token = life.start()
    assert token is not None
    for _ in range(7):
        last = life.failed(token, LOST)
        life.retry(token)
    assert last == 5
    life.connected(token)
    life.stalled(life.current, Failure(Cause.TIMEOUT, "no frame"))
    assert life.failed(token, LOST) == 1


def test_sampling_keeps_the_rate_over_jitter() -> None:
    sampler = FrameSampler(5)
    jitter = [0.0, 0.02, -0.02, 0.01, -0.01]
    due = [sampler.due(100 + index / 25 + jitter[index % 5]) for index in range(25 * 20)]
    assert 98 <= sum(due) <= 102
    every = FrameSampler(10)
    assert all(every.due(100 + index / 10 + jitter[index % 5]) for index in range(100))


def test_motion_counts_and_light_does_not() -> None:
    detector = MotionDetector()

    def score(picture: Picture, at: float) -> float:
        return detector.score([Sample("gate", picture, at)])[0]

    noise = np.random.default_rng(1)
    still = noise.integers(60, 120, (90, 160)).astype(np.uint8)
    assert score(still, 0.0) == 0
    assert score(still + np.uint8(60), 0.2) < 0.01
    moved = still.copy()
    moved[20:50, 40:60] = 250
    assert score(moved, 0.4) > 0.4
    detector.forget("gate")
    assert score(moved, 0.6) == 0


def test_a_file_of_cameras_is_read_and_a_later_source_wins(tmp_path: Path) -> None:
    file = tmp_path / "cameras.json"
    file.write_text(json.dumps({"cameras": [{"id": "a", "source": "/x.mp4"}, {"id": "b", "source": "/y.mp4"}]}))
    cameras = merge_cameras(read_camera_file(file), [CameraRequest(id="b", source="/z.mp4")])
    assert [(camera.id, camera.source) for camera in cameras] == [("a", "/x.mp4"), ("b", "/z.mp4")]
    for text, field in (('{"cameras": [{"id": "a", "url": "hidden"}]}', r"cameras\[0\]\."), ("{", "line 1")):
        file.write_text(text)
        with pytest.raises(InputError, match=field) as caught:
            read_camera_file(file)
        assert "hidden" not in str(caught.value)


def test_the_client_needs_nothing_of_the_service_but_its_words() -> None:
    code = (
        "import sys, core.service_client; print([m for m in ('av', 'fastapi', 'numpy', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_restarts_come_later_and_later_until_the_budget_is_used_up() -> None:
    budget = RestartBudget(CameraTimes(restart_delays=(1, 5), restart_memory=100))
    assert [budget.failed(now) for now in (0, 10)] == [1, 5]
    assert (budget.due, budget.take_due(14), budget.take_due(15), budget.due) == (15, False, True, None)
    assert (budget.failed(20), budget.due) == (None, None)
    assert (budget.failed(105), budget.count) == (5, 3)  # the first one no longer counts
    budget.reset()
    assert (budget.due, budget.failed(106), budget.count) == (None, 1, 4)
