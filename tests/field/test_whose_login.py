"""A login belongs to the console that made it until it is said to be the site's; nobody else's login changes who it is.

It applies to whatever another terminal does meanwhile (log in, log in again, log out), to consoles with a login of
their own, with the site's, or with the service's token alone, and to what each of them says about it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr
from textual.pilot import Pilot
from textual.widgets import Input

from core.api_schema import Role, UserRequest
from core.containers.service_discovery import ServiceLocator
from core.inference.auth import passwords
from core.service_client import LoginIdentity, NotLoggedIn, ServiceClient
from core.service_client.login_session import StoredLogin
from core.site import Site
from tests.api.serving import TOKEN, Running, served
from tests.cli.conftest import Xaiva, small_site, xaiva  # noqa: F401 - fixtures
from tests.tui.conftest import bare_site  # noqa: F401 - a fixture
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.screens.login import LoginDialog

PASSWORD = "correct horse battery"
PEOPLE = (("anna", Role.ADMIN), ("ben", Role.VIEWER), ("cleo", Role.OPERATOR))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with three users."""
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    with pytest.MonkeyPatch.context() as patch, served(tmp_path_factory.mktemp("service")) as service:
        patch.setattr(passwords, "_HASHER", quick)
        for name, role in PEOPLE:
            service.service.auth.users.add(UserRequest(name=name, password=SecretStr(PASSWORD), role=role))
        yield service


@pytest.fixture
def site_at(bare_site: Site, running: Running) -> Site:  # noqa: F811
    """A site whose service it is, with the service's token."""
    service = bare_site.settings.service.model_copy(update={"url": running.url})
    settings = bare_site.settings.model_copy(update={"service": service})
    return Site(bare_site.root, settings, {**bare_site.env, "XAIVA_SERVICE_TOKEN": TOKEN})


