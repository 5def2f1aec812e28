"""Every route of the inference service as a typed method."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from core.api_schema import (
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
from core.api_schema.event_types import SINCE_API, old_event_types
from core.errors import InputError
from core.natural_order import natural_key
from core.service_client.address import ServiceAddress, named_or_default_address
from core.service_client.calls import UUID, Calls
from core.service_client.download import ProgressCallback, save
from core.service_client.errors import unknown_settings_error
from core.service_client.job_calls import JobCalls
from core.service_client.login_session import LoginSession
from core.service_client.product_calls import ProductCalls
from core.service_client.storage_calls import StorageCalls
from core.service_client.text_formats import build_request
from core.service_client.transport import HttpTransport
from core.site import TOKEN_VARIABLE, Site

SESSION_FILE = "service-session.json"  # in the site's state folder

_PATH_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")


def site_session(site: Site, address: ServiceAddress) -> LoginSession:
    """The login stored in the site for the service at that address."""
    return LoginSession(site.state / SESSION_FILE, address.url)


def _sort_cameras(status: ServiceStatus) -> ServiceStatus:
    """Sort the cameras by id in natural order."""
    return status.model_copy(update={"cameras": sorted(status.cameras, key=lambda camera: natural_key(camera.id))})


def _path(*parts: str) -> str:
    """Join path segments. Raises InputError for a name that would be more than one segment."""
    for part in parts:
        if not _PATH_SEGMENT.fullmatch(part):
            remedy = "a name consists of letters, digits, . _ @ and -"
            raise InputError(f"Name {part!r}", "it has characters that no name has", remedy)
    return "/" + "/".join(parts)


def _event_path(event: str, *parts: str) -> str:
    """A path below an event. Raises InputError if the text cannot be an event id."""
    if not UUID.fullmatch(event):
        raise InputError(f"Event {event}", "there is no event with that id", "copy the whole id from: xaiva event list")
    return _path("events", event, *parts)


class ServiceClient(Calls):
    """A client of one service, authenticated by a login (`session`) or else by the service's `token`.

    No call waits longer than `timeout` seconds for the service. All methods raise ServiceError (with the subclasses
    NotLoggedIn, Forbidden and VersionMismatch), and InputError when the service refuses the request itself: there is
    no such camera, a name is taken. Thread-safe. Idle connections are kept for a short time.
    """

    def __init__(
        self,
        url: str | ServiceAddress,
        timeout: float = 3.0,
        *,
        token: str = "",
        session: LoginSession | None = None,
        ca: str = "",
    ) -> None:
        address = url if isinstance(url, ServiceAddress) else ServiceAddress(url)
        super().__init__(HttpTransport(address, timeout, token, session, ca))
        self.jobs = JobCalls(self._transport)
        self.products = ProductCalls(self._transport)
        self.storage = StorageCalls(self._transport)

    @classmethod
    def for_site(
        cls,
        site: Site,
        timeout: float = 3.0,
        address: ServiceAddress | None = None,
        session: LoginSession | None = None,
    ) -> ServiceClient:
        """The client of the site's service, with the session's login, else the token in `.env` or the environment.

        The default address is the one that was set, else the standard one.
        The default session is the site's login.
        """
        settings = site.settings.service
        address = address or named_or_default_address(site)
        session = session or site_session(site, address)
        ca = str(site.root / settings.ca) if settings.ca else ""
        return cls(address, timeout, token=site.secret(TOKEN_VARIABLE), session=session, ca=ca)

    @property
    def url(self) -> str:
        """The service's address without a trailing slash."""
        return self._transport.url

    @property
    def address(self) -> ServiceAddress:
        """The service's address, and where it was set."""
        return self._transport.address

    def close(self) -> None:
        """Close idle connections. The client can still be used."""
        self._transport.close()

    # -- who asks ------------------------------------------------------------------------------------------------------

    def login(self, name: str, password: str) -> Tokens:
        """Log in. The session, if there is one, stores and renews the login. Raises NotLoggedIn if it is refused."""
        body = build_request(Login, {"name": name, "password": password})
        tokens = self._transport.read(self._transport.send_without_token("POST", "/auth/login", body).text, Tokens)
        if self._transport.session:
            self._transport.session.begin(tokens)
        return tokens

    def change_password(self, current: str, new: str) -> None:
        """Change the password of the current user, whose other logins end. Raises InputError if `current` is wrong."""
        body = build_request(PasswordChange, {"current": current, "new": new})
        self._transport.send_for_login("/auth/password", body)

    def logout(self) -> None:
        """Forget the login, even if the service cannot be reached, and end it there unless others share it."""
        session = self._transport.session
        login = session.load() if session else None
        if session is None or login is None:
            return
        try:
            if login.tokens is not None and session.owns:
                self._transport.send_without_token("POST", "/auth/logout", Refresh(refresh=login.tokens.refresh))
        finally:
            session.forget()

    def logged_in(self) -> str:
        """The user of the stored login; empty: none. Makes no request."""
        login = self._transport.session.load() if self._transport.session else None
        return login.user if login else ""

    def me(self) -> User:
        """The user that the service sees."""
        return self._get("/auth/me", User)

    # -- the service ---------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Whether the service is alive and ready. Raises ServiceError also if another program answers."""
        return self._transport.health()

    def status(self) -> ServiceStatus:
        """The current state of the service and its cameras."""
        return _sort_cameras(self._get("/status", ServiceStatus))

    def stream(self, interval: float = 1.0) -> Iterator[ServiceStatus]:
        """Yield a status every `interval` seconds. Raises ServiceError when the stream ends or breaks."""
        for text in self._stream("/status/stream", {"interval": interval}):
            yield _sort_cameras(self._transport.read_leniently(text, ServiceStatus))

    # -- cameras -------------------------------------------------------------------------------------------------------

    def cameras(self) -> list[CameraStatus]:
        """The current state of every camera."""
        return sorted(self._get("/cameras", list[CameraStatus]), key=lambda camera: natural_key(camera.id))

    def camera(self, camera: str) -> CameraStatus:
        """The current state of a camera."""
        return self._get(_path("cameras", camera), CameraStatus)

    def camera_settings(self, camera: str) -> CameraRequest:
        """The settings of a camera. Hidden credentials in its source are kept when it is sent back."""
        return self._get(_path("cameras", camera, "settings"), CameraRequest)

    def add_camera(self, request: CameraRequest) -> CameraStatus:
        return self._request("POST", "/cameras", CameraStatus, request)

    def update_camera(self, request: CameraRequest) -> CameraStatus:
        """Replace all settings of the camera with that id."""
        return self._request("PUT", _path("cameras", request.id, "settings"), CameraStatus, request)

    def remove_camera(self, camera: str) -> None:
        """Remove a camera. Its events stay."""
        self._transport.send("DELETE", _path("cameras", camera))

    def start_camera(self, camera: str) -> CameraStatus:
        """Start a stopped or failed camera."""
        return self._request("POST", _path("cameras", camera, "start"), CameraStatus)

    def stop_camera(self, camera: str) -> CameraStatus:
        """Stop a camera. It stays in the list."""
        return self._request("POST", _path("cameras", camera, "stop"), CameraStatus)

    def restart_camera(self, camera: str) -> CameraStatus:
        return self._request("POST", _path("cameras", camera, "restart"), CameraStatus)

    def learn(self, camera: str, minutes: float) -> CameraStatus:
        """Learn what is normal for a camera (0 cancels). `learning` in its status shows the progress."""
        if not minutes:
            return self.cancel_learning(camera)
        body = build_request(LearnRequest, {"minutes": minutes})
        return self._request("POST", _path("cameras", camera, "learn"), CameraStatus, body)

    def cancel_learning(self, camera: str) -> CameraStatus:
        """Cancel learning. What was learned earlier stays."""
        return self._request("DELETE", _path("cameras", camera, "learn"), CameraStatus)

    def suspend(self, camera: str, minutes: float) -> CameraStatus:
        """Suspend a camera's notifications for that long; 0 resumes them."""
        body = build_request(SuspendRequest, {"minutes": minutes})
        return self._request("POST", _path("cameras", camera, "suspend"), CameraStatus, body)

    def test_camera(self, request: CameraRequest) -> ConnectionTest:
        """Test the connection with these settings. This takes up to three times their `timeout`, and 10 s."""
        return self._request("POST", "/connection-test", ConnectionTest, request, wait=3 * request.timeout + 10)

    def snapshot(self, camera: str) -> bytes:
        """The newest picture of a live camera, as JPEG."""
        return self._transport.send("GET", _path("cameras", camera, "snapshot")).content

    def thumbnail(self, camera: str, width: int) -> bytes:
        """The newest picture as PPM, at most `width` pixels wide, for clients without a JPEG decoder."""
        return self._transport.send("GET", _path("cameras", camera, "snapshot"), query={"width": width}).content

    # -- events --------------------------------------------------------------------------------------------------------

    def events(self, query: EventQuery | None = None) -> EventPage:
        """One page of events. Its `next` is the `cursor` of the following page.

        Raises InputError for a type that an older service has several words for.
        """
        if query and query.type and self._types_are_old and len(words := old_event_types([query.type])[1:]) > 1:
            why = f"this service is older and calls them {' or '.join(words)}"
            raise InputError(f"Events of type {query.type}", why, "leave the type out, or update the service")
        return self._get("/events", EventPage, query)

    def all_events(self, query: EventQuery | None = None) -> Iterator[Event]:
        """Yield all matching events, page by page."""
        query = query or EventQuery()
        while True:
            page = self.events(query)
            yield from page.events
            if not page.next:
                return
            query = query.model_copy(update={"cursor": page.next})

    def event_stream(self) -> Iterator[Event]:
        """Yield new and updated events. Raises as `stream`; a reader that is too slow is disconnected."""
        for text in self._stream("/events/stream", {}):
            yield self._transport.read_leniently(text, Event)

    def event(self, event: str) -> Event:
        return self._get(_event_path(event), Event)

    def acknowledge(self, ids: list[str], note: str = "") -> int:
        """Acknowledge at most 1000 events. Returns how many were newly acknowledged."""
        body = build_request(Acknowledge, {"ids": ids, "note": note})
        return self._request("POST", "/events/acknowledge", Acknowledged, body).count

    def protect(self, event: str, protected: bool = True) -> Event:
        """Set or remove the protection of an event's clip and snapshot from deletion."""
        return self._request("PUT", _event_path(event, "protected"), Event, Protect(protected=protected))

    def event_snapshot(self, event: str) -> bytes:
        """The event's best picture as JPEG."""
        return self._transport.send("GET", _event_path(event, "snapshot")).content

    def event_thumbnail(self, event: str, width: int) -> bytes:
        """The event's best picture as PPM, at most `width` pixels wide."""
        return self._transport.send("GET", _event_path(event, "snapshot"), query={"width": width}).content

    def save_clip(self, event: str, target: Path, on_progress: ProgressCallback | None = None) -> Path:
        """Download the event's clip (MP4) to `target`, and call `on_progress(done, total)` with numbers of bytes."""
        return save(self._transport, _event_path(event, "clip"), target, on_progress)

    def statistics(self, query: StatisticsQuery | None = None) -> Statistics:
        """Events per day and camera in the service's time zone."""
        return self._get("/statistics", Statistics, query)

    # -- users ---------------------------------------------------------------------------------------------------------

    def users(self) -> list[User]:
        """All users, sorted by name."""
        return sorted(self._get("/users", list[User]), key=lambda user: natural_key(user.name))

    def user(self, name: str) -> User:
        return self._get(_path("users", name), User)

    def add_user(self, request: UserRequest) -> User:
        return self._request("POST", "/users", User, request)

    def update_user(self, name: str, update: UserUpdate) -> User:
        """Change the fields that are set in `update`."""
        return self._request("PATCH", _path("users", name), User, update)

    def remove_user(self, name: str) -> None:
        """Remove a user. The last administrator cannot be removed."""
        self._transport.send("DELETE", _path("users", name))

    # -- notifications -------------------------------------------------------------------------------------------------

    def rules(self) -> list[Rule]:
        """The notification rules in their order."""
        return self._get("/rules", list[Rule])

    def rule(self, name: str) -> Rule:
        """A rule, to be edited. Raises ServiceError if a part is unreadable, because saving would lose it."""
        rule = self._get(_path("rules", name), Rule)
        if rule.unreadable:
            raise unknown_settings_error(self.address, [rule.unreadable])
        return rule

    def add_rule(self, request: RuleRequest) -> Rule:
        return self._request("POST", "/rules", Rule, self._spoken(request))

    def update_rule(self, request: RuleRequest) -> Rule:
        """Replace the rule of that name. A channel that is sent back as it was shown keeps its credentials."""
        return self._request("PUT", _path("rules", request.name), Rule, self._spoken(request))

    @property
    def _types_are_old(self) -> bool:
        return self._transport.api < SINCE_API

    def _spoken(self, rule: RuleRequest) -> RuleRequest:
        """The rule in the words of its service."""
        old = rule.types and self._types_are_old
        return rule.model_copy(update={"types": old_event_types(rule.types)}) if old else rule

    def remove_rule(self, name: str) -> None:
        self._transport.send("DELETE", _path("rules", name))

    def test_rule(self, name: str) -> TestResult:
        """Send a test message over every channel of the rule."""
        return self._request("POST", _path("rules", name, "test"), TestResult, wait=60)

    def deliveries(self, limit: int = 100) -> list[Delivery]:
        """The newest messages in the outbox."""
        text = self._transport.send("GET", "/deliveries", query={"limit": limit}).text
        return self._transport.read_leniently(text, list[Delivery])
