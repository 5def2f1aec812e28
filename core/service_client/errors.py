"""Errors of the client, told apart by what a caller does about them."""

from __future__ import annotations

from core.errors import XaivaError
from core.service_client.address import ServiceAddress


class ServiceError(XaivaError):
    """The service cannot be reached, is not ours, or refuses."""


class BrokenConnection(ServiceError):
    """The connection broke before the whole answer was there: the service may have done what it was asked, or not."""


class NoService(ServiceError):
    """No service was named, none of this site's containers runs, and nothing answers at the usual address."""


class NotLoggedIn(ServiceError):
    """It asks for a login or a token: none was given, it is not its own, or it has ended."""


class Forbidden(ServiceError):
    """The login is good, but its role does not allow this."""


class VersionMismatch(ServiceError):
    """It speaks another version of the API; `newer`: newer than this xaiva's."""

    def __init__(self, address: ServiceAddress, service_version: int, console_version: int) -> None:
        self.newer = service_version > console_version
        newer = "service" if self.newer else "console"
        why = f"it uses version {service_version} of the API, and this xaiva uses version {console_version}"
        super().__init__(str(address), why, f"use the xaiva that came with the newer {newer}")


def no_answer_error(address: ServiceAddress) -> ServiceError:
    """Nothing answers at the address."""
    kind = NoService if address.assumed else ServiceError
    return kind(str(address), "nothing answers there", address.remedy)


def not_xaiva_error(address: ServiceAddress) -> ServiceError:
    """Something answers at the address, but it is no inference service."""
    return ServiceError(
        str(address),
        "something else than xaiva's inference service answers there",
        "find the service's container with `xaiva ps` and name it: xaiva --service NAME, or [service] url in site.toml",
    )


def unknown_settings_error(address: ServiceAddress, fields: list[str]) -> ServiceError:
    """The service has settings that this xaiva does not know: sending the others back would lose them."""
    return ServiceError(
        str(address),
        f"it has settings that this xaiva does not know: {', '.join(fields)}",
        "use the xaiva that came with the service to change them",
    )


def login_required_error(
    address: ServiceAddress, why: str = "it needs a login or a token: none was given, or it was not accepted"
) -> NotLoggedIn:
    """Who asked has to log in."""
    return NotLoggedIn(
        str(address), why, "log in with `xaiva login NAME`, or put the service's XAIVA_SERVICE_TOKEN into .env"
    )
