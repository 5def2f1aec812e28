"""Where a camera's pictures come from, and how to speak of it without its password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import InputError

HIDDEN = "***"
LIVE_SCHEMES = ("rtsp", "rtsps")
_LOGIN = re.compile(r"(?<=://)[^\s/?#\"'<>]*@")
_SECRET_QUERY = re.compile(r"([?&;][^=&\s]*(?:pass|pwd|secret|token|key|auth|user|login)[^=&\s]*=)[^&;\s\"'<>]+", re.I)
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")


@dataclass(frozen=True)
class Address:
    """A checked source. `url` is for libav alone and may hold credentials; `shown` never does.

    `live` sources come at the camera's own pace and may stall; files are read at their own speed, again and again.
    """

    url: str
    shown: str
    live: bool

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def redact(text: str) -> str:
    """`text` without the logins of its URLs and without secrets in their queries."""
    return _SECRET_QUERY.sub(rf"\1{HIDDEN}", _LOGIN.sub(f"{HIDDEN}@", text))


def parse(source: str) -> Address:
    """Read a camera's source: `rtsp://…`, `rtsps://…`, `file:///…` or a path.

    Raises InputError; its text never holds the source itself, which may carry a password.
    """
    scheme = _SCHEME.match(source)
    if scheme and scheme[1].lower() in LIVE_SCHEMES:
        return _parse_rtsp(source)
    if scheme and scheme[1].lower() != "file":
        raise _refused(f"{scheme[1]}: is not supported", "use rtsp://, rtsps:// or the path of a file")
    if "\0" in source:
        raise _refused("a path cannot hold a NUL character", "give the path of a video file")
    path = Path(urlsplit(source).path if scheme else source).absolute()
    return Address(url=f"file:{path}", shown=str(path), live=False)


def _parse_rtsp(source: str) -> Address:
    hint = (
        "write it as rtsp://user:password@host:554/path, with @ : / ? # % in the password percent-encoded (%40 for @)"
    )
    if re.search(r"[\s\x00-\x1f\x7f]", source):
        raise _refused("the URL holds a space or a control character", hint)
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refused("the URL's host or port cannot be read", hint) from None
    if not host or port == 0:
        raise _refused("the URL names no host", hint)
    if "@" in parts.path + parts.query + parts.fragment:
        # A "/" or "?" in an unencoded password ends the host part early, and the rest would be shown as a path.
        raise _refused("the URL has an @ after its host", hint)
    return Address(url=source, shown=redact(source), live=True)


def _refused(why: str, remedy: str) -> InputError:
    return InputError("Camera source", why, remedy)
