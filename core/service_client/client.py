"""Every route of the inference service as a typed method."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from core.errors import InputError
from core.inference.schemas import (
    Acknowledge,
    Acknowledged,
    CameraRequest,
    CameraStatus,
    ConnectionTest,
    Delivery,
    Event,
    EventPage,
    EventQuery,
    Health,
    LearnRequest,
    Login,
    PasswordChange,
    Protect,
    Refresh,
    Rule,
    RuleRequest,
    ServiceStatus,
    Statistics,
    StatisticsQuery,
    SuspendRequest,
    TestResult,
    Tokens,
    User,
    UserRequest,
    UserUpdate,
)
from core.natural_order import natural_key
from core.service_client import notation
from core.service_client.address import ServiceAddress, assumed
from core.service_client.download import Told, save
from core.service_client.errors import ServiceError, newer_settings
from core.service_client.session import Session
from core.service_client.wire import Wire
from core.site import Site

TOKEN_VARIABLE = "XAIVA_SERVICE_TOKEN"
SESSION_FILE = "service-session.json"  # in the site's state folder
STREAM_SILENCE = (
    10.0  # seconds without a line after which a stream counts as broken; the service never is as long silent
)

Answer = TypeVar("Answer")

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")
_EVENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def site_session(site: Site, address: ServiceAddress) -> Session:
    """The login that is kept in the site for the service at that address."""
    return Session(site.state / SESSION_FILE, address.url)


def _in_order(status: ServiceStatus) -> ServiceStatus:
    """With its cameras by id, as people look for them."""
    return status.model_copy(update={"cameras": sorted(status.cameras, key=lambda camera: natural_key(camera.id))})


def _at(*parts: str) -> str:
    """A path of these parts. Raises InputError for a name that would be more than one of them."""
    for part in parts:
        if not _PART.fullmatch(part):
            raise InputError(f"Name {part!r}", "nothing has such a name", "a name is letters, digits, . _ @ and -")
    return "/" + "/".join(parts)


def _event(event: str, *parts: str) -> str:
    """A path below an event. Raises InputError for what cannot be an event's id: that finds no route to ask."""
    if not _EVENT.fullmatch(event):
        raise InputError(f"Event {event}", "there is no event with that id", "see: xaiva event list; give the whole id")
    return _at("events", event, *parts)


