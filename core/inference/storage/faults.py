"""What the faults of an S3 server mean, and what to do about them."""

from __future__ import annotations

import re

from core.errors import XaivaError
from core.inference.storage.address import BucketAddress
from core.inference.storage.model import NoObject, StorageDown, StorageRefused

_ELEMENT = re.compile(r"<(Code|Message|RequestTime|ServerTime|Region|Endpoint)>([^<]{0,300})</\1>")
_STATUS = re.compile(r"status code: (\d{3})")
_MAY_PASS = frozenset((408, 425, 429, 500, 502, 503, 504))
_CODES_THAT_MAY_PASS = frozenset(("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"))
_LATER = "check the server and the network between, then try again"
_POLICY = "allow the key to list, read, write and delete in this bucket"
_KEYS = "check the variables that XAIVA_STORAGE_URL names"
_NETWORK = (  # parts of what the client says, and how we say it
    ("connection refused", "nothing listens there (connection refused)"),
    ("dns error", "the name of its host cannot be resolved"),
    ("name or service not known", "the name of its host cannot be resolved"),
    ("failed to lookup", "the name of its host cannot be resolved"),
    ("name resolution", "the name of its host cannot be resolved"),
    ("no route to host", "there is no route to its host"),
    ("network is unreachable", "its network is unreachable"),
    ("timed out", "it does not answer in time"),
    ("timeout", "it does not answer in time"),
    ("reset by peer", "it closed the connection"),
    ("disconnected", "it closed the connection"),
    ("end of file before message length", "it closed the connection in the middle of an object"),
    ("connection closed", "it closed the connection"),
)
_NEW_CERTIFICATE = "give the server another certificate"
_CERTIFICATES = (  # parts of what the client says, how we say it, and the remedy
    (
        "causedasendentity",
        "its certificate is marked as that of a certificate authority",
        "make it without that mark: openssl req -x509 … -addext basicConstraints=critical,CA:FALSE",
    ),
    ("expired", "its certificate has expired", _NEW_CERTIFICATE),
    ("notvalidforname", "its certificate is for another host", _NEW_CERTIFICATE),
    ("mismatch", "its certificate is for another host", _NEW_CERTIFICATE),
)
_CERTIFICATE = re.compile(r"certificate|UnknownIssuer|tls handshake|ssl", re.I)


def answer_error(address: BucketAddress, what: str, status: int, body: str) -> XaivaError:
    """The error that an answer with a status code of 300 or more stands for. `what`: the object or the listing."""
    facts = dict(_ELEMENT.findall(body))
    code = facts.get("Code", "")
    said = f"{status} {code}".strip()
    if code == "RequestTimeTooSkewed":
        return StorageRefused(what, _skew(address, facts), "set the clocks; with NTP they stay right")
    if code == "NoSuchBucket":
        why = f"there is no bucket {address.bucket} at {address.endpoint}"
        return StorageRefused(what, why, "check the bucket's name, or create it on the server")
    if code in ("InvalidAccessKeyId", "InvalidAccessKey"):
        return StorageRefused(what, f"{address.shown}: the server does not know the key ({said})", _KEYS)
    if code == "SignatureDoesNotMatch":
        return StorageRefused(what, f"{address.shown}: the secret does not belong to the key ({said})", _KEYS)
    if code in ("ExpiredToken", "TokenRefreshRequired", "InvalidToken"):
        return StorageRefused(what, f"{address.shown}: the session token is no longer valid ({said})", _KEYS)
    if status in _MAY_PASS or code in _CODES_THAT_MAY_PASS:
        return StorageDown(what, f"{address.shown} answers {said}", _LATER)
    if status == 404:
        return NoObject(what, f"there is no such object in {address.shown}")
    if 300 <= status < 400 or code in ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
        region = facts.get("Region", "")
        where = f"it lies in the region {region}" if region else "it lies in another region, or behind another address"
        return StorageRefused(what, f"{address.shown}: {where} ({said})", "correct region= or endpoint=")
    if status in (401, 403):
        return StorageRefused(what, f"{address.shown}: the key does not have the permission for this ({said})", _POLICY)
    message = facts.get("Message", "")
    return StorageRefused(what, f"{address.shown} answers {said}{': ' if message else ''}{message}")


def client_error(address: BucketAddress, what: str, error: BaseException) -> XaivaError:
    """The error that an exception of the HTTP client, or of obstore, stands for."""
    text = str(error).partition("Debug source:")[0]
    status = _STATUS.search(text)
    if isinstance(error, FileNotFoundError) or status:
        return answer_error(address, what, int(status[1]) if status else 404, text)
    said = f"{text} {type(error).__name__}"
    if _CERTIFICATE.search(f"{error}"):
        return _certificate_error(address, what, str(error))
    lowered = f"{error} {said}".lower()
    why = next(
        (ours for theirs, ours in _NETWORK if theirs in lowered), f"it cannot be reached ({_brief(text, error)})"
    )
    return StorageDown(what, f"{address.shown}: {why}", _LATER)


def _certificate_error(address: BucketAddress, what: str, text: str) -> StorageRefused:
    for theirs, why, remedy in _CERTIFICATES:
        if theirs in text.lower():
            return StorageRefused(what, f"{address.shown}: {why}", remedy)
    why = f"{address.shown}: its certificate is not trusted"
    return StorageRefused(what, why, "name the file of its certificate authority with ca=/path.pem")


def _brief(text: str, error: BaseException) -> str:
    """The last part of the client's message, which names the cause; never its URL, which may be signed."""
    last = text.strip().rpartition(" - ")[2].splitlines()
    brief = last[0].strip() if last else ""
    return brief[:120] if brief and "://" not in brief else type(error).__name__


def _skew(address: BucketAddress, facts: dict[str, str]) -> str:
    why = f"{address.shown}: the clocks of this machine and of the server differ too much"
    ours, theirs = facts.get("RequestTime", ""), facts.get("ServerTime", "")
    return f"{why}: here it is {ours}, there {theirs}" if ours and theirs else why
