"""`kill -9` of the service at a bad moment: after the next start each event was told, analysed, and has an end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import av
from av.video.frame import VideoFrame

from core.api_schema import AnalysisState, Channel, ChannelKind, RuleRequest
from core.inference.events.clips import MP4_OPTIONS
from tests.analyser.servers import verdict_answer
from tests.event_pipeline.conftest import Run
from tests.support.receivers import Answer, HttpReceiver, Received

_VICTIM = """
import json, sys, threading
from pathlib import Path
from tests.event_pipeline.conftest import Run

run = Run(Path(sys.argv[1]), **json.loads(sys.argv[2])).start()
ids = [run.decide() for _ in range(4)]
run.coordinator.clip_path(ids[0]).write_bytes(Path(sys.argv[3]).read_bytes())
run.coordinator.clip_path(ids[1])
run.event(ids[1], lambda event: event.clip.state == "recording")
print(json.dumps(ids), flush=True)
threading.Event().wait()
"""
ROOT = Path(__file__).parent.parent.parent


def half_a_clip(folder: Path) -> Path:
    """What a kill leaves of a recording: whole seconds, and the beginning of one."""
    path = folder / "cut_off.mp4"
    picture = VideoFrame(64, 48, "yuv420p")
    with av.open(str(path), "w", options=MP4_OPTIONS) as container:
        stream = container.add_stream("mpeg4", 10)
        stream.width, stream.height, stream.codec_context.gop_size = 64, 48, 10
        for number in range(30):
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes()[:-200])
    return path


def test_killed_in_the_middle_of_everything(run: Callable[..., Run], tmp_path: Path) -> None:
    """The flow's first step hangs, the analyser hangs; then the power goes."""
    gone = threading.Event()

    def hang(_: Received) -> Answer:
        gone.wait(60)
        return verdict_answer("fire")

    with HttpReceiver(hang) as model, HttpReceiver(hang) as siren, HttpReceiver() as hook:
        steps = [{"kind": "keep_clip"}, {"kind": "webhook", "url": siren.url, "seconds": 30}, {"kind": "notify"}]
        settings = {
            "flows": json.dumps({"default": {"wait": 0.1, "steps": steps}}),
            "analyser": "openai",
            "analyser_url": model.url,
        }
        ops = RuleRequest(name="ops", within=0, channels=(Channel(kind=ChannelKind.WEBHOOK, to=hook.url),))
        first = run(**settings)
        first.rules.add(ops)
        first.stop()
        cut_off = half_a_clip(tmp_path)
        command = [sys.executable, "-c", _VICTIM, str(tmp_path), json.dumps(settings), str(cut_off)]
        victim = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        try:
            assert victim.stdout
            ids = json.loads(victim.stdout.readline())
            siren.wait(4)
        finally:
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        assert hook.received == []
        gone.set()
        again = run(**settings).start()
        assert sorted(received.json["event"]["id"] for received in hook.wait(4)) == ids
        for ident in ids:
            event = again.event(
                ident,
                lambda event: (
                    event.response_time is not None and event.analysis.state is AnalysisState.DONE and event.ended
                ),
            )
            assert [action.step for action in event.actions] == ["keep_clip", "webhook", "notify"]
            assert event.protected
        clips = [again.event(ident, bool).clip for ident in ids[:2]]
        assert [(clip.state, clip.bytes) for clip in clips] == [("done", cut_off.stat().st_size), ("failed", 0)]
        assert 2 <= clips[0].seconds < 3  # what is in the file
        assert "service stopped" in clips[0].why
        keys = [received.headers["idempotency-key"] for received in siren.received]
        assert sorted(keys[:4]) == sorted(keys[4:8]) == [f"{ident}/webhook" for ident in ids]
        assert len(hook.received) == 4
