"""All layers and pins resolved together by uv, for the image's Python and platform; then split by layer."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name

from core.artifacts.child import run_child
from core.artifacts.indexes import strip_credentials, uv_environment
from core.artifacts.lockfile import Unlocked
from core.artifacts.wheel_choice import best_wheel, tag_ranks
from core.errors import InputError, XaivaError
from core.presets.model import Index
from core.progress import Progress

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_ATTEMPTS = 12  # each attempt leaves out one more package or index; a preset with more such is beyond help


class Contradiction(XaivaError):
    """The requirements cannot be met together."""


@dataclass(frozen=True)
class Wanted:
    """What is to be resolved: `layers` in build order as (name, requirements)."""

    preset: str
    layers: Sequence[tuple[str, Sequence[str]]]
    pins: Sequence[str]
    indexes: Sequence[Index]
    python_version: str
    platform: str
    find_links: Path | None = None


@dataclass(frozen=True)
class Wheel:
    """One resolved wheel. `size` and `sha256` are empty where the index does not tell them."""

    name: str
    version: str
    url: str
    filename: str
    size: int = 0
    sha256: str = ""
    index: str = ""


@dataclass
class Resolution:
    """Wheels by layer, in build order, and what had to be left out."""

    layers: list[tuple[str, list[Wheel]]] = field(default_factory=list)
    unlocked: list[Unlocked] = field(default_factory=list)

    def wheels(self) -> list[Wheel]:
        """All wheels."""
        return [wheel for _, wheels in self.layers for wheel in wheels]


def resolve(wanted: Wanted, env: Mapping[str, str], keep: Mapping[str, str], progress: Progress) -> Resolution:
    """Resolve, preferring the versions in `keep` (name → version).

    What no index can give is left out and named in `unlocked`. Raises XaivaError when the requirements contradict
    each other or the package index does not answer, InputError for a requirement that cannot be read.
    """
    _check_requirements(wanted)
    if not any(requirements for _, requirements in wanted.layers):
        return Resolution([(name, []) for name, _ in wanted.layers])
    with tempfile.TemporaryDirectory(prefix="xaiva-lock-") as scratch:
        return _Resolver(wanted, env, keep, progress, Path(scratch)).run()


def _check_requirements(wanted: Wanted) -> None:
    for name, lines in [*wanted.layers, ("pins", wanted.pins)]:
        for line in lines:
            try:
                Requirement(line)
            except InvalidRequirement as error:
                raise InputError(
                    f"{name}: {line}", str(error).splitlines()[0], "write it as pip does: name>=1.0,<2"
                ) from error


class _Resolver:
    """One resolution: uv is asked again as often as it names one more thing that cannot be had."""

    def __init__(
        self, wanted: Wanted, env: Mapping[str, str], keep: Mapping[str, str], progress: Progress, scratch: Path
    ) -> None:
        self.wanted = wanted
        self.env = env
        self.keep = keep
        self.progress = progress
        self.scratch = scratch
        self.indexes = list(wanted.indexes)
        self.sdists: dict[str, str] = {}  # package → what uv says about its missing wheels
        self.excluded: set[str] = set()
        self.unlocked: list[Unlocked] = []
        self.lost_indexes: list[str] = []

    def run(self) -> Resolution:
        for _ in range(MOST_ATTEMPTS):
            code, out, err = self._compile(self.wanted.layers, "pylock.toml", self._preferences())
            if code == 0:
                return self._split(self._packages(out))
            if not self._leave_out(err):
                raise self._failed(err)
        raise self._failed(err)

    def _compile(
        self, layers: Sequence[tuple[str, Sequence[str]]], form: str, constraints: Sequence[str]
    ) -> tuple[int, bytes, str]:
        """Ask uv; its files are named after the layers, so that its own words name them."""
        inputs = []
        for name, requirements in layers:
            kept = [line for line in requirements if canonicalize_name(Requirement(line).name) not in self.excluded]
            inputs.append(self._write(f"{name}.txt", kept))
        argv = [_uv(), "pip", "compile", *inputs, "--format", form, "--no-header", "--no-annotate", "--no-progress"]
        argv += ["--color", "never", "--quiet", "--only-binary", ":all:", "--no-python-downloads"]
        argv += ["--python-version", self.wanted.python_version, "--python-platform", self.wanted.platform]
        argv += ["--constraints", self._write("pins.txt", self.wanted.pins)]
        argv += ["--constraints", self._write("kept-versions.txt", constraints)]
        for name in sorted(self.sdists):
            argv += ["--no-binary", name]
        if self.excluded:
            argv += ["--excludes", self._write("left-out.txt", sorted(self.excluded))]
        for index in self.indexes:
            argv += ["--index", f"{index.name}={index.url}"]
        if self.indexes and not self.env.get("UV_INDEX_STRATEGY"):
            argv += ["--index-strategy", "unsafe-best-match"]  # as pip: an extra index adds files, it hides none
        if self.wanted.find_links is not None and self.wanted.find_links.is_dir():
            argv += ["--find-links", str(self.wanted.find_links)]
        return run_child(argv, self.progress, uv_environment(self.env, self.indexes), self.scratch)

    def _write(self, name: str, lines: Sequence[str]) -> str:
        (self.scratch / name).write_text("".join(f"{line}\n" for line in lines))
        return name

    def _preferences(self) -> list[str]:
        """The kept versions as constraints, as far as requirements and pins still allow them."""
        asked: dict[str, list[Requirement]] = {}
        for _, lines in [*self.wanted.layers, ("pins", self.wanted.pins)]:
            for requirement in map(Requirement, lines):
                asked.setdefault(canonicalize_name(requirement.name), []).append(requirement)
        return [
            f"{name}=={version}"
            for name, version in sorted(self.keep.items())
            if all(one.specifier.contains(version, prereleases=True) for one in asked.get(name, []))
        ]

    def _leave_out(self, err: str) -> bool:
        """Learn from uv's refusal what to do without. False: nothing more, the refusal stands."""
        if self.keep:
            self.keep = {}  # the kept versions no longer fit together: resolve afresh
            return True
        return self._lost_index(err) or self._sdist(err) or self._lost_package(err)

    def _lost_index(self, err: str) -> bool:
        failed = re.search(r"Failed to fetch: `?(\S+?)`?$", err, re.MULTILINE)
        if failed is None:
            return False
        for index in self.indexes:
            if failed[1].startswith(index.url.rstrip("/")):
                self.indexes.remove(index)
                self.lost_indexes.append(index.name)
                why = _last_cause(err)
                self.progress.log(f"index {index.name} ({strip_credentials(index.url)}) cannot be used: {why}")
                return True
        return False

    def _sdist(self, err: str) -> bool:
        """Packages without a wheel for this Python: resolved from their source archive, and named."""
        found = False
        for name in re.findall(r"Wheels are required for `([^`]+)`", err):
            key = canonicalize_name(name)
            if key in self.sdists:
                continue
            self.sdists[key] = "the index has no wheel of it for this Python and platform, only source archives"
            found = True
        for name in re.findall(r"[Ff]ailed to (?:build|download and build) `([A-Za-z0-9._-]+?)(?:==[^`]*)?`", err):
            key = canonicalize_name(name)
            if key in self.sdists and key not in self.excluded:
                self._exclude(key, self.sdists[key], self._wheel_remedy(key))
                found = True
        return found

    def _lost_package(self, err: str) -> bool:
        """A package that only a lost index could give."""
        if not self.lost_indexes:
            return False
        missing = re.findall(r"there (?:is|are) no versions? of ([A-Za-z0-9._-]+)", err)
        missing += re.findall(r"([A-Za-z0-9._-]+) was not found in the (?:package registry|provided)", err)
        asked: dict[str, str] = {
            canonicalize_name(Requirement(line).name): line for _, lines in self.wanted.layers for line in lines
        }
        for name in map(canonicalize_name, missing):
            if name not in self.excluded:
                why = f"its index cannot be reached: {', '.join(self.lost_indexes)}"
                self._exclude(name, why, f"lock again where that index answers: xaiva lock {self.wanted.preset}", asked)
                return True
        return False

    def _exclude(self, name: str, why: str, remedy: str, lines: Mapping[str, str] | None = None) -> None:
        self.excluded.add(name)
        what = (lines or {}).get(name, name)
        self.unlocked.append(Unlocked(what=f"{what} (layer {self._layer_of(name)})", why=why, remedy=remedy))

    def _layer_of(self, package: str) -> str:
        for name, lines in self.wanted.layers:
            if any(canonicalize_name(Requirement(line).name) == package for line in lines):
                return name
        return "of a dependency"

    def _wheel_remedy(self, package: str) -> str:
        return (
            f"build a wheel of it in the base image: xaiva wheel {self.wanted.preset} {package}, "
            f"or put one into artifacts/{self.wanted.preset}/local-wheels; then lock again"
        )

    def _packages(self, pylock: bytes) -> dict[str, Wheel]:
        ranks = tag_ranks(self.wanted.python_version, self.wanted.platform)
        found: dict[str, Wheel] = {}
        for package in tomllib.loads(pylock.decode()).get("packages", []):
            name = canonicalize_name(package["name"])
            wheel = _wheel(package, ranks)
            if wheel is not None:
                found[name] = wheel
            else:
                why = self.sdists.get(name, "no file of it is a wheel for this Python and platform")
                self._exclude(name, why, self._wheel_remedy(name))
        return found

    def _split(self, packages: Mapping[str, Wheel]) -> Resolution:
        """Each wheel belongs to the first layer that needs it."""
        result = Resolution(unlocked=sorted(self.unlocked, key=lambda one: one.what))
        exact = [f"{name}=={wheel.version}" for name, wheel in sorted(packages.items())]
        seen: set[str] = set()
        for at, (layer, _) in enumerate(self.wanted.layers):
            if at == len(self.wanted.layers) - 1:
                names = set(packages)
            else:
                names = self._names(self.wanted.layers[: at + 1], exact) & set(packages)
            result.layers.append((layer, [packages[name] for name in sorted(names - seen)]))
            seen |= names
        return result

    def _names(self, layers: Sequence[tuple[str, Sequence[str]]], exact: Sequence[str]) -> set[str]:
        """The packages of the first layers alone, at the versions of the whole."""
        code, out, err = self._compile(layers, "requirements.txt", exact)
        if code != 0:
            raise self._failed(err)
        names = (re.match(r"[A-Za-z0-9._-]+", line) for line in out.decode().splitlines())
        return {canonicalize_name(match[0]) for match in names if match}

    def _failed(self, err: str) -> XaivaError:
        text = re.sub(r"(?m)^(error|\s*cause):\s*", "", err).strip()
        if "Failed to fetch" in err or "dns error" in err:
            return XaivaError(
                "The package index does not answer",
                " ".join(text.split()),
                "check the network, proxy and index settings (UV_DEFAULT_INDEX or PIP_INDEX_URL), then lock again",
            )
        asked = "; ".join(f"layer {name}: {', '.join(lines)}" for name, lines in self.wanted.layers if lines)
        pins = f"; pins: {', '.join(self.wanted.pins)}" if self.wanted.pins else ""
        named = self._named_layers(text)
        where = f" (layers {', '.join(named)})" if named else ""
        return Contradiction(
            f"The requirements of {self.wanted.preset} cannot be met together{where}",
            f"{text}\n  asked for: {asked}{pins}",
            "loosen one of the versions named above, in its layer or in pins",
        )

    def _named_layers(self, text: str) -> list[str]:
        """The layers whose requirements uv's explanation speaks of."""
        words = {canonicalize_name(word.rstrip(".-_")) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)}
        rows = [*self.wanted.layers, ("pins", self.wanted.pins)]
        return [name for name, lines in rows if any(canonicalize_name(Requirement(ln).name) in words for ln in lines)]


def _wheel(package: Mapping[str, Any], ranks: dict[Tag, int]) -> Wheel | None:
    entries = list(package.get("wheels", []))
    archive = package.get("archive")
    if archive:
        entries.append(archive)
    names = [_filename(entry) for entry in entries]
    at = best_wheel(names, ranks)
    if at is None:
        return None
    entry = entries[at]
    url = entry.get("url") or "file:" + entry.get("path", "")
    version = package.get("version") or names[at].split("-")[1]
    return Wheel(
        name=canonicalize_name(package["name"]),
        version=version,
        url=strip_credentials(url.partition("#")[0]),
        filename=names[at],
        size=int(entry.get("size", 0)),
        sha256=entry.get("hashes", {}).get("sha256", ""),
        index=strip_credentials(package.get("index", "")),
    )


def _filename(entry: Mapping[str, Any]) -> str:
    named = entry.get("name") or urlsplit(entry.get("url", "")).path or entry.get("path", "")
    return unquote(str(named).rpartition("/")[2])


def _last_cause(err: str) -> str:
    lines = [line.strip() for line in err.strip().splitlines() if line.strip()]
    return lines[-1].removeprefix("cause: ") if lines else "no answer"


def _uv() -> str:
    import uv

    return uv.find_uv_bin()
