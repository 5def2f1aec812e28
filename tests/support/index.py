"""A package index on the loopback: files with ranges and ETags, simple pages (PEP 503 and 691), and faults on demand.

`python -m tests.support.index FOLDER` serves a folder until it is killed and prints its address (for benchmarks).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass(frozen=True)
class Fault:
    """A fault of one request for a file.

    `status` answers with that error (and `headers`); `drop_after` closes the connection after so many bytes;
    `stall_after` sends no more until the server ends; `redirect` sends elsewhere; `etag` is that of another copy.
    """

    status: int = 0
    drop_after: int = -1
    stall_after: int = -1
    redirect: str = ""
    etag: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RecordedRequest:
    """A request that the server received."""

    method: str
    path: str
    range: str
    authorization: str


@dataclass
class Index:
    """A running server. Files lie in `folder`; faults are used up one a request, by file name."""

    folder: Path
    server: ThreadingHTTPServer
    ranges: bool = True
    tells_size: bool = True  # otherwise files are sent in chunks
    login: str = ""  # `user:password` that every request must bring
    page: tuple[int, str, str] | None = None  # status, media type and text of every page, whatever is requested
    etags: dict[str, str] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    always: dict[str, Fault] = field(default_factory=dict)
    requests: list[RecordedRequest] = field(default_factory=list)
    hashes: dict[Path, str] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or `https://…`."""
        scheme = "https" if isinstance(self.server.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://127.0.0.1:{self.server.server_address[1]}"

    def file_url(self, name: str) -> str:
        """The URL of a file in the folder."""
        return f"{self.url}/files/{name}"

    def next_fault(self, name: str) -> Fault | None:
        """The fault for this request, if there is one."""
        with self.lock:
            waiting = self.faults.get(name)
            return waiting.pop(0) if waiting else self.always.get(name)

    def etag(self, name: str) -> str:
        """The entity tag now; a test may set another."""
        return self.etags.get(name, f'"{self.sha256(self.folder / name)[:16]}"')

    def sha256(self, path: Path) -> str:
        """The hash of a file, computed once."""
        if path not in self.hashes:
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                while data := file.read(1 << 20):
                    digest.update(data)
            self.hashes[path] = digest.hexdigest()
        return self.hashes[path]

    def gets(self, name: str) -> list[RecordedRequest]:
        """The GET requests for a file."""
        return [request for request in self.requests if request.method == "GET" and request.path == f"/files/{name}"]


@contextmanager
def serve(folder: Path, tls: tuple[Path, Path] | None = None) -> Iterator[Index]:
    """Serve `folder` from a thread of this process; over HTTPS with a certificate and its key."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    index = Index(folder, server)
    server.index = index
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    index: Index

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect, which these tests provoke."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        index = self.server.index
        path = unquote(self.path.partition("?")[0])
        credentials = self.headers.get("Authorization", "")
        with index.lock:
            index.requests.append(RecordedRequest(self.command, path, self.headers.get("Range", ""), credentials))
        if index.login and credentials != "Basic " + base64.b64encode(index.login.encode()).decode():
            self._text(401, "no", {"WWW-Authenticate": 'Basic realm="index"'}, body)
        elif path.startswith("/simple/") and index.page:
            status, kind, text = index.page
            round_about = {"Location": self.path} if status == 302 else {}
            self._text(status, text, {"Content-Type": kind, **round_about}, body)
        elif path.startswith("/simple/"):
            self._simple(path.removeprefix("/simple/").strip("/"), body)
        elif path.startswith("/files/"):
            self._file(path.removeprefix("/files/"), body)
        else:
            self._text(404, "nothing here", {}, body)

    def _simple(self, project: str, body: bool) -> None:
        index = self.server.index
        wheels = sorted(path for path in index.folder.iterdir() if path.suffix in (".whl", ".gz"))
        names = {re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower(): path.name.split("-")[0] for path in wheels}
        if not project:
            links = "".join(f'<a href="/simple/{name}/">{name}</a>\n' for name in names)
            return self._text(200, links, {"Content-Type": "text/html"}, body)
        if project not in names:
            return self._text(404, "no such project", {}, body)
        project_wheels = [path for path in wheels if re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower() == project]
        if "application/vnd.pypi.simple.v1+json" in self.headers.get("Accept", ""):
            files = [
                {"filename": path.name, "url": f"/files/{path.name}", "hashes": {"sha256": index.sha256(path)}}
                for path in project_wheels
            ]
            page = json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": files})
            return self._text(200, page, {"Content-Type": "application/vnd.pypi.simple.v1+json"}, body)
        links = "".join(
            f'<a href="/files/{path.name}#sha256={index.sha256(path)}">{path.name}</a>\n' for path in project_wheels
        )
        return self._text(200, links, {"Content-Type": "text/html"}, body)

    def _file(self, name: str, body: bool) -> None:
        index = self.server.index
        path = index.folder / name
        fault = index.next_fault(name) if body else None
        if fault and fault.status:
            return self._text(fault.status, "fault", dict(fault.headers), body)
        if fault and fault.redirect:
            return self._text(302, "", {"Location": fault.redirect}, body)
        if not path.is_file():
            return self._text(404, "no such file", {}, body)
        if not index.tells_size:
            return self._chunks(path, body)
        size, etag = path.stat().st_size, fault.etag if fault and fault.etag else index.etag(name)
        start, end, status = 0, size, 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        fresh = self.headers.get("If-Range", etag) == etag
        if match and index.ranges and fresh:
            start, end, status = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size), 206
            if start >= size:
                return self._text(416, "", {"Content-Range": f"bytes */{size}"}, body)
        self.send_response(status)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Type", "application/octet-stream")
        if etag:
            self.send_header("ETag", etag)
        if index.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if body:
            self._send(path, start, end - start, fault)
        return None

    def _chunks(self, path: Path, body: bool) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if body:
            content = path.read_bytes()
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))

    def _send(self, path: Path, start: int, count: int, fault: Fault | None) -> None:
        cut = min((limit for limit in (fault.drop_after, fault.stall_after) if limit >= 0), default=-1) if fault else -1
        with open(path, "rb") as file:
            self.wfile.flush()
            length = count if cut < 0 else min(cut, count)
            if length:  # sendfile takes nothing less
                self.connection.sendfile(file, start, length)
        if cut >= 0:
            if fault and fault.stall_after >= 0:
                self.server.index.ended.wait()
            self.close_connection = True

    def _text(self, status: int, text: str, headers: dict[str, str], body: bool) -> None:
        raw = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(raw)


def main() -> None:
    """Serve until killed; the address is the only line of output."""
    with serve(Path(sys.argv[1])) as index:
        print(index.url, flush=True)
        parent = os.getppid()
        while os.getppid() == parent:  # end with the parent process, even if it was killed
            threading.Event().wait(0.5)


if __name__ == "__main__":
    main()
