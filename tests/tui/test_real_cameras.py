"""The console over a real inference service with a real RTSP camera: added by the form, lost, and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.widgets import Input

from core.site import Site
from tests.inference.conftest import ServiceProcess, serve, server
from tests.support.rtsp import RtspServer
from tests.tui.support import shows, until
from tui.app import XaivaApp

pytestmark = pytest.mark.camera
__all__ = ["serve", "server"]  # the fixtures of the inference service's own tests
PATIENCE = 40.0


@pytest.fixture
def service_site(bare_site: Site, serve: Callable[..., ServiceProcess]) -> Site:
    """A site whose service runs."""
    url = serve().ready().client.url
    service = bare_site.settings.service.model_copy(update={"url": url})
    return Site(bare_site.root, bare_site.settings.model_copy(update={"service": service}), bare_site.env)


async def test_a_camera_is_added_seen_live_lost_and_removed(service_site: Site, server: RtspServer) -> None:
    app = XaivaApp(service_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        await shows(pilot, "the service has no camera")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.focused, Input))
        app.screen.query_one("#camera-id", Input).value = "gate-1"
        app.screen.query_one("#source", Input).value = server.url("cam")
        await pilot.press("enter")
        await shows(pilot, "640×360", PATIENCE)  # the form shows the result of the connection
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await shows(pilot, "● live", PATIENCE)
        server.kill()
        await shows(pilot, "✗ lost", PATIENCE)
        await pilot.press("X", "tab", "enter")
        await shows(pilot, "the service has no camera", PATIENCE)
