"""Errors of the client, told apart by what a caller does about them."""

from __future__ import annotations

from core.errors import XaivaError


class ServiceError(XaivaError):
    """The service cannot be reached, is not ours, or refuses."""


class NotLoggedIn(ServiceError):
    """It asks for a login or a token: none was given, it is not its own, or it has ended."""


class Forbidden(ServiceError):
    """The login is good, but its role does not allow this."""


class OtherVersion(ServiceError):
    """It speaks another version of the API; `newer`: newer than this xaiva's."""

    def __init__(self, url: str, theirs: int, ours: int) -> None:
        self.newer = theirs > ours
        newer = "service" if self.newer else "console"
        why = f"it speaks version {theirs} of the API, this xaiva version {ours}"
        super().__init__(f"Inference service {url}", why, f"use the xaiva that came with the newer {newer}")


def absent(url: str) -> ServiceError:
    """Nothing answers at `url`."""
    remedy = "launch a preset, or set [service] url in site.toml"
    return ServiceError(f"Inference service {url}", "nothing answers there", remedy)


def foreign(url: str) -> ServiceError:
    """Something answers at `url`, but it is no inference service."""
    return ServiceError(
        f"Inference service {url}",
        "something answers there, but it is not xaiva's inference service",
        "set [service] url in site.toml to the address that `xaiva ps` shows for the container",
    )


def newer_settings(url: str, fields: list[str]) -> ServiceError:
    """The service has settings that this xaiva does not know: sending the others back would lose them."""
    return ServiceError(
        f"Inference service {url}",
        f"it has settings that this xaiva does not know: {', '.join(fields)}",
        "use the xaiva that came with the service to change them",
    )


def not_logged_in(
    url: str, why: str = "it asks for a login or a token that was not given or is not its own"
) -> NotLoggedIn:
    """Who asked has to log in."""
    return NotLoggedIn(
        f"Inference service {url}", why, "log in with `xaiva login`, or put the service's XAIVA_SERVICE_TOKEN into .env"
    )
