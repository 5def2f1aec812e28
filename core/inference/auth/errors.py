"""Errors of users and logins."""

from __future__ import annotations

from core.errors import InputError, XaivaError
from core.inference.bulkhead import TooManyRequests


class Unauthorised(XaivaError):
    """Nobody who may ask: no token, a wrong or an ended one, a wrong name or password."""


class TooManyLogins(TooManyRequests):
    """Too many failed logins; the next is looked at after `retry_after` whole seconds."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__("Login", why, seconds)


class UnknownUser(InputError):
    """There is no user of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"User {name}", "there is no user with that name", "list them: xaiva user list")


class UserExists(InputError):
    """There is a user of that name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"User {name}", "this name is taken", "change the existing one, or choose another name")


class LastAdministrator(InputError):
    """The change would leave nobody who may change it back."""

    def __init__(self, name: str) -> None:
        why = "no other active user is an administrator"
        super().__init__(f"User {name}", why, "make another user an administrator first")
