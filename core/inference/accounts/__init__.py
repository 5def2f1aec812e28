"""Authentication: users, their passwords, their logins, and the service's own token."""

from core.inference.accounts.accounts import Accounts
from core.inference.accounts.caller import Caller
from core.inference.accounts.errors import LastAdministrator, TooManyLogins, Unauthorised, UnknownUser, UserExists

__all__ = ["Accounts", "Caller", "LastAdministrator", "TooManyLogins", "Unauthorised", "UnknownUser", "UserExists"]
