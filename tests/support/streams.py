"""Cameras without RTSP, and a network that damages data."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from core.api_schema import CameraRequest, ConnectionTest
from core.inference.cameras.connection_test import run_connection_test


class Sender:
    """ffmpeg that sends a clip again and again as MPEG-TS at its own speed: to `url`, or to the one who connects."""

    def __init__(self, clip: Path, url: str, *, listen: bool = False) -> None:
        self._command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy"]
        self._command += [*(["-listen", "1"] if listen else []), "-f", "mpegts", url]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sender:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate as cameras have them, and its key. Needs openssl."""
    certificate, key = folder / "camera.pem", folder / "camera.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


class Proxy:
    """A TCP proxy to a port of this machine. While `damaging` is set, it changes one byte in so many of the responses.

    With a certificate and key it speaks TLS to the outside.
    """

    EVERY = 700  # bytes

    def __init__(self, port: int, tls: tuple[Path, Path] | None = None) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*tls)
        self._open: list[socket.socket] = []
        self.damaging = False
        self.damaged = 0

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in [self._listener, *self._open]:
            _shut(connection)

    def _accept(self) -> None:
        while True:
            try:
                outside, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(outside,), daemon=True).start()

    def _serve(self, outside: socket.socket) -> None:
        try:
            inside = socket.create_connection(("127.0.0.1", self._target))
            if self._context is not None:
                outside = self._context.wrap_socket(outside, server_side=True)
        except OSError:
            _shut(outside)
            return
        self._open += [outside, inside]
        threading.Thread(target=self._pump, args=(outside, inside, False), daemon=True).start()
        self._pump(inside, outside, True)

    def _pump(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(self._spoilt(data) if back and self.damaging else data)
        except OSError:
            pass
        for connection in (source, sink):
            _shut(connection)

    def _spoilt(self, data: bytes) -> bytes:
        spoilt = bytearray(data)
        for index in range(self.EVERY // 2, len(spoilt), self.EVERY):
            spoilt[index] ^= 0x5A
            self.damaged += 1
        return bytes(spoilt)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


def try_connection(source: str, **settings: object) -> ConnectionTest:
    """The result of a connection test that must fail."""
    result = run_connection_test(CameraRequest.model_validate({"id": "x", "source": source, "timeout": 10, **settings}))
    assert not result.ok
    return result
