"""The client of a running inference service, over HTTP."""

from core.service_client.address import ServiceAddress
from core.service_client.client import TOKEN_VARIABLE, ServiceClient, site_session
from core.service_client.console_session import ConsoleSession, Who
from core.service_client.errors import Forbidden, NoService, NotLoggedIn, OtherVersion, ServiceError
from core.service_client.session import Session

__all__ = [
    "TOKEN_VARIABLE",
    "ConsoleSession",
    "Forbidden",
    "NoService",
    "NotLoggedIn",
    "OtherVersion",
    "ServiceAddress",
    "ServiceClient",
    "ServiceError",
    "Session",
    "Who",
    "site_session",
]
