"""The client of a running inference service, over HTTP."""

from core.service_client.address import ServiceAddress
from core.service_client.client import ServiceClient, site_session
from core.service_client.console_session import ConsoleSession, LoginIdentity
from core.service_client.errors import Forbidden, NoService, NotLoggedIn, ServiceError, VersionMismatch
from core.service_client.login_session import LoginSession
from core.site import TOKEN_VARIABLE

__all__ = [
    "TOKEN_VARIABLE",
    "ConsoleSession",
    "Forbidden",
    "LoginIdentity",
    "LoginSession",
    "NoService",
    "NotLoggedIn",
    "ServiceAddress",
    "ServiceClient",
    "ServiceError",
    "VersionMismatch",
    "site_session",
]
