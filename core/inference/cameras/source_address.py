"""The address of a camera's source: parse it, redact its secrets, and restore them from the stored address."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from core.api_schema.sources import normalised_source
from core.errors import InputError
from core.redaction import has_placeholder, host_of, redact_address, restore_secrets

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")
_DEVICE = re.compile(r"^/dev/(video\d+|v4l/.+)$")
_WINDOWS_PATH = re.compile(r"/?[A-Za-z]:[\\/]|\\\\")  # C:\… and \\server\…
_MISSING_SCHEME = re.compile(  # a login, a host with a port, or an IP address; not a file's path
    r"(?://)?(?:[^/\s]*@)?(?:[\w.-]+:\d+|\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+\](?::\d+)?)(?:[/?].*)?"
    r"|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%\w+)?(?:[/?].*)?"
    r"|[\w-]+\.(?:local|lan|internal)(?:[/?].*)?"  # file names do not end like this
    r"|(?://)?[^/\s:]+:[^/\s@]*@[^/\s]+.*",
    re.I | re.S,
)
_ANY_SCHEME = r"(?:rtsps?|https?|udp|tcp)"
_MISSING_SLASHES = re.compile(rf"{_ANY_SCHEME}(?:[:;].*|[:;]?/.*)", re.I | re.S)  # in text that is not a URL
_PREFIXED_SCHEME = re.compile(rf"{_ANY_SCHEME}\s*:\s*//", re.I)
_TWO_ADDRESSES = re.compile(rf"%20{_ANY_SCHEME}://", re.I)
_BARE_DEVICE = re.compile(r"(?:(?:dev/)?video)?\d+")
_INVALID_HOST_CHARACTER = re.compile(r"[^\w.:%\u3002\uff61-]")  # two full stops of Chinese and Japanese stand for a dot


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
ENCRYPTED_SCHEMES = ("rtsps", "https")
_SOURCE_REMEDY = "give an address, a device such as /dev/video0 or the path of a file"
_SUPPORTED_SCHEMES = ", ".join(f"{scheme}://" for scheme in SCHEMES)
URL_EXAMPLES = {
    SourceKind.RTSP: "rtsp://user:password@host:554/path",
    SourceKind.HTTP: "http://user:password@host/stream.ts",
    SourceKind.STREAM: "udp://host:port, udp://@group:port, udp://0.0.0.0:port (from anyone) or tcp://host:port",
}


@dataclass(frozen=True)
class SourceAddress:
    """The parsed source of a camera."""

    url: str  # for libav only; may contain credentials
    redacted: str
    kind: SourceKind
    host: str = ""  # empty for files and devices
    encrypted: bool = False

    @property
    def live(self) -> bool:
        """Whether frames arrive at the camera's pace and may stall; a file is read at its own speed."""
        return self.kind is not SourceKind.FILE

    def __repr__(self) -> str:
        return f"Address({self.redacted!r})"


def redact_for_viewers(redacted: str) -> str:
    """What users with the role `viewer` see of a source: scheme and host, or the kind of source."""
    if "://" in redacted:
        return host_of(redacted)
    return SourceKind.DEVICE.value if _DEVICE.match(redacted) else SourceKind.FILE.value


def restore_source_secrets(source: str, stored: str, camera: str) -> str:
    """Replace each `***` in `source` by the secret in `stored`, the camera's present source ("" for a new camera).

    Raises InputError when scheme, host or port differ, or `stored` has no secret there.
    """
    source = normalised_source(source)
    if not has_placeholder(source):
        return source
    if (restored_source := restore_secrets(source, stored)) is None:
        raise _placeholder_error(f"Camera {camera}: source")
    return restored_source