class Terminals:
    """A console that runs, and another terminal at the same site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.console = ServiceLocator(site)
        self.console.client(10)

    @property
    def other(self) -> ServiceClient:
        """What one command in the other terminal uses."""
        return ServiceClient.for_site(self.site, 10)

    def log_in(self, name: str, for_site: bool = False) -> None:
        """In the console."""
        self.console.current(10).login(name, PASSWORD)
        if for_site:
            self.console.session.share()

    def asks_as(self) -> str:
        """Who the service takes the console for; "" is its token, "ended" a login that is over."""
        client = self.console.current(10)
        try:
            return client.me().name if client.logged_in() else ("" if client.users() else "?")
        except NotLoggedIn:
            return "ended"


Step = Callable[[Terminals], object]
BEFORE: dict[str, Step] = {  # how the console became who it is
    "token": lambda at: at.asks_as(),
    "own": lambda at: at.log_in("anna"),
    "site": lambda at: (at.other.login("anna", PASSWORD), at.console.session.use_site_login()),
    "made for the site": lambda at: at.log_in("anna", for_site=True),
}
MEANWHILE: dict[str, Step] = {  # what the other terminal does
    "nothing": lambda _: None,
    "logs in": lambda at: at.other.login("ben", PASSWORD),
    "logs in twice": lambda at: (at.other.login("ben", PASSWORD), at.other.login("cleo", PASSWORD)),
    "logs out": lambda at: at.other.logout(),
}
TABLE = [  # the console's login, what happens meanwhile, who asks then, and what the console knows
    ("token", "nothing", "", LoginIdentity("", "", False)),
    ("token", "logs in", "", LoginIdentity("", "ben", False)),
    ("token", "logs in twice", "", LoginIdentity("", "cleo", False)),
    ("token", "logs out", "", LoginIdentity("", "", False)),
    ("own", "nothing", "anna", LoginIdentity("anna", "", False, Role.ADMIN)),
    ("own", "logs in", "anna", LoginIdentity("anna", "ben", False, Role.ADMIN)),
    ("own", "logs in twice", "anna", LoginIdentity("anna", "cleo", False, Role.ADMIN)),
    ("own", "logs out", "anna", LoginIdentity("anna", "", False, Role.ADMIN)),
    ("site", "nothing", "anna", LoginIdentity("anna", "anna", True, Role.ADMIN)),
    ("site", "logs in", "anna", LoginIdentity("anna", "ben", False, Role.ADMIN)),
    ("site", "logs in twice", "anna", LoginIdentity("anna", "cleo", False, Role.ADMIN)),
    (
        "site",
        "logs out",
        "ended",
        LoginIdentity("anna", "", False),
    ),  # that login is over for everybody, and no token follows it
    ("made for the site", "nothing", "anna", LoginIdentity("anna", "anna", True, Role.ADMIN)),
    ("made for the site", "logs in", "anna", LoginIdentity("anna", "ben", False, Role.ADMIN)),
    ("made for the site", "logs out", "ended", LoginIdentity("anna", "", False)),
]


@pytest.mark.parametrize(("before", "meanwhile", "asks_as", "knows"), TABLE)
def test_a_console_stays_who_it_is(
    site_at: Site, before: str, meanwhile: str, asks_as: str, knows: LoginIdentity
) -> None:
    at = Terminals(site_at)
    BEFORE[before](at)
    MEANWHILE[meanwhile](at)
    assert (at.asks_as(), at.console.session.identity()) == (asks_as, knows)


@pytest.mark.parametrize(("before", "kept"), [("own", None), ("made for the site", "anna"), ("site", "anna")])
def test_a_console_that_starts_later_has_the_site_login_alone(site_at: Site, before: str, kept: str | None) -> None:
    BEFORE[before](Terminals(site_at))
    assert ServiceLocator(site_at).session.identity() == LoginIdentity(
        kept or "", kept or "", bool(kept), Role.ADMIN if kept else None
    )
    assert ServiceClient.for_site(site_at).logged_in() == (kept or "")


@pytest.mark.parametrize(("before", "site_user"), [("own", ""), ("made for the site", "anna"), ("site", "anna")])
def test_a_logout_in_a_console_ends_nobody_elses_login(site_at: Site, before: str, site_user: str) -> None:
    at = Terminals(site_at)
    BEFORE[before](at)
    at.console.current(10).logout()
    assert (at.asks_as(), at.console.session.identity()) == ("", LoginIdentity("", site_user, False))
    if site_user:
        assert at.other.me().name == site_user


def lasts(running: Running, login: StoredLogin | None) -> bool:
    """Whether the service still takes the access token of a login."""
    assert login is not None
    try:
        return bool(ServiceClient(running.url, token=login.access).me())
    except NotLoggedIn:
        return False


QUITS = [  # the console's login, what happens meanwhile, and whether it lasts when the console has quit
    ("own", "nothing", False),
    ("own", "logs in", False),
    ("own", "logs out", False),
    ("site", "nothing", True),
    ("site", "logs in", True),  # another console may go on with it
    ("made for the site", "nothing", True),
    ("made for the site", "logs in", True),
]


@pytest.mark.parametrize(("before", "meanwhile", "stays"), QUITS)
def test_a_console_that_quits_ends_its_own_login(
    site_at: Site, running: Running, before: str, meanwhile: str, stays: bool
) -> None:
    at = Terminals(site_at)
    BEFORE[before](at)
    login = at.console.session.load()
    assert lasts(running, login)
    MEANWHILE[meanwhile](at)
    at.console.close()
    assert lasts(running, login) is stays


def test_two_consoles_share_a_login_that_is_the_sites_no_more(site_at: Site) -> None:
    first, second = Terminals(site_at), Terminals(site_at)
    BEFORE["site"](first)
    second.console.session.use_site_login()
    MEANWHILE["logs in"](first)
    first.console.current(10).logout()
    assert (first.asks_as(), second.asks_as()) == ("", "anna")


def test_a_service_that_is_away_holds_no_console_up(site_at: Site) -> None:
    at = Terminals(site_at)
    at.log_in("anna")
    at.console.session.url = "http://127.0.0.1:9"
    at.console.close()
    assert at.console.session.identity() == LoginIdentity("", "", False)


@pytest.mark.parametrize("owner", ["console", "other terminal"])
def test_a_shared_login_is_renewed_together(site_at: Site, owner: str) -> None:
    at = Terminals(site_at)
    BEFORE["site"](at)
    file = site_at.state / "service-session.json"
    login = json.loads(file.read_text())
    file.write_text(json.dumps({**login, "expires": 1.0}))
    first, second = (at.asks_as, lambda: at.other.me().name)[:: 1 if owner == "console" else -1]
    assert (first(), second(), first()) == ("anna", "anna", "anna")  # a refresh token used twice would end the login
    assert at.console.session.identity() == LoginIdentity("anna", "anna", True, Role.ADMIN)


def test_an_own_login_is_renewed_and_written_nowhere(site_at: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = Terminals(site_at)
    at.log_in("anna")
    before = at.console.session.load()
    monkeypatch.setattr("core.service_client.login_session.RENEW_EARLY_SECONDS", 1e6)  # every token is about to end
    assert at.asks_as() == "anna"
    assert at.console.session.load() != before
    assert not (site_at.state / "service-session.json").exists()


def test_the_command_line_says_for_whom_a_login_is(xaiva: Xaiva, site: Site, running: Running) -> None:  # noqa: F811
    (site.root / "site.toml").write_text(f'[service]\nurl = "{running.url}"\n')
    text = xaiva("login", "ben", stdin=f"{PASSWORD}\n")
    assert "logged in as ben (viewer) for this site" in text.out
    assert "an open console keeps its own login" in text.out
    assert "ben is logged out of this site" in xaiva("logout").out


async def says(app: XaivaApp, pilot: Pilot[int], words: str) -> None:
    """Wait for a notification; on the screen its lines are wrapped."""
    await until(pilot, lambda: any(words in notification.message for notification in app._notifications))


# -- on the screen -----------------------------------------------------------------------------------------------------


async def test_another_terminals_login_is_said_and_offered(site_at: Site) -> None:
    app = XaivaApp(site_at)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, LoginDialog) and app.screen.is_mounted)
        assert not app.screen.query_one("#take").display
        app.screen.query_one("#user", Input).value = "anna"
        app.screen.query_one("#password", Input).value = PASSWORD
        await pilot.press("enter")
        await says(app, pilot, "logged in as anna (admin) in this console")
        await shows(pilot, "anna (this console)")
        assert not (site_at.state / "service-session.json").exists()

        ServiceClient.for_site(site_at).login("ben", PASSWORD)
        await says(app, pilot, "The site's login is ben now. This console stays anna; F4 offers ben.")
        assert app.service.me().name == "anna"
        await pilot.press("f4")
        await shows(pilot, "Use the site's: ben")
        app.screen.query_one("#take").focus()
        await pilot.press("enter")
        await says(app, pilot, "logged in as ben with the site's login")
        assert app.service.me().name == "ben"
        await until(pilot, lambda: app.user == "ben")
        assert "ben (this console)" not in text(pilot)

        ServiceClient.for_site(site_at).logout()
        await says(app, pilot, "The site's login (ben) has ended. This console used it too: F4 logs in again.")
        ServiceClient.for_site(site_at).login("ben", PASSWORD)
        await until(pilot, lambda: app.who and app.who.site_user == "ben")
        await pilot.press("f6")
        await says(app, pilot, "ben is logged out of this console. The site's login is still ben")
        assert ServiceClient.for_site(site_at).me().name == "ben"


async def test_a_login_for_the_site_is_chosen(site_at: Site) -> None:
    app = XaivaApp(site_at)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, LoginDialog) and app.screen.is_mounted)
        app.screen.query_one("#user", Input).value = "cleo"
        app.screen.query_one("#password", Input).value = PASSWORD
        app.screen.query_one("#for_site").focus()
        await pilot.press("space", "enter")  # Enter submits there as well, and unticks nothing
        await says(app, pilot, "logged in as cleo (operator) for this site")
        await until(pilot, lambda: text(pilot).splitlines()[0].rstrip().endswith("· cleo"))
        await pilot.press("7")
        await until(pilot, lambda: text(pilot).splitlines()[0].rstrip().endswith("· cleo"))
        assert ServiceClient.for_site(site_at).me().name == "cleo"
        path: Path = site_at.state / "service-session.json"
        assert PASSWORD not in path.read_text()
