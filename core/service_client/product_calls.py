"""The routes of products, their indexes and inspections as typed methods."""

from __future__ import annotations

from core.service_client.calls import Calls


class ProductCalls(Calls):
    """The service's products, their indexes and inspections."""
