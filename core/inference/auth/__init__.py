"""Authentication: users, their passwords, their logins, and the service's own token."""

from core.inference.auth.authenticator import Authenticator
from core.inference.auth.caller import THE_SERVICE, Caller
from core.inference.auth.errors import LastAdministrator, TooManyLogins, Unauthorised, UnknownUser, UserExists

__all__ = [
    "THE_SERVICE",
    "Authenticator",
    "Caller",
    "LastAdministrator",
    "TooManyLogins",
    "Unauthorised",
    "UnknownUser",
    "UserExists",
]
