"""The address of a camera's source: parsed, shown without its secrets, and completed from the one that is kept."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import InputError
from core.inference.schemas.sources import normalised_source
from core.redaction import has_placeholder, host_of, redact_address, restore_secrets

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")
_DEVICE = re.compile(r"^/dev/(video\d+|v4l/.+)$")
_OF_WINDOWS = re.compile(r"/?[A-Za-z]:[\\/]|\\\\")  # C:\… and \\server\…
_NO_SCHEME = re.compile(  # a login, a host with its port or an IP address, where no file is
    r"(?://)?(?:[^/\s]*@)?(?:[\w.-]+:\d+|\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+\](?::\d+)?)(?:[/?].*)?"
    r"|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%\w+)?(?:[/?].*)?"
    r"|[\w-]+\.(?:local|lan|internal)(?:[/?].*)?"  # such names are never looked up elsewhere, and files do not end so
    r"|(?://)?[^/\s:]+:[^/\s@]*@[^/\s]+.*",
    re.I | re.S,
)
_ANY_SCHEME = r"(?:rtsps?|https?|udp|tcp)"
_NO_SLASHES = re.compile(rf"{_ANY_SCHEME}(?:[:;].*|[:;]?/.*)", re.I | re.S)  # of what is no URL
_LATER = re.compile(rf"{_ANY_SCHEME}\s*:\s*//", re.I)
_TWO = re.compile(rf"%20{_ANY_SCHEME}://", re.I)
_BARE_DEVICE = re.compile(r"(?:(?:dev/)?video)?\d+")
_NOT_IN_HOSTS = re.compile(r"[^\w.:%\u3002\uff61-]")  # two full stops of Chinese and Japanese stand for a dot


class SourceKind(str, Enum):
    """How a source is read."""

    RTSP = "rtsp"
    HTTP = "http"
    STREAM = "stream"  # MPEG-TS over bare UDP or TCP
    DEVICE = "device"  # V4L2
    FILE = "file"


SCHEMES = {
    "rtsp": SourceKind.RTSP,
    "rtsps": SourceKind.RTSP,
    "http": SourceKind.HTTP,
    "https": SourceKind.HTTP,
    "udp": SourceKind.STREAM,
    "tcp": SourceKind.STREAM,
}
ENCRYPTED = ("rtsps", "https")
_ANY_KIND = "give an address, a device such as /dev/video0 or the path of a file"
_KNOWN = ", ".join(f"{scheme}://" for scheme in SCHEMES)
HINTS = {
    SourceKind.RTSP: "rtsp://user:password@host:554/path",
    SourceKind.HTTP: "http://user:password@host/stream.ts",
    SourceKind.STREAM: "udp://host:port, udp://@group:port, udp://0.0.0.0:port (from anyone) or tcp://host:port",
}


@dataclass(frozen=True)
class Address:
    """A checked source. `url` is for libav alone and may hold credentials; `shown` never does. Files have no `host`.

    `live` sources come at the camera's own pace and may stall; files are read at their own speed.
    """

    url: str
    shown: str
    kind: SourceKind
    host: str = ""
    encrypted: bool = False

    @property
    def live(self) -> bool:
        """Whether it comes at its own pace."""
        return self.kind is not SourceKind.FILE

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def for_viewers(shown: str) -> str:
    """What viewers see of a source: its kind, and its host where it has one."""
    if "://" in shown:
        return host_of(shown)
    return SourceKind.DEVICE.value if _DEVICE.match(shown) else SourceKind.FILE.value


def completed(source: str, kept: str, camera: str) -> str:
    """`source` with what is hidden in it filled in from `kept`, the source of that camera as it is set ("" for none).

    Raises InputError where scheme, host or port differ, or nothing is kept in that place.
    """
    source = normalised_source(source)
    if not has_placeholder(source):
        return source
    if (whole := restore_secrets(source, kept)) is None:
        raise _still_hidden(f"Camera {camera}: source")
    return whole


def parse(source: str) -> Address:
    """Read a camera's source: an rtsp(s), http(s), udp, tcp or file URL, a V4L2 device or the path of a video file.

    Raises InputError; its text never holds the source itself, which may carry a password.
    """
    source = normalised_source(source)
    if not source or "\0" in source:
        raise _refused("it is empty, or holds a NUL character", _ANY_KIND)
    if _OF_WINDOWS.match(source):
        raise _refused("it is a path of Windows", "give the path as the service sees it, such as /media/clip.mp4")
    scheme = _SCHEME.match(source)
    name = scheme[1].lower() if scheme else ""
    if name in SCHEMES and source[len(name) :].startswith("://"):
        return _parse_url(source, SCHEMES[name], name)
    if _NO_SLASHES.fullmatch(source):
        raise _refused("the address has no :// after its scheme", f"write one of {_KNOWN} before the host")
    if _LATER.search(unicodedata.normalize("NFKC", source)):
        why = "text stands before the address, or its scheme is not in plain letters"
        raise _refused(why, f"give the address alone, from its {_KNOWN} on")
    if _NO_SCHEME.fullmatch(source):
        raise _refused("the address names no scheme", f"write one of {_KNOWN} before the host, or a file's whole path")
    if _BARE_DEVICE.fullmatch(source):
        raise _refused("a device is named without its whole path", "write /dev/video0, or ./0 for a file of that name")
    if name == "file":
        raise _refused("the file's URL names another host", "mount its folder, and give the path")
    if name:
        raise _refused(f"{name}: is not supported", f"use {_KNOWN}, a device such as /dev/video0 or the path of a file")
    path = Path(_of_home(source)).absolute()
    if _DEVICE.match(str(path)):
        return Address(url=str(path), shown=str(path), kind=SourceKind.DEVICE)
    return Address(url=f"file:{path}", shown=str(path), kind=SourceKind.FILE)


def _of_home(path: str) -> str:
    """A path that begins with ~ in the home of the service's own user."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # it has none
        return path


