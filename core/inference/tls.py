"""Checks the service's TLS certificate and key before use."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from pathlib import Path

from core.errors import InputError, os_reason
from core.files import read_regular

_EXPIRY_WARNING_DAYS = 30  # days


class _EncryptedKey(Exception):
    """The key is encrypted."""


def check_certificate(certificate: Path, key: Path | None) -> str:
    """Raise InputError for an unusable certificate or key; returns a warning, or an empty text.

    Without `key` it is in the certificate's file, where the certificate's chain may follow, too.
    """
    for path in (certificate, key):
        if path is not None:
            _check_readable(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _refuse_password)
    except _EncryptedKey:
        why = "the key is encrypted, and nobody is there to type its password"
        remedy = "remove the password: openssl pkey -in KEY -out NEW; chmod 600 NEW"
        raise InputError(f"TLS key {key or certificate}", why, remedy) from None
    except ssl.SSLError as error:
        raise _certificate_error(error, certificate, key) from None
    return _expiry_warning(certificate)


def _refuse_password() -> str:
    raise _EncryptedKey


def _check_readable(path: Path) -> None:
    try:
        read_regular(path)
    except OSError as error:
        remedy = "correct XAIVA_TLS_CERTIFICATE and XAIVA_TLS_KEY, or let the service's user read the file"
        raise InputError(f"TLS file {path}", os_reason(error), remedy) from None


def _certificate_error(error: ssl.SSLError, certificate: Path, key: Path | None) -> InputError:
    if error.reason == "KEY_VALUES_MISMATCH":
        why = "the key does not belong to the certificate"
        return InputError(f"TLS key {key or certificate}", why, "give the key that the certificate was made with")
    if error.reason == "EE_KEY_TOO_SMALL":
        why = "the certificate's key is too short to be safe"
        return InputError(f"TLS certificate {certificate}", why, "make one with RSA 2048, or with an elliptic curve")
    what = f"TLS certificate {certificate}" if key is None else f"TLS certificate {certificate} with key {key}"
    return InputError(what, "the certificate or its private key is not in PEM format", "convert them to PEM")


def _expiry_warning(certificate: Path) -> str:
    """A warning when the certificate has expired or soon will, else an empty text."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate)
    ends = [str(authority["notAfter"]) for authority in context.get_ca_certs() if "notAfter" in authority]
    if not ends:
        return ""  # not self-signed: only its chain was loaded as authorities
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends[0]), timezone.utc)
    days = (end - datetime.now(timezone.utc)).days
    if days < 0:
        return f"the TLS certificate {certificate} expired on {end:%Y-%m-%d}: clients will reject it"
    return f"the TLS certificate {certificate} expires on {end:%Y-%m-%d}" if days < _EXPIRY_WARNING_DAYS else ""
