"""An anomaly at a camera becomes an event with clip, analysis and one message, and is never lost."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from core.api_schema import (
    AnalysisState,
    CameraRequest,
    CameraState,
    Channel,
    ChannelKind,
    Detection,
    Event,
    RuleRequest,
)
from tests.analyser.servers import verdict_answer
from tests.inference.conftest import ServiceProcess, serve
from tests.support import require, rtsp, until
from tests.support.receivers import HttpReceiver

pytestmark = [pytest.mark.camera]

__all__ = ["serve"]  # the fixture

WATCHED = Detection(threshold=0.05, minimum_seconds=0.5, cooldown=2)


def test_an_anomaly_becomes_one_event_with_everything(serve: Callable[..., ServiceProcess], tmp_path: Path) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    with (
        rtsp.RtspServer({"gate": rtsp.Live()}) as server,
        HttpReceiver(lambda _: verdict_answer("person", "Somebody runs.", 0.9)) as model,
        HttpReceiver() as webhook,
    ):
        service = serve(XAIVA_ANALYSER="openai", XAIVA_ANALYSER_URL=model.url, XAIVA_ANALYSER_MODEL="any").ready()
        client = service.client
        client.add_rule(RuleRequest(name="guard", channels=(Channel(kind=ChannelKind.WEBHOOK, to=webhook.url),)))
        camera = CameraRequest(
            id="gate", source=server.url("gate"), detection=WATCHED, pre_roll=1, post_roll=1, longest_clip=4
        )
        client.add_camera(camera)

        def whole(event: Event | None) -> bool:
            return event is not None and event.analysis.state is AnalysisState.DONE and event.clip.state == "done"

        event = until(lambda: next(iter(client.events().events), None), whole)
        assert event is not None
        assert (event.type, event.analysis.description) == ("person", "Somebody runs.")
        assert event.snapshot
        assert client.event_snapshot(event.id).startswith(b"\xff\xd8")
        assert [action.state for action in event.actions] == ["done"]
        assert event.response_time is not None

        clip = client.save_clip(event.id, tmp_path / "clip.mp4")
        with av.open(str(clip)) as container:
            assert sum(1 for _ in container.decode(video=0)) >= 10

        assert [message.json["event"]["id"] for message in webhook.wait(1)] == [event.id]
        assert "password" not in service.log.read_text()

        assert client.acknowledge([event.id], "seen") == 1
        assert client.event(event.id).acknowledged_by
        assert service.stop() == 0


def test_a_killed_service_still_has_its_events(serve: Callable[..., ServiceProcess]) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    with rtsp.RtspServer({"gate": rtsp.Live()}) as server:
        service = serve().ready()
        service.client.add_camera(CameraRequest(id="gate", source=server.url("gate"), detection=WATCHED))
        anomaly = until(lambda: service.client.camera("gate").anomaly, bool)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()

        restarted = serve().ready()
        events = until(
            lambda: restarted.client.events().events, lambda events: any(one.id == anomaly for one in events)
        )
        assert len({one.id for one in events}) == len(events)
        cut_off = until(lambda: restarted.client.event(anomaly), lambda event: event.ended is not None)
        assert cut_off.clip.state in ("done", "failed")
        until(lambda: restarted.client.camera("gate").state, lambda state: state is CameraState.LIVE)
        assert restarted.stop() == 0
