"""Signed requests to a bucket that obstore cannot make, or not safely: listings and deletions.

One key with `..` or `//` breaks a whole listing of obstore, and it strips slashes from keys, so that the marker `a/` of
a folder would be listed as an object `a`.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit

import httpx

from core.errors import InputError
from core.inference.storage.address import VARIABLE, BucketAddress
from core.inference.storage.faults import answer_error, client_error
from core.inference.storage.retries import retrying

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0  # without a byte
_SERVICE = "s3"
_EMPTY = hashlib.sha256(b"").hexdigest()


class S3Client:
    """Requests to one bucket, with three retries where the fault may pass. Thread-safe."""

    def __init__(self, address: BucketAddress) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def request(self, what: str, method: str, key: str = "", query: Mapping[str, str] | None = None) -> bytes:
        """The body of the answer. `key`: within the bucket, with the prefix. `what`: in errors.

        Raises StorageDown, StorageRefused, NoObject.
        """
        return retrying(lambda: self._send(what, method, key, query or {}))

    def _send(self, what: str, method: str, key: str, query: Mapping[str, str]) -> bytes:
        path = f"/{quote(key, safe='-_.~/')}" if key or not self._address.path_style else ""
        url = self._address.base + path
        encoded = "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))
        headers = sign(self._address, method, url, encoded, datetime.now(timezone.utc))
        try:
            answer = self._http().request(method, f"{url}?{encoded}" if encoded else url, headers=headers)
        except httpx.HTTPError as error:
            raise client_error(self._address, what, error) from None
        if answer.status_code >= 300:
            raise answer_error(self._address, what, answer.status_code, answer.text[:10_000])
        return answer.content

    def _http(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
                self._client = httpx.Client(verify=_tls(self._address), timeout=timeout, follow_redirects=False)
            return self._client


def _tls(address: BucketAddress) -> ssl.SSLContext | bool:
    if not address.endpoint.startswith("https:"):
        return False
    try:
        context = ssl.create_default_context()
        if address.ca:
            context.load_verify_locations(cadata=address.ca)
    except ssl.SSLError:
        raise InputError(VARIABLE, "ca: its certificates cannot be read", "give a PEM file of certificates") from None
    return context


def sign(address: BucketAddress, method: str, url: str, query: str, now: datetime) -> dict[str, str]:
    """The headers of a request without a body, signed as AWS Signature Version 4 describes."""
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    parts = urlsplit(url)
    signed = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if address.session:
        signed["x-amz-security-token"] = address.session
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = f"{method}\n{parts.path or '/'}\n{query}\n{lines}\n{names}\n{_EMPTY}"
    scope = f"{day}/{address.region}/{_SERVICE}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    secret = f"AWS4{address.secret}".encode()
    for part in (day, address.region, _SERVICE, "aws4_request", text):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    login = f"AWS4-HMAC-SHA256 Credential={address.key}/{scope}, SignedHeaders={names}, Signature={secret.hex()}"
    return {**signed, "authorization": login}
