"""The keeper of a demo: runs its cameras and sets up its service, until standard input ends.

Standard input is a pipe whose other end the demo's command holds, so the keeper notices its end, however it ends.
Each line on standard output is a JSON object: `{"ready": address}`, or `{"error": [what, why, remedy]}`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.demo import content
from core.demo.receiver import Receiver
from core.demo.service_process import ServiceProcess
from core.errors import XaivaError
from core.files import write_atomic
from core.service_client import TOKEN_VARIABLE, ServiceClient, ServiceError

if TYPE_CHECKING:
    from core.demo.cameras.stream_server import StagedCamera, StreamServer

logger = logging.getLogger(__name__)

_START_SECONDS = 120  # on a slow disk, importing everything takes long
_START_POLL_SECONDS = 0.05
_POLL_SECONDS = 0.5
_CALL_SECONDS = 60.0  # a busy machine hashes a password for seconds
_CUE_SECONDS = {content.BELT: 45.0, content.GATE: 90.0}  # between two anomalies of a camera that has learned


class Keeper:
    """Everything of a demo but its console."""

    def __init__(self, folder: Path, service: ServiceProcess) -> None:
        self._folder = folder
        self._service = service
        self._closing = threading.Event()
        self._minutes = dict(content.LEARNING_MINUTES)

    def run(self) -> None:
        """Run the demo until it is to close."""
        threading.Thread(target=self._watch_input, name="input", daemon=True).start()
        try:
            self._run()
        except XaivaError as error:
            _report(error=[error.what, error.why, error.remedy])

    def close(self) -> None:
        """End the demo soon, whatever waits for the service. Any thread may call it."""
        self._closing.set()
        self._service.kill()

    def _watch_input(self) -> None:
        while os.read(0, 1024):
            pass
        self.close()

    def _run(self) -> None:
        from core.demo.cameras.stream_server import StreamServer  # only here are its packages known to be installed

        streams, receiver = StreamServer(), Receiver()
        streams.start()
        receiver.start()
        url = self._wait_until_ready()
        self._write_site(url)
        _report(ready=url)
        _close_output()
        with _refusing_port() as port:
            client = ServiceClient(url, _CALL_SECONDS, token=self._service.token)
            try:
                self._set_up(client, streams, receiver, f"http://127.0.0.1:{port}/dock.ts")
            except XaivaError as error:
                logger.error("the demo is not complete: %s", error)
            self._closing.wait()

    def _wait_until_ready(self) -> str:
        """Wait for the service; returns its address. Raises XaivaError when it ends, or takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if url := self._service.address():
                try:
                    if ServiceClient(url).health().ready:
                        return url
                except ServiceError:
                    pass  # not yet
            time.sleep(_START_POLL_SECONDS)
        raise self._service.error(f"it was not ready after {_START_SECONDS} s")

    def _set_up(self, client: ServiceClient, streams: StreamServer, receiver: Receiver, refusing: str) -> None:
        sources = {name: streams.url(f"/{name}.ts") for name in (content.BELT, content.GATE, content.HALL)}
        content.add_cameras(client, {**sources, content.DOCK: refusing})
        staged = {content.BELT: streams.belt, content.GATE: streams.gate}
        threading.Thread(target=self._cue_anomalies, args=(client, staged), name="cues", daemon=True).start()
        content.add_rules(client, receiver.url)
        content.add_users(client, self._folder / "logins.txt")

    def _write_site(self, url: str) -> None:
        settings = f'name = "generated cameras"\ndemo = true\n\n[service]\nurl = "{url}"\n'
        write_atomic(self._folder / ".env", f"{TOKEN_VARIABLE}={self._service.token}\n", mode=0o600)
        write_atomic(self._folder / "site.toml", settings, mode=0o600)

    def _cue_anomalies(self, client: ServiceClient, cameras: dict[str, StagedCamera]) -> None:
        """Let each camera show something unusual as soon as it has learned, and now and then from then on."""
        waits = dict.fromkeys(cameras, 0.0)
        while not self._closing.wait(_POLL_SECONDS):
            for name, camera in cameras.items():
                waits[name] -= _POLL_SECONDS
                if waits[name] <= 0 and self._has_learned(client, name):
                    camera.cue()
                    waits[name] = _CUE_SECONDS[name]

    def _has_learned(self, client: ServiceClient, camera: str) -> bool:
        """Whether a camera has learned. If it saw too few pictures on a busy machine, it learns again for longer."""
        try:
            status = client.camera(camera)
            if status.learning is not None and status.learning.error:
                minutes = 3 * self._minutes[camera]
                client.learn(camera, minutes)
                self._minutes[camera] = minutes
        except XaivaError:  # somebody removed it, or the service is busy
            return False
        return status.learning is None and status.model == content.LEARNED_DETECTOR


@contextlib.contextmanager
def _refusing_port() -> Iterator[int]:
    """A port of the loopback address that refuses connections, and that no other program gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _report(**fields: object) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(json.dumps(fields), flush=True)  # noqa: T201


def _close_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
