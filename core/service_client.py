"""The console's view of a running inference service, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import InputError, XaivaError
from core.inference.schemas import (
    API_VERSION,
    SERVICE_NAME,
    CameraRequest,
    CameraStatus,
    Health,
    Problem,
    ServiceStatus,
)
from core.site import Site

if TYPE_CHECKING:
    import httpx

TOKEN_VARIABLE = "XAIVA_SERVICE_TOKEN"
STREAM_SILENCE = 10.0  # seconds without a status after which a stream counts as broken; the service sends one a second

Answer = TypeVar("Answer", bound=BaseModel)


class ServiceError(XaivaError):
    """The service cannot be reached, is not ours, or refuses."""


class ServiceClient:
    """Speaks to one service. Every call is bounded by `timeout` seconds and raises ServiceError with a remedy."""

    def __init__(self, url: str, timeout: float = 3.0, *, token: str = "") -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @classmethod
    def of(cls, site: Site, timeout: float = 3.0) -> ServiceClient:
        """The client of the site's service; its token comes from `.env` or the environment."""
        return cls(site.settings.service.url, timeout, token=site.env.get(TOKEN_VARIABLE, ""))

    def health(self) -> Health:
        """Whether the service is alive and ready. Raises ServiceError also when something else answers there."""
        health = self._read(self._send("GET", "/health", also=503).text, Health)
        if health.service != SERVICE_NAME:
            raise self._foreign()
        if health.api != API_VERSION:
            newer = "service" if health.api > API_VERSION else "console"
            why = f"it speaks version {health.api} of the API, this xaiva version {API_VERSION}"
            raise ServiceError(f"Inference service {self.url}", why, f"use the xaiva that came with the newer {newer}")
        return health

    def status(self) -> ServiceStatus:
        """The service and all its cameras as they are now."""
        return self._ask("GET", "/status", ServiceStatus)

    def stream(self) -> Iterator[ServiceStatus]:
        """A status whenever the service sends one (once a second), until the caller stops or the line breaks."""
        import httpx

        limits = httpx.Timeout(self._timeout, read=STREAM_SILENCE)
        with (
            self._explained(),
            httpx.stream(
                "GET", f"{self.url}/status/stream", headers=self._headers, timeout=limits, trust_env=False
            ) as response,
        ):
            if response.status_code != 200:
                response.read()
                raise self._refusal(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield self._read(line[5:].strip(), ServiceStatus)

    def add_camera(self, request: CameraRequest) -> CameraStatus:
        """Add a camera; the service keeps it over restarts. Raises InputError when it refuses the request itself."""
        return self._ask("POST", "/cameras", CameraStatus, request)

    def remove_camera(self, camera: str) -> None:
        """Stop a camera and forget it. Raises InputError when there is none of that id."""
        self._send("DELETE", f"/cameras/{camera}")

    def snapshot(self, camera: str) -> bytes:
        """The newest picture of a live camera, as JPEG."""
        return self._send("GET", f"/cameras/{camera}/snapshot").content

    def _ask(self, method: str, path: str, kind: type[Answer], body: BaseModel | None = None) -> Answer:
        return self._read(self._send(method, path, body).text, kind)

    def _send(self, method: str, path: str, body: BaseModel | None = None, *, also: int = 0) -> httpx.Response:
        import httpx

        with self._explained():
            response = httpx.request(
                method,
                f"{self.url}{path}",
                headers=self._headers,
                timeout=self._timeout,
                json=body.model_dump(mode="json") if body is not None else None,
                trust_env=False,  # a proxy for the internet does not know the site's machines
                verify=self.url.startswith("https:"),  # without TLS, no certificates to load: 25 ms a call
            )
        if response.is_success or response.status_code == also:
            return response
        raise self._refusal(response)

    def _read(self, text: str, kind: type[Answer]) -> Answer:
        try:
            return kind.model_validate_json(text)
        except ValidationError as error:
            raise self._foreign() from error

    def _refusal(self, response: httpx.Response) -> XaivaError:
        if response.status_code == 401:
            return ServiceError(
                f"Inference service {self.url}",
                "it asks for a token that was not given or is not its own",
                f"put the service's {TOKEN_VARIABLE} into .env",
            )
        try:
            problem = Problem.model_validate(json.loads(response.text))
        except ValueError:
            return self._foreign()
        kind = InputError if response.status_code in (404, 409, 422) else ServiceError
        return kind(problem.what, problem.why, problem.remedy)

    def _foreign(self) -> ServiceError:
        return ServiceError(
            f"Inference service {self.url}",
            "something answers there, but it is not xaiva's inference service",
            "set [service] url in site.toml to the address that `xaiva ps` shows for the container",
        )

    def _explained(self) -> _Explained:
        return _Explained(self.url, self._timeout)


class _Explained:
    """Turns what httpx raises into words."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception):
            return
        import httpx

        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            remedy = "write [service] url in site.toml as http://host:8600"
            raise InputError(f"Inference service {self._url}", str(error), remedy) from error
        if isinstance(error, httpx.TimeoutException):
            why = f"it does not answer within {self._timeout:g} s"
            remedy = "see its log: xaiva logs; a busy machine or a dropped line passes"
            raise ServiceError(f"Inference service {self._url}", why, remedy) from error
        if isinstance(error, httpx.TransportError):
            remedy = "launch a preset, or set [service] url in site.toml"
            raise ServiceError(f"Inference service {self._url}", "nothing answers there", remedy) from error
