"""The progress of a build, which is logged and forwarded in one place with secrets hidden."""

from __future__ import annotations

import io
import threading
import time

from core.images.build_recorder import BuildRecorder
from core.progress import Stage, StageState
from tests.images.support import Recorder
from tests.support import until


def test_no_line_of_a_secret_is_told_or_kept() -> None:
    listener, log = Recorder(), io.StringIO()
    recorder = BuildRecorder(listener, log, ["word-5f2b", "-----BEGIN KEY-----\nMIIEvQ\n\n-----END KEY-----\n"])
    recorder.log("with word-5f2b and", "xaiva-media")
    recorder.log("MIIEvQ", "xaiva-media")
    recorder.log("", "xaiva-media")
    recorder.stage(Stage(id="xaiva-media/1", title="RUN make", detail="key MIIEvQ"))
    assert [line for _, line in listener.lines] == list(recorder.last_lines) == ["with *** and", "***", ""]
    assert log.getvalue() == "[xaiva-media] with *** and\n[xaiva-media] ***\n[xaiva-media] \n"
    assert listener.stages["xaiva-media/1"].detail == "key ***"


def test_silence_is_filled_with_what_is_at_work() -> None:
    listener = Recorder()
    recorder = BuildRecorder(listener, io.StringIO(), ["word-5f2b"])
    with recorder.heartbeat(0.01):
        until(lambda: ("", "still running: the engine is preparing the next step") in listener.lines)
        recorder.stage(Stage(id="common", title="common", state=StageState.RUNNING))  # a stage is reported by its steps
        title = "RUN pip install with word-5f2b"
        recorder.stage(Stage(id="common/2", title=title, state=StageState.RUNNING, started=1, parent="common"))
        bytes_of = {"done": 3 << 20, "total": 7 << 20, "unit": "bytes", "parent": "export"}
        recorder.stage(Stage(id="export/1", title="exporting", state=StageState.RUNNING, **bytes_of))
        until(lambda: listener.lines[-1] == ("export", "still running, 3 of 7 MiB: exporting"))
        (line,) = {line.partition(":")[2] for stage, line in listener.lines if stage == "common"}
        assert line == " RUN pip install with ***"
        recorder.stage(Stage(id="export/1", title="exporting", state=StageState.DONE, parent="export"))
        count = len(listener.lines)
        until(lambda: len(listener.lines) > count + 3)
    assert listener.lines[-1][0] == "common"
    count = len(listener.lines)
    assert [thread.name for thread in threading.enumerate() if thread.name == "heartbeat"] == []
    assert len(listener.lines) == count


def test_a_long_silence_does_not_fill_the_log() -> None:
    listener = Recorder()
    recorder = BuildRecorder(listener, io.StringIO(), [])
    recorder.log("the last words")
    recorder.stage(Stage(id="common/2", title="RUN make", state=StageState.RUNNING, parent="common"))
    with recorder.heartbeat(0.001):
        began = time.monotonic()
        until(lambda: len(listener.lines) > 7)
        assert time.monotonic() - began >= 0.001 * (2 + 4 + 8 + 16 + 32)  # each pause is twice the one before
    assert list(recorder.last_lines) == ["the last words"]  # the end of a failed build's output is not pushed out
