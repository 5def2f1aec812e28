"""Addresses of the service that give one object of its folder to anybody until they expire."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

from core.api_schema.storage import MOST_URL_DAYS
from core.errors import InputError
from core.inference.secret_file import read_or_create_secret

ROUTE = "/storage/signed"
SECRET_FILE = "storage.key"  # in the data folder


def check_expiry(expires: timedelta) -> None:
    """Raise InputError for a time that no address may have, of a folder or a bucket."""
    if not timedelta() < expires <= timedelta(days=MOST_URL_DAYS):
        raise InputError("seconds", f"an address is valid for at most {MOST_URL_DAYS} days")


class UrlSigner:
    """Signs and checks addresses with a secret in the data folder, which is read or made when first needed."""

    def __init__(self, data: Path) -> None:
        self._file = data / SECRET_FILE

    def url(self, key: str, expires: timedelta) -> str:
        """The path and query of the service that give the object. Raises InputError for a time out of bounds."""
        check_expiry(expires)
        until = int(time.time() + expires.total_seconds())
        return f"{ROUTE}?{urlencode({'key': key, 'expires': until, 'signature': self._signature(key, until)})}"

    def is_valid(self, key: str, until: int, signature: str) -> bool:
        """Whether `url` made this address, and it has not expired."""
        expected = self._signature(key, until)
        return hmac.compare_digest(expected.encode(), signature.encode()) and until > time.time()

    def _signature(self, key: str, until: int) -> str:
        secret = read_or_create_secret(self._file)
        return hmac.new(secret.encode(), f"{until}\n{key}".encode(), hashlib.sha256).hexdigest()
