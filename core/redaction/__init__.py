"""Hides secrets in what is shown: addresses, texts, environments; and fills hidden parts in again from what is kept.

What is shown is what is known to be harmless: the host, plain words of a path, a few query values. All else is hidden.
It needs only the standard library, for it also runs inside images.
"""

from core.redaction.addresses import (
    HIDDEN,
    has_placeholder,
    host_of,
    login_of,
    matches_redacted,
    redact_address,
    restore_secrets,
)
from core.redaction.texts import (
    add_secrets,
    is_secret_name,
    redact_arguments,
    redact_document,
    redact_text,
    secrets_of,
    set_secrets,
)

__all__ = [
    "HIDDEN",
    "add_secrets",
    "has_placeholder",
    "host_of",
    "is_secret_name",
    "login_of",
    "matches_redacted",
    "redact_address",
    "redact_arguments",
    "redact_document",
    "redact_text",
    "restore_secrets",
    "secrets_of",
    "set_secrets",
]
