"""The console over a real inference service with a real RTSP camera: added by the form, seen, changed, lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from core.site import Site
from tests.inference.conftest import TOKEN, ServiceProcess, running_service
from tests.support import require, rtsp
from tests.support.rtsp import Live, RtspServer
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.screens import pending_thresholds
from tui.screens.camera_form import CameraForm
from tui.screens.login import LoginDialog
from tui.screens.password import PasswordDialog
from tui.screens.save_file import SaveFile
from tui.screens.service import ServiceScreen
from tui.widgets.choice_list import ChoiceList

pytestmark = pytest.mark.camera
PATIENCE = 40.0
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server() -> Iterator[RtspServer]:
    require(rtsp.available(), "GStreamer's RTSP server is not here")
    with RtspServer({"cam": Live()}) as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for all tests of this file."""
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


SiteOf = Callable[..., Site]


@pytest.fixture
def site_of(bare_site: Site) -> SiteOf:
    """A site for the service at that address, with its token by default."""

    def make(url: str, token: str = TOKEN) -> Site:
        service = bare_site.settings.service.model_copy(update={"url": url})
        settings = bare_site.settings.model_copy(update={"service": service})
        return Site(bare_site.root, settings, {**bare_site.env, "XAIVA_SERVICE_TOKEN": token})

    return make


