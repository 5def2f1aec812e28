"""The keeper of a demo: runs its cameras and its service until standard input ends, then removes its folder.

Standard input is a pipe whose other end the demo's command holds, so the keeper notices its end, however it ends.
Each line on standard output is a JSON object: `{"progress": text}`, and at last `{"ready": address}`, or
`{"error": [what, why, remedy]}`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.demo import content
from core.demo.receiver import Receiver
from core.demo.service_process import ServiceProcess
from core.errors import XaivaError
from core.files import write_atomic
from core.redaction import set_secrets
from core.redaction.log_format import RedactingFormatter
from core.service_client import TOKEN_VARIABLE, ServiceClient

if TYPE_CHECKING:
    from core.demo.cameras.stream_server import StagedCamera, StreamServer

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_CALL_SECONDS = 60.0  # a busy machine hashes a password for seconds
_CUE_SECONDS = {content.BELT: 45.0, content.GATE: 90.0}  # between two anomalies of a camera that has learned
_SETTINGS = {
    "XAIVA_ONNX_PROVIDER": "cpu",
    "XAIVA_CLIPS_GB": "1",
    "XAIVA_CLIPS_FREE_GB": "0.1",
}


class Keeper:
    """Everything of a demo but its console."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder
        self._token = secrets.token_urlsafe(24)
        set_secrets({TOKEN_VARIABLE: self._token})
        self._closing = threading.Event()
        settings = {**_SETTINGS, TOKEN_VARIABLE: self._token, "XAIVA_MODELS": str(folder / "models")}
        self._service = ServiceProcess(folder, settings, lock)  # first: it takes the longest

    def run(self) -> None:
        """Run the demo until it is to close."""
        threading.Thread(target=self._watch_input, name="input", daemon=True).start()
        try:
            self._run()
        except XaivaError as error:
            _report(error=[error.what, error.why, error.remedy])
        finally:
            self._service.kill()
            self._service.wait()

    def close(self) -> None:
        """End the demo soon, whatever waits for the service. Any thread may call it."""
        self._closing.set()
        self._service.kill()

    def _watch_input(self) -> None:
        while os.read(0, 1024):
            pass
        self.close()

    def _run(self) -> None:
        _report(progress="starting the inference service")
        from core.demo.cameras.stream_server import StreamServer  # slow, and the service starts meanwhile

        streams, receiver = StreamServer(), Receiver()
        streams.start()
        receiver.start()
        url = self._service.wait_until_ready(self._token)
        self._write_site(url)
        _report(ready=url)
        _close_output()
        with _refusing_port() as port:
            client = ServiceClient(url, _CALL_SECONDS, token=self._token)
            try:
                self._set_up(client, streams, receiver, f"http://127.0.0.1:{port}/dock.ts")
                self._cue_anomalies(client, {content.BELT: streams.belt, content.GATE: streams.gate})
            except XaivaError as error:
                logger.error("the demo is not complete: %s", error)
            self._closing.wait()

    def _set_up(self, client: ServiceClient, streams: StreamServer, receiver: Receiver, refusing: str) -> None:
        sources = {name: streams.url(f"/{name}.ts") for name in (content.BELT, content.GATE, content.HALL)}
        content.add_cameras(client, {**sources, content.DOCK: refusing})
        content.add_rules(client, receiver.url)
        content.add_users(client, self._folder / "logins.txt")

    def _write_site(self, url: str) -> None:
        settings = f'name = "generated cameras"\ndemo = true\n\n[service]\nurl = "{url}"\n'
        write_atomic(self._folder / ".env", f"{TOKEN_VARIABLE}={self._token}\n", mode=0o600)
        write_atomic(self._folder / "site.toml", settings, mode=0o600)

    def _cue_anomalies(self, client: ServiceClient, cameras: dict[str, StagedCamera]) -> None:
        """Let each camera show something unusual as soon as it has learned, and now and then from then on."""
        waits = dict.fromkeys(cameras, 0.0)
        while not self._closing.wait(_POLL_SECONDS):
            for name, camera in cameras.items():
                waits[name] -= _POLL_SECONDS
                if waits[name] <= 0 and _has_learned(client, name):
                    camera.cue()
                    waits[name] = _CUE_SECONDS[name]


def _has_learned(client: ServiceClient, camera: str) -> bool:
    """Whether a camera has learned. Lets it begin again if it failed: a busy machine saw too few pictures."""
    try:
        status = client.camera(camera)
        if status.learning is not None and status.learning.error:
            client.learn(camera, content.LEARNING_MINUTES[camera])
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


def main() -> int:
    """`python -m core.demo FOLDER LOCK`."""
    folder, lock = Path(sys.argv[1]), int(sys.argv[2])
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    keeper = Keeper(folder, lock)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: keeper.close())
    try:
        keeper.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
