"""Serves the generated cameras over HTTP on loopback: `/belt.ts`, `/gate.ts`, `/hall.ts`, each an endless MPEG-TS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from core.demo.cameras.belt import belt, belt_with_wrong_part
from core.demo.cameras.encoding import EncodedFilm, EncodedPicture, TransportStream
from core.demo.cameras.film import FPS
from core.demo.cameras.gate import gate, gate_with_lorry
from core.demo.cameras.hall import frozen_hall, hall


class StagedCamera:
    """A camera that shows the usual film again and again, and another one on a cue. Thread-safe."""

    def __init__(self, usual: EncodedFilm, unusual: EncodedFilm) -> None:
        self._usual = usual
        self._unusual = unusual
        self._cues = 0

    def cue(self) -> None:
        """Show the unusual film once, to each client, as soon as the usual one has ended."""
        self._cues += 1

    def pictures(self) -> Iterator[EncodedPicture]:
        """The pictures for one client, without an end."""
        seen = self._cues
        while True:
            film, seen = (self._unusual if seen != self._cues else self._usual), self._cues
            yield from film


class FreezingCamera:
    """A camera whose picture freezes some seconds after each connection."""

    def __init__(self, alive: EncodedFilm, frozen: EncodedFilm) -> None:
        self._alive = alive
        self._frozen = frozen

    def pictures(self) -> Iterator[EncodedPicture]:
        """The pictures for one client, without an end."""
        yield from self._alive
        while True:
            yield from self._frozen


class StreamServer(ThreadingHTTPServer):
    """Serves the three cameras on a free port of the loopback address until `shutdown`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.belt = StagedCamera(EncodedFilm(belt()), EncodedFilm(belt_with_wrong_part()))
        self.gate = StagedCamera(EncodedFilm(gate()), EncodedFilm(gate_with_lorry()))
        self.hall = FreezingCamera(EncodedFilm(hall()), EncodedFilm(frozen_hall(), all_key=True))
        self.cameras: Mapping[str, StagedCamera | FreezingCamera] = {
            "/belt.ts": self.belt,
            "/gate.ts": self.gate,
            "/hall.ts": self.hall,
        }

    def url(self, path: str) -> str:
        """The address of a camera."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, name="streams", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: StreamServer

    def do_GET(self) -> None:
        camera = self.server.cameras.get(self.path)
        if camera is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        stream = TransportStream()
        began = due = time.monotonic()
        try:
            for picture in camera.pictures():
                time.sleep(max(0.0, due - time.monotonic()))
                sent = time.monotonic()
                self.wfile.write(stream.pack(picture, sent - began))
                due = max(due + 1 / FPS, sent + 0.5 / FPS)  # on a busy machine: later, like its time stamp
        except OSError:
            pass  # the client has left

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the service reports how its cameras are."""
