"""XAIVA_STORAGE_URL: the address of a bucket or a folder, checked and typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from core.errors import InputError, os_reason
from core.inference.storage.names import why_unusable
from core.redaction import add_secrets

VARIABLE = "XAIVA_STORAGE_URL"
DEFAULT_FOLDER = "images"  # in the data folder
DEFAULT_REGION = "us-east-1"  # what servers without regions expect
MOST_CA_BYTES = 1 << 20
_FIELDS = ("endpoint", "region", "path_style", "ca", "key", "secret", "session")
_DEFAULT_VARIABLES = {"key": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY", "session": "AWS_SESSION_TOKEN"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_REGION = re.compile(r"[A-Za-z0-9-]{1,40}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SURELY_A_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")  # and not a key that somebody wrote there
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHAPE = "docs/storage.md shows how an address is written"


@dataclass(frozen=True)
class FolderAddress:
    """A folder of this machine. `made`: it is the default, which the service creates."""

    path: Path
    made: bool = False


@dataclass(frozen=True)
class BucketAddress:
    """A bucket of a server that speaks S3. `prefix` is empty, or ends with `/`."""

    bucket: str
    prefix: str
    endpoint: str
    """Scheme, host and port, without the bucket."""
    region: str
    path_style: bool
    key: str = field(repr=False)
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)
    ca: str = ""
    """Certificates as PEM; empty: those of the system."""

    @property
    def base(self) -> str:
        """The URL of the bucket, without a slash at its end."""
        if self.path_style:
            return f"{self.endpoint}/{self.bucket}"
        scheme, _, host = self.endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{host}"

    @property
    def shown(self) -> str:
        """For people: never with credentials."""
        inside = f"{self.bucket}/{self.prefix.rstrip('/')}" if self.prefix else self.bucket
        return f"bucket {inside} at {self.endpoint}"


def read_address(url: str, data: Path, environment: Mapping[str, str]) -> BucketAddress | FolderAddress:
    """The address that `url` stands for; empty: the folder `images` in the data folder.

    Secrets that it names are registered, so that no log shows them. Raises InputError, which never shows a value.
    """
    if not url:
        return FolderAddress(data / DEFAULT_FOLDER, made=True)
    is_path = url.startswith("/")
    if _CONTROL.search(url if is_path else unquote(url)):
        raise _bad("it contains a control character")
    if is_path:
        return FolderAddress(Path(url))
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _bad("it cannot be read as an address") from None
    if parts.scheme == "file":
        return _read_folder(parts)
    if parts.scheme == "s3":
        return _read_bucket(parts, environment)
    raise _bad("it is neither s3://bucket/prefix?… nor file:///folder nor an absolute path")


def _read_folder(parts: SplitResult) -> FolderAddress:
    if parts.query or parts.fragment:
        raise _bad("a folder takes no ?key=value")
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise _bad("a folder is written as file:///data/images, with three slashes")
    return FolderAddress(Path(unquote(parts.path)))


def _read_bucket(parts: SplitResult, environment: Mapping[str, str]) -> BucketAddress:
    if "@" in parts.netloc:
        raise _bad("it contains a login", "name the variables that hold the keys: ?key=VARIABLE&secret=VARIABLE")
    if parts.fragment:
        raise _bad("it contains a #", "write %23 for it")
    if not _BUCKET.fullmatch(parts.netloc):
        raise _bad("the name of the bucket after s3:// is missing or impossible")
    fields = _fields(parts.query)
    region = fields.get("region", "") or environment.get("AWS_REGION", "") or DEFAULT_REGION
    if not _REGION.fullmatch(region):
        raise _bad("region: it is not the name of a region")
    endpoint = _read_endpoint(fields["endpoint"]) if fields.get("endpoint") else f"https://s3.{region}.amazonaws.com"
    prefix = unquote(parts.path).strip("/")
    if prefix and (why := why_unusable(prefix)):
        raise _bad(f"prefix: {why}")
    keys = {name: _read_variable(name, fields, environment) for name in _DEFAULT_VARIABLES}
    add_secrets({f"STORAGE_{name}_SECRET": value for name, value in keys.items() if value})
    return BucketAddress(
        bucket=parts.netloc,
        prefix=f"{prefix}/" if prefix else "",
        endpoint=endpoint,
        region=region,
        path_style=_read_flag("path_style", fields, default="endpoint" in fields),
        ca=_read_certificates(fields["ca"]) if fields.get("ca") else "",
        **keys,
    )


def _fields(query: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for piece in filter(None, query.split("&")):
        name, _, value = piece.partition("=")
        if name not in _FIELDS:
            shown = f"?{name}=" if _NAME.fullmatch(name) and len(name) <= 20 else "one of its ?key=value"
            raise _bad(f"{shown} is not known", f"known are {', '.join(_FIELDS)}")
        if name in fields:
            raise _bad(f"{name}: it is given twice", "give it once")
        fields[name] = unquote(value)
    return fields


def _read_endpoint(endpoint: str) -> str:
    remedy = "write it as endpoint=https://host:port; http:// where the server has no TLS"
    if "@" in endpoint:
        raise _bad("endpoint: it contains a login", remedy)
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _bad("endpoint: its host or port cannot be read", remedy) from None
    if parts.scheme not in ("http", "https") or not host or " " in parts.netloc:
        raise _bad("endpoint: it is not an http:// or https:// address", remedy)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise _bad("endpoint: something follows its host", f"the bucket and the prefix come after s3://; {remedy}")
    return f"{parts.scheme}://{parts.netloc}"


def _read_flag(name: str, fields: Mapping[str, str], *, default: bool) -> bool:
    value = fields.get(name, "")
    if value not in ("", "true", "false"):
        raise _bad(f"{name}: it is neither true nor false")
    return value == "true" if value else default


def _read_certificates(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            pem = file.read(MOST_CA_BYTES)
    except OSError as error:
        raise _bad(f"ca: {path}: {os_reason(error)}", "give the path of a PEM file inside the container") from None
    except UnicodeError:
        pem = ""
    if "-----BEGIN CERTIFICATE-----" not in pem:
        raise _bad(f"ca: {path} contains no certificate", "give a PEM file of certificates")
    return pem


def _read_variable(name: str, fields: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The value of the variable that holds the key, secret or session token; a session token may be missing."""
    given = fields.get(name, "")
    variable = given or _DEFAULT_VARIABLES[name]
    if given and not _NAME.fullmatch(given):
        raise _bad(f"{name}: it is not the name of a variable", f"write the key into a variable, and {name}=ITS_NAME")
    if value := environment.get(variable, "").strip():
        return value
    if name == "session" and not given:
        return ""
    called = f"the variable {variable}" if _SURELY_A_NAME.fullmatch(variable) else "the variable that it names"
    raise _bad(f"{name}: {called} is not set", "set it where the service runs, such as in a file of run.env_files")


def _bad(why: str, remedy: str = _SHAPE) -> InputError:
    return InputError(VARIABLE, why, remedy)
