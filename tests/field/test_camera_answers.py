"""A web page is an "unknown host", another service a "broken stream": what answers in place of a camera is not named.

Applies to every server that answers at a camera's address: web pages, errors, redirects, other protocols, and
cameras that reject a request.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.streams import try_connection

pytestmark = pytest.mark.camera

# path: (status, type and body of the answer, cause, what is said)
WEB = {
    "page": (
        200,
        "text/html; charset=utf-8",
        b"<html>Log in</html>",
        "codec",
        "a web page (text/html), not with video",
    ),
    "xhtml": (200, "application/xhtml+xml", b"<html/>", "codec", "a web page (application/xhtml+xml), not with video"),
    "json": (200, "application/json", b'{"error": "no"}', "codec", "answers with application/json, not with video"),
    "text": (200, "text/plain", b"busy", "codec", "the address answers with text/plain, not with video"),
    "xml": (200, "application/xml", b"<a/>", "codec", "the address answers with application/xml, not with video"),
    "empty": (200, "video/mp2t", b"", "codec", "the address answers with an empty body"),
    "no-content": (204, "", b"", "error", "the camera answers with status 204 (No Content)"),
    "not-modified": (304, "", b"", "error", "the camera answers with status 304 (Not Modified)"),
    "playlist": (200, "application/vnd.apple.mpegurl", b"#EXTM3U\n", "codec", "which contains no video"),
    "broken-picture": (200, "image/jpeg", b"\xff\xd8\xff\xe0" * 99, "codec", "a picture that cannot be decoded"),
    "no-type": (200, "", b"abc", "codec", "the server at that address sends no video that can be decoded"),
    "moved": (
        301,
        "text/html",
        b"",
        "redirect",
        "it answers with status 301 and redirects to /login: redirects are not followed",
    ),
    "to-login": (
        302,
        "text/html",
        b"",
        "redirect",
        "it answers with status 302 and redirects to /login: redirects are not followed",
    ),
    "bad-request": (400, "text/html", b"", "rejected", "rejects the request: status 400 (Bad Request)"),
    "login": (401, "text/html", b"", "auth", "the camera asks for a user name and password, but the address has none"),
    "forbidden": (403, "text/html", b"", "auth", "the camera denies access (status 403)"),
    "missing": (404, "text/html", b"", "not_found", "there is no such stream or file"),
    "too-many": (429, "text/html", b"", "rejected", "rejects the request: status 429 (Too Many Requests)"),
    "fault": (500, "text/html", b"", "error", "the camera answers with status 500 (Internal Server Error)"),
    "starting": (503, "application/json", b"{}", "error", "the camera answers with status 503 (Service Unavailable)"),
}


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    """A web server that answers as the table says; its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, body, _, _ = WEB[self.path[1:]]
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            if status in (301, 302):
                self.send_header("Location", "/login")
            if status == 401:
                self.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="1", qop="auth"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("path", WEB)
def test_what_a_web_server_answers_is_said(path: str, web: int) -> None:
    *_, cause, words = WEB[path]
    result = try_connection(f"http://127.0.0.1:{web}/{path}")
    assert result.cause == cause
    assert words in result.reason


def test_a_login_that_is_refused_is_not_one_that_is_missing(web: int) -> None:
    result = try_connection(f"http://user:wrong@127.0.0.1:{web}/login")
    assert (result.cause, result.reason) == ("auth", "the camera refuses the user name or password")


def rtsp_answer(status: str) -> bytes:
    return f"RTSP/1.0 {status}\r\nCSeq: 1\r\n\r\n".encode()