class ServiceClient:
    """Speaks to one service as a person who logged in (`session`), else with the service's `token`.

    No call waits longer than `timeout` seconds for the other side. All raise ServiceError (its kinds NotLoggedIn,
    Forbidden and OtherVersion are told apart) with a remedy, and InputError when the service refuses the request itself
    (there is no such camera, a name is taken). May be used by several threads; keeps its connections for a moment.
    """

    def __init__(
        self,
        url: str | ServiceAddress,
        timeout: float = 3.0,
        *,
        token: str = "",
        session: Session | None = None,
        ca: str = "",
    ) -> None:
        address = url if isinstance(url, ServiceAddress) else ServiceAddress(url)
        self._wire = Wire(address, timeout, token, session, ca)

    @classmethod
    def of(
        cls,
        site: Site,
        timeout: float = 3.0,
        address: ServiceAddress | None = None,
        session: Session | None = None,
    ) -> ServiceClient:
        """The client of the site's service: the session's login, else the token of `.env` or the environment.

        Without an address it is the one that was named, else the usual one.
        Without a session it is the login kept in the site.
        """
        settings = site.settings.service
        address = address or assumed(site)
        session = session or site_session(site, address)
        ca = str(site.root / settings.ca) if settings.ca else ""
        return cls(address, timeout, token=site.secret(TOKEN_VARIABLE), session=session, ca=ca)

    @property
    def url(self) -> str:
        """The service's address, without a slash at its end."""
        return self._wire.url

    @property
    def address(self) -> ServiceAddress:
        """The service's address, and what named it."""
        return self._wire.address

    def close(self) -> None:
        """Close kept connections; the client stays usable."""
        self._wire.close()

    # -- who asks ------------------------------------------------------------------------------------------------------

    def login(self, name: str, password: str) -> Tokens:
        """Log in; the session, if there is one, keeps the login and renews it. Raises NotLoggedIn when refused."""
        tokens = self._wire.read(
            self._wire.open_send(
                "POST", "/auth/login", notation.build(Login, {"name": name, "password": password})
            ).text,
            Tokens,
        )
        if self._wire.session:
            self._wire.session.begin(tokens)
        return tokens

    def change_password(self, current: str, new: str) -> None:
        """Change the password of whoever is logged in; their other logins end. Raises InputError for a wrong one."""
        body = notation.build(PasswordChange, {"current": current, "new": new})
        self._wire.send_for_login("/auth/password", body)

    def logout(self) -> None:
        """Forget the login here, also if the service is away; end it there if nobody else goes on with it."""
        session = self._wire.session
        login = session.load() if session else None
        if session is None or login is None:
            return
        try:
            if login.tokens is not None and session.owns:
                self._wire.open_send("POST", "/auth/logout", Refresh(refresh=login.tokens.refresh))
        finally:
            session.forget()

    def logged_in(self) -> str:
        """The name of the login that is kept here, empty for none; asks nobody."""
        login = self._wire.session.load() if self._wire.session else None
        return login.user if login else ""

    def me(self) -> User:
        """Who the service takes this client for."""
        return self._get("/auth/me", User)

    # -- the service ---------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Whether the service is alive and ready. Raises ServiceError also when something else answers there."""
        return self._wire.health()

    def status(self) -> ServiceStatus:
        """The service and all its cameras as they are now."""
        return _in_order(self._get("/status", ServiceStatus))

    def stream(self, interval: float = 1.0) -> Iterator[ServiceStatus]:
        """A status every `interval` seconds until the caller stops. Its end is an error, as a broken line is."""
        for text in self._stream("/status/stream", {"interval": interval}):
            yield _in_order(self._wire.read_leniently(text, ServiceStatus))

    # -- cameras -------------------------------------------------------------------------------------------------------

    def cameras(self) -> list[CameraStatus]:
        """Every camera as it is now."""
        return sorted(self._get("/cameras", list[CameraStatus]), key=lambda camera: natural_key(camera.id))

    def camera(self, camera: str) -> CameraStatus:
        """One camera as it is now."""
        return self._get(_at("cameras", camera), CameraStatus)

    def camera_settings(self, camera: str) -> CameraRequest:
        """One camera as it is set. Its source has the credentials taken out; sent back like that, it keeps them."""
        return self._get(_at("cameras", camera, "settings"), CameraRequest)

    def add_camera(self, request: CameraRequest) -> CameraStatus:
        """Add a camera; the service keeps it over restarts."""
        return self._ask("POST", "/cameras", CameraStatus, request)

    def update_camera(self, request: CameraRequest) -> CameraStatus:
        """Set the camera of that id anew, as a whole; the others notice nothing."""
        return self._ask("PUT", _at("cameras", request.id, "settings"), CameraStatus, request)

    def remove_camera(self, camera: str) -> None:
        """Stop a camera and forget it; its events stay."""
        self._wire.send("DELETE", _at("cameras", camera))

    def start_camera(self, camera: str) -> CameraStatus:
        """Start a stopped or failed camera."""
        return self._ask("POST", _at("cameras", camera, "start"), CameraStatus)

    def stop_camera(self, camera: str) -> CameraStatus:
        """Stop a camera; it stays in the list."""
        return self._ask("POST", _at("cameras", camera, "stop"), CameraStatus)

    def restart_camera(self, camera: str) -> CameraStatus:
        """Connect anew."""
        return self._ask("POST", _at("cameras", camera, "restart"), CameraStatus)

    def learn(self, camera: str, minutes: float) -> CameraStatus:
        """Learn the camera's normal pictures for that long, 0 ends it; the status' `learning` shows how far it is."""
        if not minutes:
            return self.cancel_learning(camera)
        return self._ask(
            "POST", _at("cameras", camera, "learn"), CameraStatus, notation.build(LearnRequest, {"minutes": minutes})
        )

    def cancel_learning(self, camera: str) -> CameraStatus:
        """End the learning; what was learned before stays."""
        return self._ask("DELETE", _at("cameras", camera, "learn"), CameraStatus)

    def suspend(self, camera: str, minutes: float) -> CameraStatus:
        """Send no notifications of this camera for that long; 0 ends it."""
        return self._ask(
            "POST",
            _at("cameras", camera, "suspend"),
            CameraStatus,
            notation.build(SuspendRequest, {"minutes": minutes}),
        )

    def test_camera(self, request: CameraRequest) -> ConnectionTest:
        """Try to connect to what may become a camera; takes up to three times its own `timeout`, and some seconds."""
        return self._ask("POST", "/connection-test", ConnectionTest, request, wait=3 * request.timeout + 10)

    def snapshot(self, camera: str) -> bytes:
        """The newest picture of a live camera, as JPEG."""
        return self._wire.send("GET", _at("cameras", camera, "snapshot")).content

    def thumbnail(self, camera: str, width: int) -> bytes:
        """The same as PPM, at most `width` pixels wide: for who has no JPEG decoder."""
        return self._wire.send("GET", _at("cameras", camera, "snapshot"), query={"width": width}).content

    # -- events --------------------------------------------------------------------------------------------------------

    def events(self, query: EventQuery | None = None) -> EventPage:
        """One page of events; its `next` is the `cursor` of the following one."""
        return self._get("/events", EventPage, query)

    def all_events(self, query: EventQuery | None = None) -> Iterator[Event]:
        """Every event that fits, page by page."""
        query = query or EventQuery()
        while True:
            page = self.events(query)
            yield from page.events
            if not page.next:
                return
            query = query.model_copy(update={"cursor": page.next})

    def event_stream(self) -> Iterator[Event]:
        """Events as they are written or completed, from now on; as `stream`. Who reads too slowly is cut off."""
        for text in self._stream("/events/stream", {}):
            yield self._wire.read_leniently(text, Event)

    def event(self, event: str) -> Event:
        """One event."""
        return self._get(_event(event), Event)

    def acknowledge(self, ids: list[str], note: str = "") -> int:
        """Acknowledge events (at most 1000); returns how many had not been before."""
        return self._ask(
            "POST", "/events/acknowledge", Acknowledged, notation.build(Acknowledge, {"ids": ids, "note": note})
        ).count

    def protect(self, event: str, protected: bool = True) -> Event:
        """Keep an event's clip and snapshot when others must go, or no longer."""
        return self._ask("PUT", _event(event, "protected"), Event, Protect(protected=protected))

    def event_snapshot(self, event: str) -> bytes:
        """The event's best picture, as JPEG."""
        return self._wire.send("GET", _event(event, "snapshot")).content

    def event_thumbnail(self, event: str, width: int) -> bytes:
        """The same as PPM, at most `width` pixels wide."""
        return self._wire.send("GET", _event(event, "snapshot"), query={"width": width}).content

    def save_clip(self, event: str, target: Path, told: Told | None = None) -> Path:
        """Write the event's clip (MP4) to `target`, whole or not at all; `told(done, all)` hears of bytes."""
        return save(self._wire, _event(event, "clip"), target, told)

    def statistics(self, query: StatisticsQuery | None = None) -> Statistics:
        """Events a day and camera in the service's zone."""
        return self._get("/statistics", Statistics, query)

    # -- users ---------------------------------------------------------------------------------------------------------

    def users(self) -> list[User]:
        """Everybody who may log in."""
        return sorted(self._get("/users", list[User]), key=lambda user: natural_key(user.name))

    def user(self, name: str) -> User:
        """One user."""
        return self._get(_at("users", name), User)

    def add_user(self, request: UserRequest) -> User:
        """Add a user."""
        return self._ask("POST", "/users", User, request)

    def update_user(self, name: str, update: UserUpdate) -> User:
        """Change what `update` names."""
        return self._ask("PATCH", _at("users", name), User, update)

    def remove_user(self, name: str) -> None:
        """Remove a user; the last administrator stays."""
        self._wire.send("DELETE", _at("users", name))

    # -- notifications -------------------------------------------------------------------------------------------------

    def rules(self) -> list[Rule]:
        """The rules, in their order."""
        return self._get("/rules", list[Rule])

    def rule(self, name: str) -> Rule:
        """One rule, to be changed: one of which something cannot be read is refused, as that would be lost."""
        rule = self._get(_at("rules", name), Rule)
        if rule.unreadable:
            raise newer_settings(self.address, [rule.unreadable])
        return rule

    def add_rule(self, request: RuleRequest) -> Rule:
        """Add a rule."""
        return self._ask("POST", "/rules", Rule, request)

    def update_rule(self, request: RuleRequest) -> Rule:
        """Set the rule of that name anew; a channel sent back as it was shown keeps its credentials."""
        return self._ask("PUT", _at("rules", request.name), Rule, request)

    def remove_rule(self, name: str) -> None:
        """Remove a rule."""
        self._wire.send("DELETE", _at("rules", name))

    def test_rule(self, name: str) -> TestResult:
        """Send a test message over every channel of the rule now."""
        return self._ask("POST", _at("rules", name, "test"), TestResult, wait=60)

    def deliveries(self, limit: int = 100) -> list[Delivery]:
        """The newest messages of the outbox."""
        text = self._wire.send("GET", "/deliveries", query={"limit": limit}).text
        return self._wire.read_leniently(text, list[Delivery])

    # ------------------------------------------------------------------------------------------------------------------

    def _get(self, path: str, kind: type[Answer], query: BaseModel | None = None) -> Answer:
        asked = query.model_dump(mode="json", exclude_defaults=True) if query else None
        return self._wire.read_leniently(self._wire.send("GET", path, query=asked).text, kind)

    def _ask(
        self, method: str, path: str, kind: type[Answer], body: BaseModel | None = None, *, wait: float = 0
    ) -> Answer:
        return self._wire.read_leniently(self._wire.send(method, path, body, wait=wait).text, kind)

    def _stream(self, path: str, query: dict[str, float]) -> Iterator[str]:
        """The data of server-sent events. A stream ends with the login's access token; then another is opened."""
        while True:
            with self._wire.streamed(path, query, {}, STREAM_SILENCE) as response:
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        yield line[5:].strip()
            if not self._wire.aged():
                raise ServiceError(
                    f"Inference service {self.url}",
                    "it ended the stream",
                    "see its log: xaiva logs CONTAINER; then try again",
                )