def parse_source(source: str) -> SourceAddress:
    """Parse a camera's source: an rtsp(s), http(s), udp, tcp or file URL, a V4L2 device or the path of a video file.

    Raises InputError; its text never contains the source, which may include a password.
    """
    source = normalised_source(source)
    if not source or "\0" in source:
        raise _source_error("it is empty, or contains a NUL character", _SOURCE_REMEDY)
    if _WINDOWS_PATH.match(source):
        raise _source_error("it is a Windows path", "give the path as the service sees it, such as /media/clip.mp4")
    scheme = _SCHEME.match(source)
    name = scheme[1].lower() if scheme else ""
    if name in SCHEMES and source[len(name) :].startswith("://"):
        return _parse_url(source, SCHEMES[name], name)
    if _MISSING_SLASHES.fullmatch(source):
        raise _source_error(
            "the address has no :// after its scheme", f"write one of {_SUPPORTED_SCHEMES} before the host"
        )
    if _PREFIXED_SCHEME.search(unicodedata.normalize("NFKC", source)):
        why = "there is text before the address, or its scheme contains special characters"
        raise _source_error(why, f"enter only the address, starting with its scheme: {_SUPPORTED_SCHEMES}")
    if _MISSING_SCHEME.fullmatch(source):
        raise _source_error(
            "the address has no scheme", f"write one of {_SUPPORTED_SCHEMES} before the host, or give an absolute path"
        )
    if _BARE_DEVICE.fullmatch(source):
        raise _source_error(
            "the device is given without its full path", "write /dev/video0, or ./0 for a file of that name"
        )
    if name == "file":
        raise _source_error("the file URL names another host", "mount the folder, and give the path in the container")
    if name:
        raise _source_error(
            f"{name}: is not supported", f"use {_SUPPORTED_SCHEMES}, a device such as /dev/video0 or the path of a file"
        )
    path = Path(_expand_home(source)).absolute()
    if _DEVICE.match(str(path)):
        return SourceAddress(url=str(path), redacted=str(path), kind=SourceKind.DEVICE)
    return SourceAddress(url=f"file:{path}", redacted=str(path), kind=SourceKind.FILE)


def _expand_home(path: str) -> str:
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # the user has no home
        return path


def _parse_url(source: str, kind: SourceKind, scheme: str) -> SourceAddress:
    hint = f"write it as {URL_EXAMPLES[kind]}, with @ : / ? # % in a password percent-encoded (%40 for @)"
    if has_placeholder(source):
        raise _placeholder_error("Camera source")
    if re.search(r"[\s\x00-\x1f\x7f]", source):
        raise _source_error("the URL contains a space or a control character", hint)
    if re.match(r"\w+://(?:[^/]*@)?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9]+(?:/|$)", source):
        raise _source_error(
            "it is not clear where the IPv6 address ends and the port begins",
            "write it as rtsp://[2001:db8::5]:554/path",
        )
    if _TWO_ADDRESSES.search(source):
        raise _source_error("it contains two addresses", "give one; each camera has one source")
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _source_error("the host or port of the URL is invalid", hint) from None
    if not host:
        raise _source_error("the URL has no host", hint)
    if _INVALID_HOST_CHARACTER.search(host):
        raise _source_error(
            "the host contains a character that host names cannot have", "use a host name or an IP address"
        )
    if port == 0:
        raise _source_error("the URL's port is 0", hint)
    if kind is SourceKind.STREAM and port is None:
        raise _source_error("the URL has no port", hint)
    if "@" in parts.path + parts.query + parts.fragment:
        # A "/" or "?" in an unencoded password ends the host part early, and the rest would be shown as a path.
        raise _source_error("the URL has an @ after its host", hint)
    return SourceAddress(
        url=source, redacted=redact_address(source), kind=kind, host=host, encrypted=scheme in ENCRYPTED_SCHEMES
    )


def _source_error(why: str, remedy: str) -> InputError:
    return InputError("Camera source", why, remedy)


def _placeholder_error(what: str) -> InputError:
    why = "it contains *** in place of a secret, which is stored only for the same scheme, host and port"
    return InputError(what, why, "enter the full address, with user name and password")
