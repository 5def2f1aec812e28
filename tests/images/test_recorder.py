"""What a build tells of itself passes through one place, which blots secrets out."""

from __future__ import annotations

import io

from core.images.build import _Recorder
from core.progress import Stage
from tests.images.support import Recorder


def test_no_line_of_a_secret_is_told_or_kept() -> None:
    told, log = Recorder(), io.StringIO()
    recorder = _Recorder(told, log, ["word-5f2b", "-----BEGIN KEY-----\nMIIEvQ\n\n-----END KEY-----\n"])
    recorder.log("with word-5f2b and", "xaiva-media")
    recorder.log("MIIEvQ", "xaiva-media")
    recorder.log("", "xaiva-media")
    recorder.stage(Stage(id="xaiva-media/1", title="RUN make", detail="key MIIEvQ"))
    assert [line for _, line in told.lines] == list(recorder.last) == ["with *** and", "***", ""]
    assert log.getvalue() == "[xaiva-media] with *** and\n[xaiva-media] ***\n[xaiva-media] \n"
    assert told.stages["xaiva-media/1"].detail == "key ***"
