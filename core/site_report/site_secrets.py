"""The secrets in the files of a site and of the docker client, so that they are hidden wherever they occur.

`core.redaction` itself hides those of the environment and of `.env`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.engine import docker_config_folder
from core.env_file import read_env_file
from core.errors import InputError
from core.files import read_regular
from core.redaction import secrets_of
from core.site import Site
from core.toml import tomllib

_COMPOSE_FILES = ("*compose*.y*ml", "*/*compose*.y*ml", "stacks/*/*.y*ml")
_ENV_FILES = ("*.env", ".env.*", "*/*.env", "*/.env", "stacks/*/.env", "stacks/*/*.env")
_YAML_VALUE = re.compile(
    r"^[ \t-]*[\"']?([\w.-]+)[\"']?[ \t]*[:=][ \t]*[\"']?(.+?)[\"']?[ \t]*(?:[ \t]#.*)?$", re.MULTILINE
)
_MAX_FILES = 1000
_MAX_FILE_BYTES = 4 << 20


def site_secrets(site: Site) -> re.Pattern[str] | None:
    """A pattern of these secrets; None without any. A file that cannot be read adds nothing."""
    return secrets_of(list(_documents(site)))


def _documents(site: Site) -> Iterator[Any]:
    yield _parsed(site.root / "site.toml", tomllib.loads)
    client = _parsed(docker_config_folder(site) / "config.json", json.loads)
    yield client
    yield from _logins(client)
    for path in _files(site.presets, ("*.json",)):
        yield _parsed(path, json.loads)
    for path in _files(site.root, _COMPOSE_FILES):
        yield from ({name: value} for name, value in _YAML_VALUE.findall(_text(path)))
    for path in _files(site.root, _ENV_FILES):
        yield from _variables(path)


def _files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]
    return list(dict.fromkeys(paths))[:_MAX_FILES]


def _logins(client: Any) -> Iterator[dict[str, str]]:
    """The passwords of registries, which the docker client keeps in base64 as `user:password`."""
    entries = client.get("auths") if isinstance(client, dict) else None
    for entry in entries.values() if isinstance(entries, dict) else ():
        login = entry.get("auth") if isinstance(entry, dict) else None
        try:
            text = base64.b64decode(str(login or "")).decode()
        except (binascii.Error, ValueError):
            continue
        yield {"password": text.partition(":")[2]}


def _variables(path: Path) -> Iterator[dict[str, str]]:
    try:
        yield from ({name: value} for name, value in read_env_file(path, {}).items())
    except (InputError, OSError, UnicodeDecodeError):
        yield from ({name: value} for name, value in _YAML_VALUE.findall(_text(path)))


def _parsed(path: Path, parse: Any) -> Any:
    try:
        return parse(_text(path))
    except (ValueError, RecursionError):
        return {}


def _text(path: Path) -> str:
    try:
        return read_regular(path)[:_MAX_FILE_BYTES].decode(errors="replace") if path.is_file() else ""
    except OSError:
        return ""
