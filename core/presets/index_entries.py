"""The indexes of a preset, and the `indexes` entries for what a requirement file names."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from core.presets.model import Index, Preset
from core.presets.requirement_text import ENV_REFERENCE

PYTORCH = "pytorch"
PYTORCH_INDEX = "https://download.pytorch.org/whl/{tag}"
# Packages that only PyTorch's index has with that tag. It also has old copies of numpy, pillow, requests and others,
# and NVIDIA's libraries in the versions that the default index has, too: these are not bound to it.
PYTORCH_PACKAGES = ["torch", "torchvision", "torchaudio", "pytorch-triton*"]
PYTORCH_TAG = re.compile(r"cu\d{2,3}|cpu|xpu|rocm\d[\d.]*")


def indexes_of(preset: Preset) -> list[Index]:
    """The preset's indexes and the one for its PyTorch.

    That is PyTorch's own index, unless the preset has one with the same address or named `pytorch` (a mirror).
    """
    tag = preset.pytorch.tag if preset.pytorch else ""
    if not tag:
        return list(preset.indexes)
    implicit = Index(name=PYTORCH, url=PYTORCH_INDEX.format(tag=tag), packages=PYTORCH_PACKAGES)
    replacements = [index for index in preset.indexes if index.name == PYTORCH or index.url.rstrip("/") == implicit.url]
    if not replacements:
        return [*preset.indexes, implicit]
    bound = {"packages": PYTORCH_PACKAGES}
    return [
        index.model_copy(update=bound) if index in replacements and not index.packages else index
        for index in preset.indexes
    ]


def pytorch_entry(tag: str) -> Index:
    """PyTorch's index of a wheel tag, `cu118`."""
    name = f"{PYTORCH}-{tag.replace('.', '-')}"
    return Index(name=name, url=PYTORCH_INDEX.format(tag=tag), packages=PYTORCH_PACKAGES)


def entries_for_index(url: str, requirements: Sequence[str]) -> list[Index]:
    """The entry for an index that a requirement file names beside `requirements`; empty for what is not a URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return []
    host = parts.netloc.rpartition("@")[2]
    name = re.sub(r"[^a-z0-9]+", "-", parts.hostname.lower()).strip("-")[:60].strip("-")
    clean_url = urlunsplit(parts._replace(netloc=host, fragment="")).rstrip("/")
    if tag := _pytorch_tag(clean_url):
        return [pytorch_entry(tag)]
    packages = [*PYTORCH_PACKAGES] if _is_pytorch(clean_url) else _with_local_version(requirements)
    return [
        Index(name=name, url=clean_url, packages=packages, **_login_variables(parts.username, parts.password, name))
    ]


def entries_for_find_links(url: str, requirements: Sequence[str]) -> list[Index]:
    """The entries for a `--find-links` page: PyTorch's wheels are in its indexes, too. Empty for other pages."""
    if not _is_pytorch(url):
        return []
    tag = _pytorch_tag(url)
    tags = {tag} if tag else {line_tag for line in requirements if (line_tag := pytorch_tag_of(line))}
    return [pytorch_entry(tag) for tag in sorted(tags)]


def pytorch_tag_of(line: str) -> str:
    """The tag of a requirement such as `torch==2.1.0+cu118`; empty for others."""
    match = re.match(r"(?:torch|torchvision|torchaudio)\b(?:\[[^\]]*\])?\s*===?[^+;]*\+([\w.]+)", line, re.I)
    return match[1] if match and PYTORCH_TAG.fullmatch(match[1]) else ""


def entry_json(entry: Index) -> str:
    """The entry as JSON text for a preset."""
    return json.dumps(entry.model_dump(exclude_defaults=True, exclude_none=True))


def _is_pytorch(url: str) -> bool:
    root = PYTORCH_INDEX.format(tag="").rstrip("/")
    return url.rstrip("/") == root or url.startswith(f"{root}/")


def _pytorch_tag(url: str) -> str:
    """The first path segment of a PyTorch index URL, if it is a wheel tag."""
    tag = url.removeprefix(PYTORCH_INDEX.format(tag="")).partition("/")[0] if _is_pytorch(url) else ""
    return tag if PYTORCH_TAG.fullmatch(tag) else ""


def _with_local_version(requirements: Sequence[str]) -> list[str]:
    """Packages required in a local version (`+…`), which the default index never has; without PyTorch's own."""
    names = []
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if any("+" in specifier.version for specifier in requirement.specifier) and not pytorch_tag_of(line):
            names.append(canonicalize_name(requirement.name))
    return list(dict.fromkeys(names))


def _login_variables(user: str | None, password: str | None, name: str) -> dict[str, str]:
    """The `.env` variables for the login of an address: those that it references, else new ones."""
    if user is None:
        return {}
    prefix = re.sub(r"[^A-Z0-9]", "_", name.upper())
    token = ENV_REFERENCE.fullmatch(unquote(password or user))
    variables = {"token_variable": token[0][2:-1] if token else f"{prefix}_TOKEN"}
    if password is not None and user != "__token__":
        variable = ENV_REFERENCE.fullmatch(unquote(user))
        variables["username_variable"] = variable[0][2:-1] if variable else f"{prefix}_USERNAME"
    return variables