# name: (scheme, what comes before any question, what is answered, cause, what is said)
PORTS = {
    "ssh": ("rtsp", b"SSH-2.0-Open\r\n", b"", "codec", 'does not speak RTSP: it answers "SSH-2.0-Open"'),
    "mail": ("rtsp", b"220 mail ESMTP\r\n", b"", "codec", 'does not speak RTSP: it answers "220 mail ESMTP"'),
    "ssh for http": ("http", b"SSH-2.0-Open\r\n", b"", "codec", 'does not speak HTTP: it answers "SSH-2.0-Open"'),
    "ssh for tcp": ("tcp", b"SSH-2.0-Open\r\n", b"", "codec", 'sends no video: it answers "SSH-2.0-Open"'),
    "web": ("rtsp", b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", "codec", "does not speak RTSP, but HTTP: use http://"),
    "rtsp for http": (
        "http",
        b"",
        rtsp_answer("400 Bad Request"),
        "codec",
        "does not speak HTTP, but RTSP: use rtsp://",
    ),
    "tls for rtsp": ("rtsp", b"", b"\x15\x03\x01\0\2\2\x28", "codec", "does not speak RTSP, but TLS: use rtsps://"),
    "tls for http": ("http", b"", b"\x15\x03\x01\0\2\2\x28", "codec", "does not speak HTTP, but TLS: use https://"),
    "closes": ("rtsp", b"", b"", "codec", "does not speak RTSP: it closes the connection without an answer"),
    "mail for https": ("https", b"220 mail ESMTP\r\n", b"", "tls", "the server at that address does not speak TLS"),
    "mail for rtsps": ("rtsps", b"220 mail ESMTP\r\n", b"", "tls", "the server at that address does not speak TLS"),
    "bad request": ("rtsp", b"", rtsp_answer("400 Bad Request"), "rejected", "status 400 (Bad Request)"),
    "asks": ("rtsp", b"", rtsp_answer("401 Unauthorized"), "auth", "the camera asks for a user name and password"),
    "forbids": ("rtsp", b"", rtsp_answer("403 Forbidden"), "auth", "the camera denies access (status 403)"),
    "no stream": ("rtsp", b"", rtsp_answer("404 Not Found"), "not_found", "there is no such stream"),
    "viewers": ("rtsp", b"", rtsp_answer("453 Not Enough Bandwidth"), "rejected", "status 453 (Not Enough Bandwidth)"),
    "session": ("rtsp", b"", rtsp_answer("454 Session Not Found"), "rejected", "status 454 (Session Not Found)"),
    "transport": (
        "rtsp",
        b"",
        rtsp_answer("461 Unsupported Transport"),
        "rejected",
        "status 461 (Unsupported Transport)",
    ),
    "starting": ("rtsp", b"", rtsp_answer("503 Service Unavailable"), "error", "status 503 (Service Unavailable)"),
}


# name: (what the camera answers to each request that it does not take, cause, what is said)
DIALOGUES = {
    "transport": ({"SETUP": "461 Unsupported Transport"}, "rejected", "this transport (status 461): use the other one"),
    "viewers": ({"SETUP": "453 Not Enough Bandwidth"}, "rejected", "describes its stream but refuses to send it"),
    "play": ({"PLAY": "455 Method Not Valid in This State"}, "rejected", "but refuses to send it (status 4xx)"),
    "fault": ({"SETUP": "503 Service Unavailable"}, "error", "but fails to send it (status 5xx)"),
    "no track": ({"SETUP": "404 Not Found"}, "not_found", "there is no such stream"),
    # libav reports an answer that it does not know as "Operation not permitted", which is not a refused login
    "unknown": ({"PLAY": "250 Low on Storage Space"}, "error", "the camera describes its stream but does not send it"),
}


SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("name", DIALOGUES)
def test_what_a_camera_rejects_after_it_described_its_stream_is_said(name: str, transport: str) -> None:
    answers, cause, words = DIALOGUES[name]

    class Camera(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                headers = dict(iter(lambda: tuple(self.rfile.readline().decode().strip().lower().split(": ")), ("",)))
                method = line.decode().split()[0]
                body = SDP if method == "DESCRIBE" else ""
                transport = headers.get("transport", "")
                self.wfile.write(
                    f"RTSP/1.0 {answers.get(method, '200 OK')}\r\nCSeq: {headers['cseq']}\r\nSession: 1\r\n"
                    f"Transport: {transport};server_port=9-10\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Camera) as camera:
        camera.daemon_threads = True
        threading.Thread(target=camera.serve_forever, args=(0.05,), daemon=True).start()
        result = try_connection(f"rtsp://127.0.0.1:{camera.server_address[1]}/1", transport=transport)
        camera.shutdown()
    assert result.cause == cause
    assert words in result.reason


@contextmanager
def listening(first: bytes, answer: bytes) -> Iterator[int]:
    """A port that says `first` to each caller, waits for a question, answers and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(caller: socket.socket) -> None:
            with caller:
                try:
                    caller.sendall(first)
                    caller.recv(4096)
                    caller.sendall(answer)
                except OSError:
                    pass

        def accept() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(caller,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("name", PORTS)
def test_another_service_at_that_port_is_named(name: str) -> None:
    scheme, first, answer, cause, words = PORTS[name]
    with listening(first, answer) as port:
        result = try_connection(
            f"{scheme}://127.0.0.1:{port}{'' if scheme == 'tcp' else '/1'}", timeout=1 if scheme == "tcp" else 10
        )
    assert result.cause == cause
    assert words in result.reason
