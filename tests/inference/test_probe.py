"""`xaiva-inference health` against the real service, over HTTP and TLS, and against what is not well."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.api_schema import Health
from core.inference.__main__ import main
from tests.api.serving import served
from tests.support import require
from tests.support.streams import certificate


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """The port of somebody who answers every request so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_service_that_is_well(
    tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require(not tls or shutil.which("openssl"), "openssl")
    pair = certificate(tmp_path) if tls else None
    with served(tmp_path / "data", tls=pair) as running:
        port = running.url.rpartition(":")[2]
        monkeypatch.setenv("XAIVA_HOST", "0.0.0.0")
        monkeypatch.setenv("XAIVA_TLS_CERTIFICATE", str(pair[0]) if pair else "")
        assert main(["health", "--port", port]) == 0
        assert capsys.readouterr().out == "healthy: 0 of 0 cameras live\n"
        monkeypatch.setenv("XAIVA_TLS_CERTIFICATE", "" if tls else "/any.pem")
        assert main(["health", "--port", port]) == 1
    assert main(["health", "--port", port]) == 1
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, Health(live=True, ready=False, version="1").model_dump_json(), "have not been started"),
        (503, Health(live=False, ready=True, version="1").model_dump_json(), "no longer watches"),
        (200, '{"status": "ok"}', "not like the service"),
        (404, '["nothing here"]', "answers 404"),
        (200, "<html>", "does not answer"),
    ],
)
def test_what_is_not_well_says_why(status: int, body: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(status, body) as port:
        assert main(["health", "--port", port]) == 1
    output = capsys.readouterr()
    assert said in output.err
    assert output.out == ""
