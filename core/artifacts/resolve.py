"""All layers and pins resolved together by uv, for the image's Python and platform; then split by layer."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name

from core.artifacts.child import Finished, run_child
from core.artifacts.indexes import strip_credentials, uv_environment
from core.artifacts.lockfile import Unlocked
from core.artifacts.wheel_choice import best_wheel, tag_ranks
from core.errors import Cancelled, InputError, XaivaError
from core.presets.model import Index
from core.progress import Progress
from core.redaction import address

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_ATTEMPTS = 12  # each attempt leaves out one more package or index; a preset with more such is beyond help
MOST_TRIES = 6  # of changes that might end a contradiction
NO_WHEEL = "the index has no wheel of it for this Python and platform, only source archives"
PINS = "pins"


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


class Contradiction(XaivaError):
    """The requirements in `wanted` cannot be met together."""

    def __init__(self, what: str, why: str, remedy: str, wanted: Wanted) -> None:
        super().__init__(what, why, remedy)
        self.wanted = wanted


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


def way_out(contradiction: Contradiction, env: Mapping[str, str], progress: Progress) -> str:
    """The change of one pin or requirement with which all resolves, tried out; "" when none was found. Cancelled."""
    wanted = contradiction.wanted
    named = _words(contradiction.why)
    rows = [(PINS, line) for line in wanted.pins] + [(name, line) for name, lines in wanted.layers for line in lines]
    rows = [(name, line) for name, line in rows if Requirement(line).specifier and _name(line) in named]
    with tempfile.TemporaryDirectory(prefix="xaiva-lock-") as scratch:
        for place, line in rows[:MOST_TRIES]:
            progress.log(f"looking for a way out: without the limits of {line}")
            try:
                found = _Resolver(_loosened(wanted, place, line), env, {}, progress, Path(scratch)).packages()
            except Cancelled:
                raise
            except XaivaError:
                continue
            wheel = found.get(_name(line))
            version = f", with {wheel.name} {wheel.version}" if wheel else ""
            where = PINS if place == PINS else f"layer {place}"
            return f"change {line} in {where}: without its limits all of it resolves{version}"
    return ""


def _loosened(wanted: Wanted, place: str, line: str) -> Wanted:
    """The same without one pin, or without the limits of one layer's requirement."""
    if place == PINS:
        return replace(wanted, pins=[pin for pin in wanted.pins if pin != line])
    layers = [
        (name, [_name(one) if (name, one) == (place, line) else one for one in lines]) for name, lines in wanted.layers
    ]
    return replace(wanted, layers=layers)


