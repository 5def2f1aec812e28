"""The routes of object storage as typed methods."""

from __future__ import annotations

from core.service_client.calls import Calls


class StorageCalls(Calls):
    """The service's object storage."""
