"""A read-only registry on the loopback interface, from which an engine pulls images that lie here as blobs.

It speaks the part of the OCI distribution specification that a pull needs. The name of its repository is random, so
that other users of this machine cannot read the images.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

from core.artifacts.image_layout import OCI_MANIFEST
from core.errors import XaivaError, os_reason
from core.images.image_blobs import (
    BlobSource,
    DeliveredImage,
    damaged_blob,
    read_document,
    verified_chunks,
)

REPOSITORY = "xaiva-delivery"
IDLE_SECONDS = 120.0  # without a byte; an engine that unpacks a large layer reads no other one meanwhile
_ROUTE = re.compile(r"/v2/([a-z0-9/-]{1,100})/(manifests|blobs)/([A-Za-z0-9:._-]{1,130})")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")
_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Registry:
    """Serves images until `close`. `sent` counts the bytes of each blob, `damage` has the error of each bad one."""

    def __init__(self, images: Sequence[DeliveredImage], source: BlobSource, on_sent: Callable[[int], None]) -> None:
        self.repository = f"{REPOSITORY}/{secrets.token_hex(8)}"
        self.sent: Counter[str] = Counter()
        self.damage: dict[str, XaivaError] = {}
        self.reached = threading.Event()  # set by the first request for the repository
        self._source, self._on_sent = source, on_sent
        self._images = {image.config: image.manifest for image in images}  # tag in the repository → manifest
        self._blobs = frozenset(sha256 for image in images for sha256 in image.blobs)
        self.lacking: set[str] = set()  # layers that an engine asked for and the source does not have
        self._resumed: set[str] = set()  # not all of whose bytes were hashed on the way
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving, and end the connections that are open."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.end_connections()

    def find_damage(self) -> XaivaError | None:
        """The error of a bad blob, if any. Reads again what was sent in pieces and could not be checked on the way."""
        for sha256 in sorted(self._resumed - self.damage.keys()):
            try:
                for _ in verified_chunks(self._source, sha256):
                    pass
            except XaivaError as error:
                self.damage[sha256] = error
        return next(iter(self.damage.values()), None)

    def find_manifest(self, reference: str) -> str:
        """The digest that a tag or a digest in a request means. Raises KeyError."""
        if reference.startswith("sha256:") and reference[7:] in self._images.values():
            return reference[7:]
        return self._images[reference]

    def blob_size(self, sha256: str) -> int:
        """The size of a blob of the images. Raises KeyError for any other, and for a bad one."""
        if sha256 not in self._blobs or sha256 in self.damage:
            raise KeyError(sha256)
        try:
            return self._source.size(sha256)
        except KeyError:
            self.lacking.add(sha256)
            raise

    def read_manifest(self, sha256: str) -> bytes:
        """A manifest. Raises XaivaError."""
        with self._noting_damage(sha256):
            return read_document(self._source, sha256)

    def chunks(self, sha256: str, offset: int) -> Iterator[bytes]:
        """The bytes of a blob; the end of a whole one only after its hash was compared. Raises XaivaError."""
        with self._noting_damage(sha256):
            if offset == 0:
                yield from verified_chunks(self._source, sha256)
                return
            self._resumed.add(sha256)
            yield from self._source.open(sha256, offset)

    @contextlib.contextmanager
    def _noting_damage(self, sha256: str) -> Iterator[None]:
        try:
            yield
        except XaivaError as error:
            self.damage[sha256] = error
            raise
        except OSError as error:
            self.damage[sha256] = damaged_blob(sha256, f"it cannot be read: {os_reason(error)}")
            raise self.damage[sha256] from error

    def count(self, sha256: str, size: int) -> None:
        """Add bytes that are about to be sent."""
        with self._lock:
            self.sent[sha256] += size
        self._on_sent(size)


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can end them."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: set[Any] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: an engine that leaves is no error, and what matters is in `Registry.damage`."""

    def end_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"
    # An engine tries TLS first. Its hello has no version; in an answer without a status line it sees a broken registry.
    default_request_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def version_string(self) -> str:
        return "xaiva"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer with the error document of the specification."""
        self._refuse(405 if code == 501 else code, "UNSUPPORTED", message or "")

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # nobody reads the body
        if not _LOOPBACK_HOST.fullmatch(self.headers.get("Host", "")):
            self._refuse(400, "UNSUPPORTED", "this registry is for this machine alone")
            return
        if self.path in ("/v2/", "/v2"):
            self._send(200, {"Content-Type": "application/json"}, b"{}")
            return
        route = _ROUTE.fullmatch(self.path)
        if route is None or route[1] != self.registry.repository:
            self._refuse(404, "NAME_UNKNOWN", "no such repository")
            return
        self.registry.reached.set()
        try:
            if route[2] == "manifests":
                self._send_manifest(route[3])
            else:
                self._send_blob(route[3].removeprefix("sha256:"))
        except (XaivaError, OSError):
            self.close_connection = True  # before the end of the body, so that the engine takes nothing bad for whole
        except Exception as error:  # of the source; the engine would only say that the connection broke
            self.registry.damage[route[3]] = damaged_blob(
                route[3].removeprefix("sha256:"), f"it cannot be read: {error!r}"
            )
            self.close_connection = True

    def _send_manifest(self, reference: str) -> None:
        try:
            sha256 = self.registry.find_manifest(reference)
        except KeyError:
            self._refuse(404, "MANIFEST_UNKNOWN", "no such image")
            return
        text = self.registry.read_manifest(sha256)
        kind = str(json.loads(text).get("mediaType") or OCI_MANIFEST)
        self.registry.count(sha256, 0 if self.command == "HEAD" else len(text))
        self._send(200, {"Content-Type": kind, "Docker-Content-Digest": f"sha256:{sha256}"}, text)

    def _send_blob(self, sha256: str) -> None:
        try:
            size = self.registry.blob_size(sha256)
        except KeyError:
            self._refuse(404, "BLOB_UNKNOWN", "no such blob")
            return
        span = _RANGE.fullmatch(self.headers.get("Range", ""))
        start, end = (int(span[1]), min(int(span[2] or size), size - 1) + 1) if span else (0, size)
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": f"sha256:{sha256}"}
        if span and start >= end:
            self._send(416, {"Content-Range": f"bytes */{size}"})
            return
        if span:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers |= {"Accept-Ranges": "bytes", "Content-Length": str(end - start)}
        self._send(206 if span else 200, headers, None)
        if self.command == "HEAD":
            return
        rest = end - start
        for data in self.registry.chunks(sha256, start):
            part = data[:rest]
            self.registry.count(sha256, len(part))
            self.wfile.write(part)
            rest -= len(part)
            if not rest:
                return
        self.close_connection = rest > 0

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.close_connection = True
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self._send(status, {"Content-Type": "application/json", "Connection": "close"}, body)

    def _send(self, status: int, headers: Mapping[str, str] = _NO_HEADERS, body: bytes | None = b"") -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        for name, value in headers.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)
