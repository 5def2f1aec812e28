"""Authentication: users, their passwords, their logins, and the service's own token."""

from core.inference.accounts.accounts import Accounts
from core.inference.accounts.caller import THE_SERVICE, Caller
from core.inference.accounts.errors import LastAdministrator, TooManyLogins, Unauthorised, UnknownUser, UserExists

__all__ = [
    "THE_SERVICE",
    "Accounts",
    "Caller",
    "LastAdministrator",
    "TooManyLogins",
    "Unauthorised",
    "UnknownUser",
    "UserExists",
]