async def opened(pilot: Pilot[int], dialog: type[Screen[Any]]) -> None:
    """Wait until a form is open and has the focus."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, dialog) and isinstance(app.focused, Input), PATIENCE)


def fill(app: XaivaApp, **values: str) -> None:
    for name, value in values.items():
        app.screen.query_one(f"#{name}", Input).value = value


async def test_a_camera_is_tested_added_seen_tuned_stopped_and_removed(
    site_of: SiteOf, service: ServiceProcess, server: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = XaivaApp(site_of(service.client.url))
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        await shows(pilot, "no cameras you may see")
        await pilot.press("a")
        await opened(pilot, CameraForm)
        fill(app, id="gate-1", source="rtsp://127.0.0.1:9/none", timeout="2")
        await pilot.press("ctrl+t")
        await shows(pilot, "connection failed (refused)", PATIENCE)
        fill(app, source=server.url("cam"), threshold="0.9", schedule="never")
        await pilot.press("ctrl+t")
        await shows(pilot, "is not a day")
        fill(app, schedule="", zones="all: 0,0 1,0 1,1 0,1", timeout="5")
        await pilot.press("ctrl+t")
        await shows(pilot, "640×360", PATIENCE)
        assert service.client.cameras() == []  # a test saves nothing
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1, PATIENCE)
        await shows(pilot, "● live", PATIENCE)
        await shows(pilot, "▀▀", PATIENCE)  # its picture
        before = service.client.camera("gate-1")
        monkeypatch.setattr(pending_thresholds, "SEND_DELAY", 3600)
        await pilot.press("minus", "minus", "minus")
        await shows(pilot, "/0.87")  # at once, before the service knows
        assert service.client.camera("gate-1").threshold == pytest.approx(0.9)
        monkeypatch.setattr(pending_thresholds, "SEND_DELAY", 0.01)
        await pilot.press("plus")
        await until(pilot, lambda: service.client.camera("gate-1").threshold == pytest.approx(0.88))
        after = service.client.camera_settings("gate-1")
        assert after.zones[0].name == "all"
        assert service.client.camera("gate-1").since == before.since  # without a new connection
        await pilot.press("e")
        await opened(pilot, CameraForm)
        fill(app, name="The gate")
        await pilot.press("enter")
        await shows(pilot, "The gate", PATIENCE)
        await pilot.press("z")
        await shows(pilot, "Nobody is notified")
        await pilot.press("enter")
        await shows(pilot, "no notifications until")
        await pilot.press("l")
        await shows(pilot, "counts as normal")
        await pilot.press("enter")
        await shows(pilot, "◐ learning", PATIENCE)
        await pilot.press("s", "tab", "enter")
        await shows(pilot, "■ stopped", PATIENCE)
        await until(pilot, lambda: "▀▀" not in text(pilot))
        await pilot.press("X", "tab", "enter")
        await shows(pilot, "no cameras you may see", PATIENCE)


async def test_an_event_comes_by_itself_and_is_acknowledged_and_taken_home(
    site_of: SiteOf, service: ServiceProcess, server: RtspServer
) -> None:
    site = site_of(service.client.url)
    app = XaivaApp(site)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("8")
        await shows(pilot, "no events yet")
        from core.api_schema import CameraRequest, Detection

        hair_trigger = Detection(threshold=0.02, minimum_seconds=0)
        request = CameraRequest(
            id="yard", source=server.url("cam"), detection=hair_trigger, post_roll=0, longest_clip=2
        )
        service.client.add_camera(request)
        await shows(pilot, "yard", PATIENCE)
        await shows(pilot, "▀▀", PATIENCE)
        await until(pilot, lambda: service.client.events().events[-1].clip.state == "done", PATIENCE)
        service.client.remove_camera("yard")
        event = service.client.events().events[-1]
        choices = app.screen.query_one("#choices", ChoiceList)
        await until(pilot, lambda: event.id in choices.keys)
        choices.move_cursor_to(event.id)
        await until(pilot, lambda: "not yet (a)" in text(pilot))
        await pilot.press("a")
        await shows(pilot, "by the holder of")
        assert service.client.event(event.id).acknowledged
        await pilot.press("p")
        await shows(pilot, "protected")
        await until(pilot, lambda: app.screen.selected().clip.state == "done", PATIENCE)  # type: ignore[attr-defined]
        await pilot.press("s")
        await opened(pilot, SaveFile)
        clip = site.root / "exports" / Path(app.screen.query_one("#path", Input).value).name
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1, PATIENCE)
        assert b"ftyp" in clip.read_bytes()[:16]
        await pilot.press("s")
        await opened(pilot, SaveFile)
        await pilot.press("enter")
        await shows(pilot, "already exists")  # nothing is replaced unasked
        await pilot.press("escape", "x")
        await opened(pilot, SaveFile)
        fill(app, path="exports/all.json")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1, PATIENCE)
        assert event.id in (site.root / "exports" / "all.json").read_text()
        await pilot.press("u")
        await shows(pilot, "waiting")
        await until(pilot, lambda: event.id not in choices.keys)
        await pilot.press("A")
        await shows(pilot, "Acknowledge all waiting events?")
        fill(app, note="all seen")
        await pilot.press("enter")  # the focus is on Cancel
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("A")
        await shows(pilot, "Acknowledge all waiting events?")
        fill(app, note="all seen")
        app.screen.query_one("#note").focus()
        await pilot.press("enter")
        await until(pilot, lambda: service.client.status().unacknowledged == 0, PATIENCE)
        await pilot.press("9")
        await shows(pilot, "motion", PATIENCE)
        await shows(pilot, "yard")


async def test_rules_and_users_are_set_in_the_console(site_of: SiteOf, service: ServiceProcess) -> None:
    app = XaivaApp(site_of(service.client.url))
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("0")
        await shows(pilot, "nobody is notified")
        await pilot.press("n")
        await shows(pilot, "Add a rule")
        fill(app, name="night", to="http://127.0.0.1:9/hook", schedule="mo-fr 18:00-06:00")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await shows(pilot, "mo-fr 18:00-06:00")
        await pilot.press("t")
        await shows(pilot, "webhook:http://127.0.0.1:9/hook.")  # it asks, and says who gets the message
        await pilot.press("y")
        await shows(pilot, "Test of night", PATIENCE)
        await pilot.press("escape", "u")
        await shows(pilot, "Add a user")
        fill(app, name="ana", password=PASSWORD, again="another one")
        await pilot.press("enter")
        await shows(pilot, "passwords differ")
        fill(app, again=PASSWORD, role="admin")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1, PATIENCE)
        await until(pilot, lambda: app.screen.query_one("#users", ChoiceList).keys == ["ana"], PATIENCE)
        await pilot.press("X", "tab", "enter")
        await until(pilot, lambda: service.client.rules() == [])
        await shows(pilot, "memory")  # the ledger
        assert isinstance(app.screen, ServiceScreen)


async def test_a_lost_login_is_asked_for_once_and_keys_stay_alive(site_of: SiteOf, service: ServiceProcess) -> None:
    from core.api_schema import Role, UserRequest, UserUpdate

    if "ben" not in [user.name for user in service.client.users()]:
        service.client.add_user(
            UserRequest.model_validate({"name": "ben", "password": PASSWORD, "role": Role.OPERATOR})
        )
    app = XaivaApp(site_of(service.client.url, token=""))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("6")
        await opened(pilot, LoginDialog)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert "no cameras you may see" not in text(pilot)
        await shows(pilot, "log in with")
        await pilot.press("f4")
        await opened(pilot, LoginDialog)
        fill(app, user="ben", password="not his password")
        await pilot.press("enter")
        await shows(pilot, "name or password is wrong", PATIENCE)
        fill(app, password=PASSWORD)
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1, PATIENCE)
        await shows(pilot, "no cameras you may see", PATIENCE)
        await pilot.press("f7")
        await opened(pilot, PasswordDialog)
        fill(app, current="not his password", new="another password", again="another passwort")
        await pilot.press("enter")
        await shows(pilot, "passwords differ")
        fill(app, again="another password")
        await pilot.press("enter")
        await until(pilot, lambda: "wrong" in text(pilot) and "asking" not in text(pilot), PATIENCE)
        fill(app, current=PASSWORD)
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1, PATIENCE)
        assert app.service.login("ben", "another password").user == "ben"
        service.client.update_user("ben", UserUpdate(active=False))
        await opened(pilot, LoginDialog)
        await pilot.press("escape", "1")
        await until(pilot, lambda: app.current_mode == "overview")
        service.client.remove_user("ben")


async def test_a_service_that_dies_is_told_with_what_was_known(site_of: SiteOf, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    own = ServiceProcess(tmp_path / "own")
    try:
        app = XaivaApp(site_of(own.ready().client.url))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("6")
            await shows(pilot, "no cameras you may see", PATIENCE)
            own.process.kill()
            await shows(pilot, "stale", PATIENCE)
    finally:
        own.process.kill()
        own.process.wait()
    app = XaivaApp(site_of(own.client.url))
    async with app.run_test(size=(120, 40)) as pilot:
        for key, title in (("6", "Cameras"), ("8", "Events"), ("9", "Statistics"), ("0", "Service")):
            await pilot.press(key)
            await shows(pilot, title)
            await shows(pilot, "nothing answers there", PATIENCE)
            assert "has no camera" not in text(pilot)
            assert "no events yet" not in text(pilot)
            assert "nobody is told" not in text(pilot)
