"""Errors of the client. There is a class for each case that callers handle differently."""

from __future__ import annotations

from core.errors import XaivaError
from core.service_client.address import ServiceAddress


class ServiceError(XaivaError):
    """The service cannot be reached, is not xaiva's, or refused the request."""


class BrokenConnection(ServiceError):
    """The connection broke before the response was complete, so the request may or may not have taken effect."""


class NoService(ServiceError):
    """No service was set, none of the site's containers runs, and nothing answers at the default address."""


class NotLoggedIn(ServiceError):
    """The service needs a login or a token: none was given, or it is invalid or has expired."""


class Forbidden(ServiceError):
    """The login is valid, but its role does not allow this."""


class VersionMismatch(ServiceError):
    """The service uses another version of the API. `newer`: it is newer than this xaiva."""

    def __init__(self, address: ServiceAddress, service_version: int, console_version: int) -> None:
        self.newer = service_version > console_version
        newer = "service" if self.newer else "console"
        why = f"it uses version {service_version} of the API, and this xaiva uses version {console_version}"
        super().__init__(str(address), why, f"use the xaiva that came with the newer {newer}")


def no_answer_error(address: ServiceAddress) -> ServiceError:
    """The error when nothing answers at the address."""
    kind = NoService if address.assumed else ServiceError
    return kind(str(address), "nothing answers there", address.remedy)


def not_xaiva_error(address: ServiceAddress) -> ServiceError:
    """The error when another program answers at the address."""
    return ServiceError(
        str(address),
        "something answers there, but it is not xaiva's inference service",
        "find the service's container with `xaiva ps` and name it: xaiva --service NAME, or [service] url in site.toml",
    )


def unknown_settings_error(address: ServiceAddress, fields: list[str]) -> ServiceError:
    """The error when saving would lose settings that this xaiva does not know."""
    return ServiceError(
        str(address),
        f"it has settings that this xaiva does not know: {', '.join(fields)}",
        "use the xaiva that came with the service to change them",
    )


def login_required_error(
    address: ServiceAddress, why: str = "it needs a login or a token: none was given, or it was not accepted"
) -> NotLoggedIn:
    """The error when the caller has to log in."""
    return NotLoggedIn(
        str(address), why, "log in with `xaiva login NAME`, or put the service's XAIVA_SERVICE_TOKEN into .env"
    )
