"""Real cameras for tests: an RTSP server that can be frozen, killed and brought back.

with RtspServer({"cam": Live()}) as server:
    url = server.url("cam")
    server.freeze(); server.thaw(); server.kill(); server.start()
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import require
from tests.support.ports import HeldPort

SYSTEM_PYTHON = "/usr/bin/python3"
LOOPBACK = "127.0.0.1"
SCRIPT = Path(__file__).with_name("rtsp_server.py")
PROBE = """
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
assert all(map(Gst.ElementFactory.find, ("videotestsrc", "x264enc", "h264parse", "qtdemux", "rtph264pay")))
"""


@dataclass(frozen=True)
class Live:
    """A synthetic camera, encoded by x264. `pattern` is videotestsrc's: "ball" moves, "white" stands still."""

    width: int = 640
    height: int = 360
    fps: int = 10
    pattern: str = "ball"
    key_interval: int = 10


@dataclass(frozen=True)
class Clip:
    """An H.264 MP4 file, played once to each client at its own speed."""

    file: Path


@cache
def available() -> bool:
    """Whether this machine can serve RTSP: GStreamer, its RTSP server and the H.264 plugins."""
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", PROBE], capture_output=True).returncode == 0


def make_clip(path: Path, *, seconds: float = 3, size: str = "640x360", fps: int = 10) -> Path:
    """An H.264 file with moving content and a key frame a second."""
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(fps))
    return encode(path, *options, rate=str(fps), seconds=seconds, size=size)


def encode(
    path: Path,
    *options: str,
    rate: str = "10",
    seconds: float = 0,
    frames: int = 0,
    size: str = "320x180",
    pixels: str = "yuv420p",
) -> Path:
    """Encode so many seconds or frames of a moving picture with these options of ffmpeg; returns `path`."""
    require(has_ffmpeg(), "ffmpeg")
    source = f"testsrc2=size={size}:rate={rate}" + (f":duration={seconds}" if seconds else "")
    limits = [*(("-frames:v", str(frames)) if frames else ()), *(("-pix_fmt", pixels) if pixels else ())]
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, *limits, *options]
    subprocess.run([*command, "-threads", "1", str(path)], check=True)
    return path


def has_ffmpeg() -> bool:
    """Whether ffmpeg is installed, to make clips."""
    return shutil.which("ffmpeg") is not None


class RtspServer:
    """One server process; it keeps its port over kill and start."""

    def __init__(
        self,
        mounts: Mapping[str, Live | Clip],
        *,
        user: str = "",
        password: str = "",
        address: str = LOOPBACK,
        prefix: Sequence[str] = (),
    ) -> None:
        self._held = HeldPort() if address == LOOPBACK else None  # elsewhere the server takes a free one
        port = self._held.number if self._held else 0
        self._options: dict[str, Any] = {"port": port, "user": user, "password": password, "address": address}
        self._prefix = prefix  # starts the server elsewhere: in another network namespace
        self._options["mounts"] = {name: asdict(mount) for name, mount in mounts.items()}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._held is not None:
            self._held.close()

    @property
    def port(self) -> int:
        return int(self._options["port"])

    def url(self, mount: str, credentials: str = "") -> str:
        """The address of a mount; `credentials` is `user:password`, by default the server's own."""
        own = f"{self._options['user']}:{self._options['password']}" if self._options["user"] else ""
        login = credentials or own
        return f"rtsp://{login}{'@' if login else ''}{self._options['address']}:{self.port}/{mount}"

    def start(self) -> None:
        """Start or restart on the same port, and wait until it listens."""
        argument = json.dumps(self._options, default=str)
        self._process = subprocess.Popen(
            [*self._prefix, SYSTEM_PYTHON, str(SCRIPT), argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the RTSP server did not start (exit {self._process.wait()})"
        self._options["port"] = json.loads(line)["port"]

    def resize(self, mount: str, width: int, height: int) -> None:
        """Change the picture size of a live mount that is being watched, without ending its stream."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"resize": mount, "width": width, "height": height}) + "\n")
        self._process.stdin.flush()

    def freeze(self) -> None:
        """Freeze the process: connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen process."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once; connections break. Harmless when it is not running."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
