"""Resolves all layers and pins together with uv, for the image's Python and platform, and splits the result by layer.

A preset's index comes before the machine's own and provides every package that it has (uv's strategy `first-index`),
so another index cannot slip in a newer package of the same name. Bound packages come from their index alone. A failed
index is not skipped: packages that it might have are not locked.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.artifacts.build_failures import missing_module
from core.artifacts.index_binding import LOCAL_WHEELS_INDEX, applicable_requirements, local_packages
from core.artifacts.index_failures import IndexFailure, failure_from_refusal, missing_login
from core.artifacts.index_pages import IndexPages, shared_packages
from core.artifacts.index_settings import machine_index_urls, mixes_indexes, strip_credentials, uv_environment
from core.artifacts.lockfile import Unlocked
from core.artifacts.uv_compile import PINS, ResolveRequest, UvCompile, package_name
from core.artifacts.uv_errors import ResolutionConflict, error_from_refusal, index_label, machine_index_error
from core.artifacts.uv_output import (
    Origin,
    Wheel,
    choose_wheel,
    invalid_wheels,
    missing_packages,
    packages_by_name,
    possible_names,
    required_packages,
    unfetchable_wheel,
)
from core.artifacts.wheel_choice import tag_ranks
from core.errors import Cancelled, XaivaError
from core.presets.model import Index
from core.presets.package_binding import index_for
from core.progress import Progress

MAX_ATTEMPTS = 12  # each attempt excludes one more package or index
MAX_FIX_ATTEMPTS = 6  # changes to try for a conflict
NO_WHEEL = "the index has no wheel of it for this Python and platform, only source archives"


@dataclass
class Resolution:
    """Wheels by layer, and what had to be excluded."""

    layers: list[tuple[str, list[Wheel]]] = field(default_factory=list)
    """(name, wheels) in build order."""
    unlocked: list[Unlocked] = field(default_factory=list)
    behind_failed_index: dict[str, Unlocked] = field(default_factory=dict)
    """Package → its entry in `unlocked`, for packages that a failed index might have."""
    shared: dict[str, list[str]] = field(default_factory=dict)
    """Package → URLs of the indexes that have it, for packages that several have and that are bound to none."""

    def wheels(self) -> list[Wheel]:
        """The wheels of all layers."""
        return [wheel for _, wheels in self.layers for wheel in wheels]


def resolve(
    request: ResolveRequest,
    env: Mapping[str, str],
    keep: Mapping[str, str],
    progress: Progress,
    pages: IndexPages | None = None,
) -> Resolution:
    """Resolve, preferring the versions in `keep` (name → version).

    Unavailable packages are excluded and named in `unlocked`. Without `pages`, empty indexes and shared packages stay
    undetected. Raises XaivaError when the requirements conflict or an index of the machine does not answer, InputError
    for a requirement that cannot be read.
    """
    request.check()
    if not any(requirements for _, requirements in request.layers):
        return Resolution([(name, []) for name, _ in request.layers])
    with tempfile.TemporaryDirectory(prefix="xaiva-lock-") as scratch:
        return _Resolver(request, env, keep, progress, Path(scratch), pages).run()


def suggest_fix(conflict: ResolutionConflict, env: Mapping[str, str], progress: Progress) -> str:
    """A change of one pin or requirement that resolves the conflict, tried with uv; "" without one."""
    request = conflict.request
    packages = possible_names(conflict.why)
    rows = [(PINS, line) for line in request.pins] + [(name, line) for name, lines in request.layers for line in lines]
    rows = [(name, line) for name, line in rows if Requirement(line).specifier and package_name(line) in packages]
    with tempfile.TemporaryDirectory(prefix="xaiva-lock-") as scratch:
        for place, line in rows[:MAX_FIX_ATTEMPTS]:
            progress.log(f"trying to resolve without the version limits of {line}")
            try:
                wheels = _Resolver(_relax(request, place, line), env, {}, progress, Path(scratch)).packages()
            except Cancelled:
                raise
            except XaivaError:
                continue
            wheel = wheels.get(package_name(line))
            version = f", with {wheel.name} {wheel.version}" if wheel else ""
            where = PINS if place == PINS else f"layer {place}"
            return f"change {line} in {where}: without its version limits everything resolves{version}"
    return ""


def _relax(request: ResolveRequest, place: str, line: str) -> ResolveRequest:
    """The request without one pin, or without the version limits of one layer's requirement."""
    if place == PINS:
        return replace(request, pins=[pin for pin in request.pins if pin != line])
    layers = [
        (
            name,
            [
                package_name(requirement) if (name, requirement) == (place, line) else requirement
                for requirement in lines
            ],
        )
        for name, lines in request.layers
    ]
    return replace(request, layers=layers)


