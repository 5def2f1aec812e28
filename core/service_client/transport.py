"""The HTTP transport to one service: authentication, time-outs, and errors as messages."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError

from core.api_schema import API_VERSION, SERVICE_NAME, Health, Problem, Refresh, Tokens
from core.api_schema.base import LENIENT, NOTHING_READABLE, READABLE_APIS, VERSION_HEADER, RequestModel, ResponseModel
from core.errors import InputError, XaivaError
from core.service_client.address import ServiceAddress
from core.service_client.errors import (
    BrokenConnection,
    Forbidden,
    NotLoggedIn,
    ServiceError,
    VersionMismatch,
    login_required_error,
    no_answer_error,
    not_xaiva_error,
    unknown_settings_error,
)
from core.service_client.login_session import LoginSession, StoredLogin

if TYPE_CHECKING:
    import httpx

IDLE_SECONDS = 2.0  # shorter than the service's own 5 s, so that no request hits a connection that is being closed
_INPUT_CODES = (404, 409, 413, 422)  # the request itself is wrong

AnswerT = TypeVar("AnswerT")


class HttpTransport:
    """Sends requests. Thread-safe. Failures are raised as ServiceError or InputError."""

    def __init__(
        self, address: ServiceAddress, timeout: float, token: str, session: LoginSession | None, ca: str
    ) -> None:
        self.address = address
        self.url = address.url.rstrip("/")
        self.session = session
        self._timeout = timeout
        self._token = token
        self._ca = ca
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._identified = False  # whether the other side is xaiva's service, in a version that can be read
        self._api = 0  # its version, once it has answered

    @property
    def api(self) -> int:
        """The version of the API that the service speaks; asks for it when nothing is known yet."""
        if not self._api:
            self.health()
        return self._api

    def close(self) -> None:
        """Close idle connections. A later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def health(self) -> Health:
        """The health of the service. Raises ServiceError also if another program answers."""
        import httpx

        with self.translated_errors():
            response = self._http_client().get("/health")
        try:
            health = Health.model_validate_json(response.text)
        except ValidationError as error:
            raise not_xaiva_error(self.address) from error
        if health.service != SERVICE_NAME or response.status_code not in (
            httpx.codes.OK,
            httpx.codes.SERVICE_UNAVAILABLE,
        ):
            raise not_xaiva_error(self.address)
        if health.api not in READABLE_APIS:
            raise VersionMismatch(self.address, health.api, API_VERSION)
        self._api = health.api
        return health

    def send(
        self,
        method: str,
        path: str,
        body: BaseModel | bytes | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        wait: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request as the current user, with JSON or bytes as its body. An expired login is renewed once.

        `wait`: seconds the service may take for the response, if longer than the timeout.
        """
        bearer = self.bearer_token()
        response = self._request_once(method, path, bearer, body, query, wait, headers)
        if response.status_code == 401 and (renewed := self._renew_refused(bearer)):
            response = self._request_once(method, path, renewed, body, query, wait, headers)
        return self.checked(response)

    def send_pieces(
        self, method: str, path: str, pieces: Callable[[], Iterator[bytes]], size: int, seconds: float
    ) -> httpx.Response:
        """As `send`, with a body of `size` bytes that comes in pieces, from the start again for a renewed login."""
        self._probe_port()
        import httpx

        def send(bearer: str) -> httpx.Response:
            headers = {**_authorisation(bearer), "Content-Length": str(size)}
            limits = httpx.Timeout(self._timeout, read=seconds, write=seconds)
            with self.translated_errors(seconds):
                return self._http_client().request(method, path, headers=headers, content=pieces(), timeout=limits)

        bearer = self.bearer_token()
        response = send(bearer)
        if response.status_code == 401 and (renewed := self._renew_refused(bearer)):
            response = send(renewed)
        return self.checked(response)

    def send_without_token(self, method: str, path: str, body: BaseModel) -> httpx.Response:
        """Send a request without a token, for logging in, renewing and logging out."""
        return self.checked(self._request_once(method, path, "", body))

    def send_for_login(self, path: str, body: BaseModel) -> None:
        """Send a POST that replaces the stored login by the one in the response.

        The login is locked meanwhile, because renewing the old one would make it look ended.
        """
        bearer = self.bearer_token()
        with self.session.exclusive() if self.session else nullcontext():
            response = self.checked(self._request_once("POST", path, bearer, body))
            if self.session:
                self.session.keep(self.read(response.text, Tokens))

    @contextmanager
    def stream(
        self, path: str, query: Mapping[str, Any], headers: Mapping[str, str], silence: float
    ) -> Iterator[httpx.Response]:
        """As `send`, for a body that is read in pieces. `silence` seconds without data raise an error."""
        self._probe_port()
        import httpx

        limits = httpx.Timeout(self._timeout, read=silence)

        def open_stream(bearer: str) -> AbstractContextManager[httpx.Response]:
            all_headers = {**_authorisation(bearer), **headers}
            return self._http_client().stream("GET", path, params=dict(query), headers=all_headers, timeout=limits)

        with self.translated_errors(), ExitStack() as stack:
            bearer = self.bearer_token()
            response = stack.enter_context(open_stream(bearer))
            if response.status_code == 401 and (renewed := self._renew_refused(bearer)):
                response = stack.enter_context(open_stream(renewed))
            if not response.is_success:
                response.read()
            yield self.checked(response)

    def read(self, text: str, kind: type[AnswerT]) -> AnswerT:
        """Parse a response. Raises ServiceError if it is invalid."""
        try:
            return TypeAdapter(kind).validate_json(text)
        except ValidationError as error:
            raise not_xaiva_error(self.address) from error

    def read_leniently(self, text: str, kind: type[AnswerT]) -> AnswerT:
        """As `read`, but accepts unknown words, and lists unreadable fields in the response's `unreadable`."""
        try:
            answer = TypeAdapter(kind).validate_json(text, context=LENIENT)
        except ValidationError as error:
            if isinstance(kind, type) and issubclass(
                kind, RequestModel
            ):  # settings are sent back, so they must be complete
                fields = (".".join(map(str, details["loc"])) for details in error.errors(include_input=False))
                raise unknown_settings_error(self.address, list(fields)) from error
            raise not_xaiva_error(self.address) from error
        if isinstance(answer, ResponseModel) and answer.unreadable == NOTHING_READABLE:
            raise not_xaiva_error(self.address)
        return answer

    def bearer_token(self) -> str:
        """The token for requests: the login's, else the service's. Raises NotLoggedIn if the login has ended."""
        login = self.session.load() if self.session else None
        if login is None:
            return self._token
        if login.expires_soon:
            login = self._renew(login)
        return login.access

    def checked(self, response: httpx.Response) -> httpx.Response:
        """Return a successful response. Raises the error in any other."""
        self._check_version(response)
        if response.is_success:
            return response
        raise self._refusal_error(response)

    @contextmanager
    def translated_errors(self, seconds: float = 0) -> Iterator[None]:
        """Turn errors of httpx into xaiva's. `seconds`: how long it waited, if not for the timeout."""
        import httpx

        what = str(self.address)
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            remedy = "write the address as http://host:8600"
            raise InputError(what, str(error), remedy) from error
        except httpx.TimeoutException as error:
            why = f"it does not answer within {seconds or self._timeout:g} s"
            remedy = (
                f"try again, because the machine may be busy or the line down; its log says more: {self._log_command}"
            )
            raise ServiceError(what, why, remedy) from error
        except httpx.TransportError as error:
            if cause := _tls_cause(error):
                raise _tls_error(what, cause) from error
            if isinstance(error, httpx.ConnectError):
                raise no_answer_error(self.address) from error
            raise BrokenConnection(
                what, "the connection broke", f"try again; its log says more: {self._log_command}"
            ) from error

    @property
    def _log_command(self) -> str:
        return f"xaiva logs {self.address.container or 'CONTAINER'}"

    def login_expires_soon(self) -> bool:
        """Whether there is a login whose access token has expired or is about to."""
        login = self.session.load() if self.session else None
        return login is not None and login.expires_soon

    def _request_once(
        self,
        method: str,
        path: str,
        bearer: str,
        body: BaseModel | bytes | None = None,
        query: Mapping[str, Any] | None = None,
        wait: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        self._probe_port()
        import httpx

        seconds = max(wait, self._timeout)
        all_headers = {**_authorisation(bearer), **(headers or {})}
        if isinstance(body, bytes):
            all_headers.setdefault("Content-Type", "application/octet-stream")
        with self.translated_errors(seconds):
            return self._http_client().request(
                method,
                path,
                headers=all_headers,
                content=body if isinstance(body, bytes) else None,
                json=payload(body) if isinstance(body, BaseModel) else None,
                params=dict(query) if query else None,
                timeout=httpx.Timeout(self._timeout, read=seconds),
            )

    def _probe_port(self) -> None:
        """Raise ServiceError if nothing listens, without the slow import of httpx."""
        if "httpx" in sys.modules:
            return
        with suppress(ValueError):  # an invalid URL is reported later
            address = urlsplit(self.url)
            if not address.hostname:
                return
            port = address.port or (443 if address.scheme == "https" else 80)
            try:
                socket.create_connection((address.hostname, port), self._timeout).close()
            except ConnectionRefusedError as error:
                raise no_answer_error(self.address) from error
            except OSError:
                return  # httpx reports it in detail

    def _http_client(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    base_url=self.url,
                    timeout=self._timeout,
                    limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
                    trust_env=False,  # an internet proxy does not know the site's machines
                    verify=self._tls_verification(),
                )
            return self._client

    def _tls_verification(self) -> ssl.SSLContext | bool:
        if not self.url.startswith("https:"):
            return False  # no certificates to load
        try:
            return ssl.create_default_context(cafile=self._ca or None)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or "it contains no certificate"
            raise InputError(f"{self._ca}", why, "set [service] ca in site.toml to a PEM file") from error

    def _renew_refused(self, refused: str) -> str:
        """An access token other than the refused one; empty: there is no login to renew."""
        login = self.session.load() if self.session else None
        if login is None or login.tokens is None:
            return ""
        return login.access if login.access != refused else self._renew(login).access

    def _renew(self, old: StoredLogin) -> StoredLogin:
        assert self.session is not None
        with self.session.exclusive():
            login = self.session.load()
            if login is None or login.tokens is None:
                raise login_required_error(self.address, f"the login of {old.user} has ended")
            if login.access != old.access:
                return login  # another process was faster
            request = Refresh(refresh=login.tokens.refresh)
            try:
                response = self._request_once("POST", "/auth/refresh", "", request)
            except BrokenConnection:  # if the service has renewed it already, it returns the same tokens again
                response = self._request_once("POST", "/auth/refresh", "", request)
            if response.status_code == 401:
                self.session.end(login.user)
                raise login_required_error(self.address, f"the login of {old.user} has ended")
            return self.session.keep(self.read(self.checked(response).text, Tokens))

    def _check_version(self, response: httpx.Response) -> None:
        """Raise ServiceError if another program answered, VersionMismatch if the service is older or newer."""
        version = response.headers.get(VERSION_HEADER, "")
        if version.isdecimal():
            if int(version) not in READABLE_APIS:
                raise VersionMismatch(self.address, int(version), API_VERSION)
            self._api = int(version)
        if not version and not self._identified:
            self.health()
        self._identified = True

    def _refusal_error(self, response: httpx.Response) -> XaivaError:
        if response.status_code == 401 and not response.request.url.path.endswith("/auth/login"):
            return login_required_error(self.address)
        try:
            problem = Problem.model_validate_json(response.text)
        except ValueError:
            return not_xaiva_error(self.address)
        kind: type[XaivaError] = InputError if response.status_code in _INPUT_CODES else ServiceError
        if response.status_code == 401:
            kind = NotLoggedIn
        elif response.status_code == 403:
            kind = Forbidden
        return kind(problem.what, problem.why, problem.remedy)


def payload(body: BaseModel) -> dict[str, Any]:
    """`body` as JSON, with its passwords, for which pydantic would write asterisks."""
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


def _tls_error(what: str, cause: ssl.SSLError) -> ServiceError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        remedy = "set [service] ca in site.toml to this certificate, or to that of the authority that signed it"
        return ServiceError(what, f"its certificate is not trusted: {cause.verify_message}", remedy)
    return ServiceError(
        what, "it does not use TLS there", "write [service] url in site.toml with http://, or set up TLS at the service"
    )
