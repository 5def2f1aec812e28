"""Hides secrets in addresses, texts and environments, and restores hidden parts from stored values.

Only what is known to be harmless is shown: the host, plain words of a path, a few query values. All else is hidden.
Needs only the standard library, because it also runs inside images.
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
    has_token,
    is_secret_name,
    known_secrets,
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
    "has_token",
    "host_of",
    "is_secret_name",
    "known_secrets",
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
