"""Why a Python index cannot be used, and the remedy. A failed index must not be treated as an empty one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.presets.model import Index

NOT_AN_INDEX = "its response is not a package index"
_STATUS = re.compile(r"\b([45]\d\d) [A-Z][A-Za-z]+( [A-Z][A-Za-z]+)*")
_NOT_INDEX_WORDS = ("Unsupported `Content-Type`", "Missing `Content-Type`", "unexpected JSON", "unexpected HTML")


@dataclass(frozen=True)
class IndexFailure:
    """The cause why an index cannot be used, and its remedy."""

    why: str
    remedy: str


def missing_login(index: Index, env: Mapping[str, str]) -> IndexFailure | None:
    """The failure of an index whose token or user name is not set in `env`; None when both are."""
    for variable in (index.token_variable, index.username_variable):
        if variable and not env.get(variable, "").strip():
            return IndexFailure(f"{variable} is not set", f"put {variable} into .env")
    return None


def failure_from_refusal(refusal: str, url: str, token_variable: str | None = None) -> IndexFailure | None:
    """The failure of the index at `url` according to an error of uv; None when the error is not about it."""
    scheme, _, rest = url.rstrip("/").partition("://")
    address = re.compile(rf"{scheme}://([^/@\s]*@)?{re.escape(rest)}(?![\w.-])")
    lines = [line for line in refusal.splitlines() if address.search(line)]
    if not lines:
        return None
    if any(word in line for line in lines for word in _NOT_INDEX_WORDS):
        return not_an_index()
    status = next((match for match in map(_STATUS.search, lines) if match), None) or _STATUS.search(refusal)
    if status:
        return failure_from_status(int(status[1]), status[0], token_variable)
    if not refusal.lstrip().startswith("error: Failed to fetch") and "Failed to fetch" not in refusal:
        return None
    return _failure_without_answer(last_cause(refusal))


def not_an_index() -> IndexFailure:
    """The failure of a URL that serves something else, such as a login page."""
    return IndexFailure(
        NOT_AN_INDEX,
        "correct its url, which must lead to the simple API; a login page or a proxy may be answering instead",
    )


def failure_from_status(status: int, words: str, token_variable: str | None) -> IndexFailure:
    """The failure of an index that answers with an error."""
    if status in (401, 403):
        login = f"check {token_variable} in .env: the token may have expired, or may lack access to this index"
        login = login if token_variable else "it needs a login: name its token in token_variable"
        if status == 403:
            login += "; some servers answer this for what they do not have: then list its own packages in packages"
        return IndexFailure(f"it answers {words}", login)
    if status == 407:
        return IndexFailure(f"it answers {words}", "check the login of the proxy in http_proxy and https_proxy")
    if status in (404, 410):
        login = f", and {token_variable} in .env: some servers hide what a token cannot read" if token_variable else ""
        return IndexFailure(f"it answers {words}", f"check its url{login}")
    return IndexFailure(f"it answers {words}", "wait until its server works again, or ask its administrator")


def _failure_without_answer(cause: str) -> IndexFailure:
    """The failure of an index that does not answer."""
    if re.search(r"dns|resol|lookup address", cause, re.IGNORECASE):
        return IndexFailure(cause, "check its url and the name server: this machine cannot resolve the host")
    if re.search(r"certificate|tls|InvalidContentType|UnknownIssuer|corrupt message", cause, re.IGNORECASE):
        return IndexFailure(cause, "check https in its url, and name its certificate authority in SSL_CERT_FILE")
    return IndexFailure(cause, "check the network, the VPN and the proxy")


def last_cause(refusal: str) -> str:
    """The innermost cause in an error of uv: its last line."""
    lines = [line.strip() for line in refusal.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("cause: ") if lines else "no answer"