def _parse_url(source: str, kind: SourceKind, scheme: str) -> Address:
    hint = f"write it as {HINTS[kind]}, with @ : / ? # % in a password percent-encoded (%40 for @)"
    if has_placeholder(source):
        raise _still_hidden("Camera source")
    if re.search(r"[\s\x00-\x1f\x7f]", source):
        raise _refused("the URL holds a space or a control character", hint)
    if re.match(r"\w+://(?:[^/]*@)?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9]+(?:/|$)", source):
        raise _refused(
            "where an IPv6 address ends and its port begins is not clear", "write it as rtsp://[2001:db8::5]:554/path"
        )
    if _TWO.search(source):
        raise _refused("it holds two addresses", "give one; each camera has one source")
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refused("the URL's host or port cannot be read", hint) from None
    if not host:
        raise _refused("the URL names no host", hint)
    if _NOT_IN_HOSTS.search(host):
        raise _refused("its host holds a character that no name has", "write the host's name or its IP address there")
    if port == 0:
        raise _refused("the URL's port is 0", hint)
    if kind is SourceKind.STREAM and port is None:
        raise _refused("the URL names no port", hint)
    if "@" in parts.path + parts.query + parts.fragment:
        # A "/" or "?" in an unencoded password ends the host part early, and the rest would be shown as a path.
        raise _refused("the URL has an @ after its host", hint)
    return Address(url=source, shown=redact_address(source), kind=kind, host=host, encrypted=scheme in ENCRYPTED)


def _refused(why: str, remedy: str) -> InputError:
    return InputError("Camera source", why, remedy)


def _still_hidden(what: str) -> InputError:
    why = "it holds *** in the place of a secret, which is kept for the same scheme, host and port alone"
    return InputError(what, why, "write the whole address, with its user name and password")
