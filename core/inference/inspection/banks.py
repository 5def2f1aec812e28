"""The memory banks of products, as the running service reads them."""

from __future__ import annotations

from core.errors import XaivaError


class NoBank(XaivaError):
    """The product has no memory bank that can be used."""
