"""The HTTP transport to one service: authentication, time-outs, and errors as messages."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError

from core.errors import InputError, XaivaError
from core.inference.schemas import API_VERSION, SERVICE_NAME, Health, Problem, Refresh, Tokens
from core.inference.schemas.base import NOTHING, READING, VERSION_HEADER, Asked, Said
from core.service_client.address import ServiceAddress
from core.service_client.errors import (
    BrokenConnection,
    Forbidden,
    NotLoggedIn,
    OtherVersion,
    ServiceError,
    absent,
    foreign,
    newer_settings,
    not_logged_in,
)
from core.service_client.session import KeptLogin, Session

if TYPE_CHECKING:
    import httpx

IDLE_SECONDS = 2.0  # an unused connection is closed before the service does it (5 s), lest a request meets the close
_INPUT_CODES = (404, 409, 413, 422)  # the request itself is at fault

Answer = TypeVar("Answer")

# httpx has a command line of its own and imports it, with pygments and half of rich: longer than all the rest of it.
# Where that one module cannot be imported it does without.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]


class Wire:
    """Sends requests; may be used by several threads. What fails is a kind of ServiceError, or an InputError."""

    def __init__(self, address: ServiceAddress, timeout: float, token: str, session: Session | None, ca: str) -> None:
        self.address = address
        self.url = address.url.rstrip("/")
        self.session = session
        self._timeout = timeout
        self._token = token
        self._ca = ca
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._known = False  # whether the other side has shown that it is ours, and of our version

    def close(self) -> None:
        """Close the kept connections; a later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def health(self) -> Health:
        """As `ServiceClient.health`."""
        import httpx

        with self.explained():
            response = self._http().get("/health")
        try:
            health = Health.model_validate_json(response.text)
        except ValidationError as error:
            raise foreign(self.address) from error
        if health.service != SERVICE_NAME or response.status_code not in (
            httpx.codes.OK,
            httpx.codes.SERVICE_UNAVAILABLE,
        ):
            raise foreign(self.address)
        if health.api != API_VERSION:
            raise OtherVersion(self.address, health.api, API_VERSION)
        return health

    def send(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        wait: float = 0,
    ) -> httpx.Response:
        """One request as whoever is logged in; a login that ran out in between is renewed once.

        `wait`: seconds the service may take for the answer, where that is longer than usual.
        """
        bearer = self.bearer()
        response = self._once(method, path, bearer, body, query, wait)
        if response.status_code == 401 and (renewed := self._renewed_after(bearer)):
            response = self._once(method, path, renewed, body, query, wait)
        return self.accepted(response)

    def open_send(self, method: str, path: str, body: BaseModel) -> httpx.Response:
        """One request without any token: logging in, renewing, logging out."""
        return self.accepted(self._once(method, path, "", body))

    def send_for_login(self, path: str, body: BaseModel) -> None:
        """One POST that ends the login that is kept and is answered with the next, which is kept.

        Nobody renews the old one meanwhile: it would seem to have ended for good.
        """
        bearer = self.bearer()
        with self.session.alone() if self.session else nullcontext():
            response = self.accepted(self._once("POST", path, bearer, body))
            if self.session:
                self.session.keep(self.read(response.text, Tokens))

    @contextmanager
    def streamed(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], silence: float
    ) -> Iterator[httpx.Response]:
        """As `send`, an answer whose body is read piece by piece; `silence` seconds without one are an error."""
        self._knock()
        import httpx

        limits = httpx.Timeout(self._timeout, read=silence)

        def opened(bearer: str) -> AbstractContextManager[httpx.Response]:
            said = {**_authorisation(bearer), **headers}
            return self._http().stream("GET", path, params=dict(query), headers=said, timeout=limits)

        with self.explained(), ExitStack() as answers:
            bearer = self.bearer()
            response = answers.enter_context(opened(bearer))
            if response.status_code == 401 and (renewed := self._renewed_after(bearer)):
                response = answers.enter_context(opened(renewed))
            if not response.is_success:
                response.read()
            yield self.accepted(response)

    def read(self, text: str, kind: type[Answer]) -> Answer:
        """The answer as what it should be. Raises ServiceError when it is not."""
        try:
            return TypeAdapter(kind).validate_json(text)
        except ValidationError as error:
            raise foreign(self.address) from error

    def read_leniently(self, text: str, kind: type[Answer]) -> Answer:
        """As `read`; what a newer service says otherwise is kept as it is, or named in the answer's `unreadable`."""
        try:
            answer = TypeAdapter(kind).validate_json(text, context=READING)
        except ValidationError as error:
            if isinstance(kind, type) and issubclass(kind, Asked):  # a setting that is sent back must be whole
                fields = (".".join(map(str, one["loc"])) for one in error.errors(include_input=False))
                raise newer_settings(self.address, list(fields)) from error
            raise foreign(self.address) from error
        if isinstance(answer, Said) and answer.unreadable == NOTHING:
            raise foreign(self.address)
        return answer

    def bearer(self) -> str:
        """The token of whoever asks: a person's login, else the service's token. Raises NotLoggedIn when it ended."""
        login = self.session.load() if self.session else None
        if login is None:
            return self._token
        if login.aged:
            login = self._renew(login)
        return login.access

    def accepted(self, response: httpx.Response) -> httpx.Response:
        """`response`, if it is a good one of our version. Raises what the refusal says."""
        self._look_who_answers(response)
        if response.is_success:
            return response
        raise self._refusal(response)

    @contextmanager
    def explained(self, seconds: float = 0) -> Iterator[None]:
        """Turns what httpx raises into words; `seconds`: how long it was waited for, where that is not the usual."""
        import httpx

        what = str(self.address)
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            remedy = "write the address as http://host:8600"
            raise InputError(what, str(error), remedy) from error
        except httpx.TimeoutException as error:
            why = f"it does not answer within {seconds or self._timeout:g} s"
            remedy = f"see its log: {self._log}; a busy machine or a dropped line passes"
            raise ServiceError(what, why, remedy) from error
        except httpx.TransportError as error:
            if cause := _tls_cause(error):
                raise _untrusted(what, cause) from error
            if isinstance(error, httpx.ConnectError):
                raise absent(self.address) from error
            raise BrokenConnection(what, "the connection broke", f"try again; see its log: {self._log}") from error

    @property
    def _log(self) -> str:
        return f"xaiva logs {self.address.container or 'CONTAINER'}"

    def aged(self) -> bool:
        """Whether a person is logged in whose access token has run out, or is about to."""
        login = self.session.load() if self.session else None
        return login is not None and login.aged

    def _once(
        self,
        method: str,
        path: str,
        bearer: str,
        body: BaseModel | None = None,
        query: Mapping[str, Any] | None = None,
        wait: float = 0,
    ) -> httpx.Response:
        self._knock()
        import httpx

        seconds = max(wait, self._timeout)
        with self.explained(seconds):
            return self._http().request(
                method,
                path,
                headers=_authorisation(bearer),
                json=payload(body) if body is not None else None,
                params=dict(query) if query else None,
                timeout=httpx.Timeout(self._timeout, read=seconds),
            )

    def _knock(self) -> None:
        """Raise ServiceError when nobody listens: to know that, nothing needs to be loaded that speaks HTTP."""
        if "httpx" in sys.modules:
            return
        with suppress(ValueError):  # a URL that is none is told of later
            address = urlsplit(self.url)
            if not address.hostname:
                return
            port = address.port or (443 if address.scheme == "https" else 80)
            try:
                socket.create_connection((address.hostname, port), self._timeout).close()
            except ConnectionRefusedError as error:
                raise absent(self.address) from error
            except OSError:
                return  # told in words by who speaks HTTP

    def _http(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    base_url=self.url,
                    timeout=self._timeout,
                    limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
                    trust_env=False,  # a proxy for the internet does not know the site's machines
                    verify=self._trust(),
                )
            return self._client

    def _trust(self) -> ssl.SSLContext | bool:
        if not self.url.startswith("https:"):
            return False  # no certificates to load
        try:
            return ssl.create_default_context(cafile=self._ca or None)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or "it holds no certificate"
            raise InputError(f"{self._ca}", why, "set [service] ca in site.toml to a PEM file") from error

    def _renewed_after(self, refused: str) -> str:
        """Another access token than the one refused; empty when there is no login to renew."""
        login = self.session.load() if self.session else None
        if login is None or login.tokens is None:
            return ""
        return login.access if login.access != refused else self._renew(login).access

    def _renew(self, old: KeptLogin) -> KeptLogin:
        assert self.session is not None
        with self.session.alone():
            login = self.session.load()
            if login is None or login.tokens is None:
                raise not_logged_in(self.address, f"the login of {old.user} has ended")
            if login.access != old.access:
                return login  # another process was faster
            wish = Refresh(refresh=login.tokens.refresh)
            try:
                response = self._once("POST", "/auth/refresh", "", wish)
            except BrokenConnection:  # the service may have renewed it, and answers the same for a while
                response = self._once("POST", "/auth/refresh", "", wish)
            if response.status_code == 401:
                self.session.end(login.user)
                raise not_logged_in(self.address, f"the login of {old.user} has ended")
            return self.session.keep(self.read(self.accepted(response).text, Tokens))

    def _look_who_answers(self, response: httpx.Response) -> None:
        """Raises ServiceError when it is not ours, OtherVersion when it is older or newer."""
        version = response.headers.get(VERSION_HEADER, "")
        if version.isdecimal() and int(version) != API_VERSION:
            raise OtherVersion(self.address, int(version), API_VERSION)
        if not version and not self._known:
            self.health()
        self._known = True

    def _refusal(self, response: httpx.Response) -> XaivaError:
        if response.status_code == 401 and not response.request.url.path.endswith("/auth/login"):
            return not_logged_in(self.address)
        try:
            problem = Problem.model_validate_json(response.text)
        except ValueError:
            return foreign(self.address)
        kind: type[XaivaError] = InputError if response.status_code in _INPUT_CODES else ServiceError
        if response.status_code == 401:
            kind = NotLoggedIn
        elif response.status_code == 403:
            kind = Forbidden
        return kind(problem.what, problem.why, problem.remedy)


def payload(body: BaseModel) -> dict[str, Any]:
    """`body` as JSON; pydantic alone would send asterisks for a password."""
    from pydantic import SecretStr

    secrets = {name: value.get_secret_value() for name, value in body if isinstance(value, SecretStr)}
    return {**body.model_dump(mode="json"), **secrets}


def _authorisation(bearer: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {bearer}"} if bearer else {}


def _tls_cause(error: BaseException) -> ssl.SSLError | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _untrusted(what: str, cause: ssl.SSLError) -> ServiceError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        remedy = "set [service] ca in site.toml to the certificate, or to that of the authority that signed it"
        return ServiceError(what, f"its certificate is not trusted: {cause.verify_message}", remedy)
    return ServiceError(what, "it does not speak TLS there", "write [service] url in site.toml with http:// or fix TLS")
