"""Services that are old, foreign, slow or silent are reported, while keys keep working."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.api_schema.base import VERSION_HEADER
from core.site import Site
from tests.tui.support import shows, text, until
from tui.app import XaivaApp


@contextmanager
def answering(status: int, body: str, **headers: str) -> Iterator[str]:
    """The address of a server that gives everybody the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def at(site: Site, url: str) -> Site:
    service = site.settings.service.model_copy(update={"url": url})
    return Site(site.root, site.settings.model_copy(update={"service": service}), site.env)


@pytest.mark.parametrize(("version", "words"), [("1", "it uses version 1"), ("99", "it uses version 99")])
async def test_another_version_is_told(bare_site: Site, version: str, words: str) -> None:
    with answering(200, "{}", **{VERSION_HEADER: version}) as url:
        app = XaivaApp(at(bare_site, url))
        async with app.run_test(size=(120, 40)) as pilot:
            for key in "6890":
                await pilot.press(key)
                await shows(pilot, words)
                await shows(pilot, "newer")


async def test_something_else_at_that_address_is_told(bare_site: Site) -> None:
    with answering(200, "<html>a printer</html>") as url:
        app = XaivaApp(at(bare_site, url))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("6")
            await shows(pilot, "not xaiva's")


async def test_a_service_that_accepts_and_never_answers_holds_no_key(bare_site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = XaivaApp(at(bare_site, f"http://127.0.0.1:{silent.getsockname()[1]}"))
        async with app.run_test(size=(120, 40)) as pilot:
            for key, mode in (
                ("6", "cameras"),
                ("8", "events"),
                ("9", "statistics"),
                ("0", "service"),
                ("1", "overview"),
            ):
                await pilot.press(key)
                await until(pilot, lambda mode=mode: app.current_mode == mode, 5)
            await pilot.press("6")
            await shows(pilot, "does not answer within", 15)
            assert "has no camera" not in text(pilot)
