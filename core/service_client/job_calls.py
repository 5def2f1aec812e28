"""The routes of jobs as typed methods."""

from __future__ import annotations

from core.service_client.calls import Calls


class JobCalls(Calls):
    """The service's jobs."""