class _Resolver:
    """One resolution. Runs uv again as long as its errors name another package or index to exclude."""

    def __init__(
        self,
        request: ResolveRequest,
        env: Mapping[str, str],
        keep: Mapping[str, str],
        progress: Progress,
        scratch: Path,
        pages: IndexPages | None = None,
    ) -> None:
        self.request = request
        self.env = env
        self.keep = keep
        self.progress = progress
        self.pages = pages
        self.uv = UvCompile(request, env, progress, scratch)
        self.failures: dict[str, IndexFailure] = {}  # by the name of the index
        lines = [line for _, lines in request.layers for line in lines]
        self.requirements = applicable_requirements(lines, request.python_version, request.platform)
        self.local_packages = local_packages(request.find_links)
        self.unlocked: list[Unlocked] = []
        self.behind_failed_index: dict[str, Unlocked] = {}
        self.origins: dict[str, Origin] = {}
        for index in request.indexes:
            if failure := missing_login(index, env):
                self._mark_failed(index, failure)

    def run(self) -> Resolution:
        """Resolve and split by layer. Raises XaivaError."""
        self._query_each_index()
        packages = self.packages()
        result = self._split_by_layer(packages)
        usable = [index for index in self.request.unbound if index.name not in self.failures]
        if self.pages:
            result.shared = shared_packages(packages.values(), usable, self.uv.bound, self.env, self.pages)
            for url in sorted(self.pages.unresponsive):
                self.progress.log(f"{url} does not answer, so it is unknown whether it has packages of the same names")
        return result

    def packages(self) -> dict[str, Wheel]:
        """Package → wheel, for all layers together. Raises XaivaError."""
        self._bind_packages(self.requirements)
        if self.uv.excluded >= self.requirements.keys():
            return {}
        err = ""
        for _ in range(MAX_ATTEMPTS):
            pylock, err = self.uv.pylock(self.keep)
            if not pylock:
                if not self._learn_from_refusal(err):
                    break
            elif not self._bind_packages(_indexed_packages(pylock)):
                pylock = self._with_fewest_sdists(pylock)
                if not self._bind_packages(_indexed_packages(pylock)):
                    packages = self._wheels(pylock)
                    if not self._any_is_no_index():
                        return packages
        raise error_from_refusal(err, self.request, self.uv.bound)

    # -- where packages may come from -----------------------------------------------------------------------------

    def _bind_packages(self, names: Iterable[str]) -> bool:
        """Bind each package to its index, or exclude it when its index has failed.

        Returns whether anything changed, so that uv must run again.
        """
        before = len(self.uv.bound), len(self.uv.excluded)
        for name in sorted(set(names) - self.uv.bound.keys() - self.uv.excluded):
            if name in self.requirements and self.requirements[name].url:
                continue
            index = index_for(name, self.request.indexes)
            failed = [
                failed_index
                for failed_index in ([index] if index else self.request.unbound)
                if failed_index.name in self.failures
            ]
            is_bound = index or failed or name in self.request.local_only
            if name in self.local_packages and is_bound:  # a wheel built for this preset wins over an index
                self.uv.bound[name] = Index.model_construct(name=LOCAL_WHEELS_INDEX, url=str(self.request.find_links))
            elif failed:
                self._exclude_behind(name, failed)
            elif index:
                self.uv.bound[name] = index
        return (len(self.uv.bound), len(self.uv.excluded)) != before

    def _mark_failed(self, index: Index, failure: IndexFailure) -> None:
        self.failures[index.name] = failure
        self.uv.failed_indexes.add(index.name)
        self.uv.bound = {name: home for name, home in self.uv.bound.items() if home.name != index.name}
        self.progress.log(f"{index_label(index)} cannot be used: {failure.why}")
        self._bind_packages(self.requirements)

    def _exclude_behind(self, name: str, failed: Sequence[Index]) -> None:
        whys = [f"{index_label(index)} cannot be used: {self.failures[index.name].why}" for index in failed]
        remedies = dict.fromkeys(self.failures[index.name].remedy for index in failed)
        remedy = f"{'; '.join(remedies)}; then lock again: xaiva lock {self.request.preset}"
        self.behind_failed_index[name] = self._exclude(name, "; ".join(whys), remedy)

    def _query_each_index(self) -> None:
        """Ask each index alone for one package. With several, uv does not always say which one failed, and with some
        strategies it takes a refusal for an empty index. Raises XaivaError for an index of the machine."""
        for index in self.request.indexes:
            home = index if index.packages else None
            name = next((name for name in self.requirements if index_for(name, self.request.indexes) == home), "")
            if name and index.name not in self.failures and (failure := self._query(index, name)):
                self._mark_failed(index, failure)
        name = next((name for name in self.requirements if index_for(name, self.request.indexes) is None), "")
        if not name or not mixes_indexes(uv_environment(self.env, self.request.indexes)):
            return
        for url in machine_index_urls(self.env):
            if url.startswith(("http://", "https://")):
                failure = self._query(Index.model_construct(name="", url=url), name)
                if failure:
                    raise machine_index_error(strip_credentials(url), failure.why)

    def _query(self, index: Index, package: str) -> IndexFailure | None:
        """The failure of an index, from asking it alone; None when it works."""
        refusal = self.uv.query_index(index, package)
        failure = failure_from_refusal(refusal, strip_credentials(index.url), index.token_variable)
        if failure is None and self.pages and package in missing_packages(refusal):
            return self.pages.failure_of_package(index, package)
        return failure

    def _any_is_no_index(self) -> bool:
        """Whether an index that provided nothing turns out not to be an index."""
        used_urls = {origin.index.rstrip("/") for origin in self.origins.values()}
        return any(self._is_no_index(index) for index in self.request.unbound if index.url.rstrip("/") not in used_urls)

    def _is_no_index(self, index: Index) -> bool:
        """Whether a URL answers but is not an index; marks it as failed."""
        failure = self.pages.failure_at_root(index) if self.pages and index.name not in self.failures else None
        if failure:
            self._mark_failed(index, failure)
        return failure is not None

    # -- uv -------------------------------------------------------------------------------------------------------

    def _with_fewest_sdists(self, pylock: str) -> str:
        """Prefer releases with wheels: uv reports a package as soon as one of its releases has none."""
        for name in sorted(self.uv.sdists - self.uv.excluded):
            self.uv.sdists.discard(name)
            fewer, _ = self.uv.pylock(self.keep)
            if fewer:
                pylock = fewer
            else:
                self.uv.sdists.add(name)
        return pylock

    def _learn_from_refusal(self, err: str) -> bool:
        """Exclude what uv's error names. False when there is nothing to exclude, so that the error is final."""
        left_out = (
            self._learn_failed_index(err) or self._bind_packages(missing_packages(err)) or self._learn_sdists(err)
        )
        return left_out or self._learn_missing_packages(err) or self._learn_invalid_wheels(err)

    def _learn_failed_index(self, err: str) -> bool:
        for index in self.request.indexes:
            failure = failure_from_refusal(err, index.url, index.token_variable)
            if failure and index.name not in self.failures:
                self._mark_failed(index, failure)
                return True
        return self._learn_unfetchable_wheel(err)

    def _learn_unfetchable_wheel(self, err: str) -> bool:
        """Mark an index of the preset as failed when it lists a wheel that cannot be fetched."""
        package, url = unfetchable_wheel(err) or ("", "")
        host = urlsplit(url).netloc
        same_host = [index for index in self.request.unbound if urlsplit(index.url).netloc.rpartition("@")[2] == host]
        home = self.uv.bound.get(package) or next(iter(same_host), None)
        failure = failure_from_refusal(err, url, home.token_variable) if home else None
        if home is None or failure is None or home.name in self.failures:
            return False
        self._mark_failed(home, replace(failure, why=f"{failure.why} for {url.rpartition('/')[2]}"))
        return True

    def _learn_sdists(self, err: str) -> bool:
        """Resolve packages without a wheel for this Python from source archives; exclude those that do not build."""
        named_packages = map(canonicalize_name, re.findall(r"Wheels are required for `([^`]+)`", err))
        sdists = set(named_packages) - self.uv.sdists
        if self._bind_packages(sdists):  # before a build: the archive may be an unrelated package of the same name
            return True
        self.uv.sdists |= sdists
        unbuilt = re.findall(r"[Ff]ailed to (?:build|download and build) `([A-Za-z0-9._-]+?)(?:==[^`]*)?`", err)
        module = missing_module(err.splitlines())
        for name in sorted(set(map(canonicalize_name, unbuilt)) & self.uv.sdists - self.uv.excluded):
            why = f"{NO_WHEEL}; its build needs the module {module}, which it does not declare" if module else NO_WHEEL
            self.unlocked.append(self._exclude(name, why, self._wheel_remedy(name, module)))
            sdists.add(name)
        return bool(sdists)

    def _learn_missing_packages(self, err: str) -> bool:
        """Mark the index of a missing package as failed if it refuses or is not one: uv reports both as missing."""
        homes = {name: self.uv.bound[name] for name in missing_packages(err) if name in self.uv.bound}
        for name, index in homes.items():
            if index.name != LOCAL_WHEELS_INDEX and (failure := self._query(index, name)):
                self._mark_failed(index, failure)
                return True
        return any(self._is_no_index(index) for index in homes.values() if index.name != LOCAL_WHEELS_INDEX)

    def _learn_invalid_wheels(self, err: str) -> bool:
        """Exclude packages whose wheel is something else, such as a login page."""
        packages = set(invalid_wheels(err)) - self.uv.excluded
        remedy = f"open its page of the index in a browser; then lock again: xaiva lock {self.request.preset}"
        for name in sorted(packages):
            self.unlocked.append(self._exclude(name, "the file that its index serves is not a wheel", remedy))
        return bool(packages)

    def _exclude(self, name: str, why: str, remedy: str) -> Unlocked:
        """Exclude a package from now on; returns its entry for the lock."""
        self.uv.excluded.add(name)
        rows = [(line, layer) for layer, lines in self.request.layers for line in lines if package_name(line) == name]
        what = f"{rows[0][0]} (layer {rows[0][1]})" if rows else f"{name} (a dependency)"
        return Unlocked(what=what, why=why, remedy=remedy)

    def _wheel_remedy(self, package: str, module: str = "") -> str:
        preset = self.request.preset
        if module:
            return (
                f"build a wheel of it against the locked packages: xaiva sync {preset}, "
                f"then xaiva wheel {preset} {package} --no-build-isolation; then lock again: xaiva lock {preset}"
            )
        return (
            f"build a wheel of it in the base image: xaiva wheel {self.request.preset} {package}, "
            f"or put one into artifacts/{self.request.preset}/local-wheels; then lock again"
        )

    def _wheels(self, pylock: str) -> dict[str, Wheel]:
        """Package → wheel with its index, for the packages that the layers need."""
        ranks = tag_ranks(self.request.python_version, self.request.platform)
        wheels: dict[str, Wheel] = {}
        tables = packages_by_name(pylock)
        exact = [f"{name}=={table['version']}" for name, table in sorted(tables.items()) if table.get("version")]
        self.origins = self._origins(self.request.layers, exact)
        for name in sorted(required_packages(self.origins) & tables.keys()):
            wheel = choose_wheel(tables[name], ranks, self.request.hashes.get(name, ()))
            if wheel is None:
                self.unlocked.append(self._exclude(name, NO_WHEEL, self._wheel_remedy(name)))
            else:
                wheels[name] = (
                    wheel if wheel.url.startswith("file:") else replace(wheel, index=self.origins[name].index)
                )
        return wheels

    def _split_by_layer(self, packages: Mapping[str, Wheel]) -> Resolution:
        """Assign each wheel to the first layer that needs it."""
        unlocked = [*self.unlocked, *self.behind_failed_index.values()]
        result = Resolution(
            unlocked=sorted(unlocked, key=lambda part: part.what), behind_failed_index=self.behind_failed_index
        )
        exact = [f"{name}=={wheel.version}" for name, wheel in sorted(packages.items())]
        placed: set[str] = set()
        for at, (layer, _) in enumerate(self.request.layers):
            if not packages or at == len(self.request.layers) - 1:
                names = set(packages)
            else:
                names = required_packages(self._origins(self.request.layers[: at + 1], exact)) & set(packages)
            result.layers.append((layer, [packages[name] for name in sorted(names - placed)]))
            placed |= names
        return result

    def _origins(self, layers: Sequence[tuple[str, Sequence[str]]], exact: Sequence[str]) -> dict[str, Origin]:
        origins, err = self.uv.origins(layers, exact)
        if err:
            raise error_from_refusal(err, self.request, self.uv.bound)
        return origins


def _indexed_packages(pylock: str) -> set[str]:
    """The packages of a `pylock.toml` that come from an index, not from a URL of their own."""
    return {name for name, package in packages_by_name(pylock).items() if "archive" not in package}