def _check_requirements(wanted: Wanted) -> None:
    for name, lines in [*wanted.layers, (PINS, wanted.pins)]:
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
        self.lost_indexes = {  # name → why
            index.name: f"{index.token_variable} is not set"
            for index in wanted.indexes
            if index.token_variable and not env.get(index.token_variable)
        }
        self.indexes = [index for index in wanted.indexes if index.name not in self.lost_indexes]
        self.sdists: set[str] = set()  # packages that may come as source archives
        self.excluded: set[str] = set()
        self.unlocked: list[Unlocked] = []

    def run(self) -> Resolution:
        """All layers with their wheels. Raises XaivaError."""
        return self._split(self.packages())

    def packages(self) -> dict[str, Wheel]:
        """All layers' packages together. Raises XaivaError."""
        for _ in range(MOST_ATTEMPTS):
            pylock, err = self._pylock()
            if pylock:
                return self._wheels(self._with_fewest_sdists(pylock))
            if not self._leave_out(err):
                break
        raise self._failed(err)

    def _pylock(self) -> tuple[str, str]:
        """The lock file that uv writes, or "" and its refusal. It prefers the versions of the file it writes over."""
        kept = [f'[[packages]]\nname = "{name}"\nversion = "{version}"' for name, version in self.keep.items()]
        name = self._write(
            "pylock.toml", ['lock-version = "1.0"', 'created-by = "xaiva"', *(kept or ["packages = []"])]
        )
        code, _, err = self._compile(self.wanted.layers, "--format", "pylock.toml", "--output-file", name)
        return ((self.scratch / name).read_text(), "") if code == 0 else ("", err)

    def _with_fewest_sdists(self, pylock: str) -> str:
        """uv speaks of each package with a release without wheels; where another release has one, that is taken."""
        for name in sorted(self.sdists - self.excluded):
            self.sdists.discard(name)
            fewer, _ = self._pylock()
            if fewer:
                pylock = fewer
            else:
                self.sdists.add(name)
        return pylock

    def _compile(self, layers: Sequence[tuple[str, Sequence[str]]], *more: str) -> Finished:
        """Ask uv; its files are named after the layers, so that its own words name them."""
        inputs = []
        for name, requirements in layers:
            kept = [line for line in requirements if _name(line) not in self.excluded]
            inputs.append(self._write(f"{name}.txt", kept))
        argv = [_uv(), "pip", "compile", *inputs, *more, "--no-header", "--no-annotate", "--no-progress"]
        argv += ["--color", "never", "--quiet", "--only-binary", ":all:", "--no-python-downloads"]
        argv += ["--python-version", self.wanted.python_version, "--python-platform", self.wanted.platform]
        argv += ["--constraints", self._write("pins.txt", self.wanted.pins)]
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

    def _leave_out(self, err: str) -> bool:
        """Learn from uv's refusal what to do without. False: nothing more, the refusal stands."""
        return self._lost_index(err) or self._sdist(err) or self._lost_package(err)

    def _lost_index(self, err: str) -> bool:
        failed = re.search(r"Failed to fetch: `?(\S+?)`?$", err, re.MULTILINE)
        if failed is None:
            return False
        for index in self.indexes:
            if failed[1].startswith(index.url.rstrip("/")):
                self.indexes.remove(index)
                self.lost_indexes[index.name] = why = _last_cause(err)
                self.progress.log(f"index {index.name} ({address(index.url)}) cannot be used: {why}")
                return True
        return False

    def _sdist(self, err: str) -> bool:
        """Packages without a wheel for this Python: resolved from their source archive, and named."""
        named = map(canonicalize_name, re.findall(r"Wheels are required for `([^`]+)`", err))
        found = set(named) - self.sdists
        self.sdists |= found
        unbuilt = re.findall(r"[Ff]ailed to (?:build|download and build) `([A-Za-z0-9._-]+?)(?:==[^`]*)?`", err)
        for name in sorted(set(map(canonicalize_name, unbuilt)) & self.sdists - self.excluded):
            self._exclude(name, NO_WHEEL, self._wheel_remedy(name))
            found.add(name)
        return bool(found)

    def _lost_package(self, err: str) -> bool:
        """A package that only a lost index could give."""
        if not self.lost_indexes:
            return False
        missing = re.findall(r"there (?:is|are) no versions? of ([A-Za-z0-9._-]+)", err)
        missing += re.findall(r"([A-Za-z0-9._-]+) was not found in the (?:package registry|provided)", err)
        for name in map(canonicalize_name, missing):
            if name not in self.excluded:
                lost = ", ".join(f"{index} ({why})" for index, why in self.lost_indexes.items())
                remedy = f"mend that, or go where it answers; then lock again: xaiva lock {self.wanted.preset}"
                self._exclude(name, f"its index cannot be used: {lost}", remedy)
                return True
        return False

    def _exclude(self, name: str, why: str, remedy: str) -> None:
        self.excluded.add(name)
        rows = [(line, layer) for layer, lines in self.wanted.layers for line in lines if _name(line) == name]
        what = f"{rows[0][0]} (layer {rows[0][1]})" if rows else f"{name} (a dependency)"
        self.unlocked.append(Unlocked(what=what, why=why, remedy=remedy))

    def _wheel_remedy(self, package: str) -> str:
        return (
            f"build a wheel of it in the base image: xaiva wheel {self.wanted.preset} {package}, "
            f"or put one into artifacts/{self.wanted.preset}/local-wheels; then lock again"
        )

    def _wheels(self, pylock: str) -> dict[str, Wheel]:
        ranks = tag_ranks(self.wanted.python_version, self.wanted.platform)
        found: dict[str, Wheel] = {}
        for package in tomllib.loads(pylock).get("packages", []):
            name = canonicalize_name(package["name"])
            wheel = _wheel(package, ranks)
            if wheel is not None:
                found[name] = wheel
            else:
                self._exclude(name, NO_WHEEL, self._wheel_remedy(name))
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
        versions = self._write("exact.txt", exact)
        code, out, err = self._compile(layers, "--format", "requirements.txt", "--constraints", versions)
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
        head, unsolvable, text = text.partition("No solution found when resolving dependencies")
        if not unsolvable:
            return XaivaError(
                f"The requirements of {self.wanted.preset} cannot be resolved", head, "correct what it names"
            )
        text = text.partition("\n\nhint: ")[0].strip()
        asked = self._asked_for(_words(text))
        return Contradiction(
            f"The requirements of {self.wanted.preset} cannot be met together ({', '.join(asked)})",
            "\n".join([re.sub(r"(?m)^ {9}", "  ", text), *(f"  {name}: {lines}" for name, lines in asked.items())]),
            "loosen one of the versions named above, in its layer or in pins",
            self.wanted,
        )

    def _asked_for(self, named: set[str]) -> dict[str, str]:
        """What layers and pins say of these packages."""
        rows = [*((f"layer {name}", lines) for name, lines in self.wanted.layers), (PINS, self.wanted.pins)]
        asked = {place: ", ".join(line for line in lines if _name(line) in named) for place, lines in rows}
        return {place: text for place, text in asked.items() if text}


def _name(line: str) -> str:
    return canonicalize_name(Requirement(line).name)


def _words(text: str) -> set[str]:
    """All that may be a package's name."""
    return {canonicalize_name(word.rstrip(".-_")) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)}


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
