"""Errors of users and logins."""

from __future__ import annotations

from core.errors import InputError, XaivaError
from core.inference.bulkhead import TooManyRequests


class Unauthorised(XaivaError):
    """The request has no valid token, or the name or password is wrong."""


class TooManyLogins(TooManyRequests):
    """Too many failed logins; the next is checked after `retry_after` whole seconds."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__("Login", why, seconds)


class UnknownUser(InputError):
    def __init__(self, name: str) -> None:
        super().__init__(f"User {name}", "there is no user with that name", "list them: xaiva user list")


class UserExists(InputError):
    def __init__(self, name: str) -> None:
        super().__init__(f"User {name}", "this name is taken", "change the existing one, or choose another name")


class LastAdministrator(InputError):
    """The change would leave no active administrator."""

    def __init__(self, name: str) -> None:
        why = "no other active user is an administrator"
        super().__init__(f"User {name}", why, "make another user an administrator first")
