"""Hides secrets in what is shown: addresses, texts, environments; and fills hidden parts in again from what is kept.

What is shown is what is known to be harmless: the host, plain words of a path, a few query values. All else is hidden.
It needs only the standard library, for it also runs inside images.
"""

from core.redaction.addresses import HIDDEN, address, has_placeholder, host_of, is_shown_as, restored
from core.redaction.texts import (
    arguments,
    document,
    is_secret_name,
    know_more_secrets,
    know_secrets,
    secrets_of,
    text,
)

__all__ = [
    "HIDDEN",
    "address",
    "arguments",
    "document",
    "has_placeholder",
    "host_of",
    "is_secret_name",
    "is_shown_as",
    "know_more_secrets",
    "know_secrets",
    "restored",
    "secrets_of",
    "text",
]
