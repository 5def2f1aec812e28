"""All layers and pins resolved together by uv, for the image's Python and platform; then split by layer.

A preset's index comes before the machine's own, and what it has is taken from it (uv's strategy `first-index`): another
index cannot slip in a newer package of that name. What is bound to an index comes from there alone. An index that
fails is not left out: what it might hold is "not locked".
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from core.artifacts.build_failures import missing_module
from core.artifacts.index_binding import LOCAL, asked_packages, local_packages
from core.artifacts.index_failures import IndexFailure, failure_in, missing_login
from core.artifacts.index_pages import IndexPages, shared_packages
from core.artifacts.indexes import machine_index_urls, mixes_indexes, strip_credentials, uv_environment
from core.artifacts.lockfile import Unlocked
from core.artifacts.uv_compile import UvCompile, Wanted, name_of
from core.artifacts.uv_output import (
    Origin,
    Wheel,
    lost_file,
    named_words,
    needed,
    no_wheels,
    not_found,
    packages_of,
    wheel_of,
)
from core.artifacts.uv_refusals import PINS, Contradiction, described, error_of, machine_index_fails
from core.artifacts.wheel_choice import tag_ranks
from core.errors import Cancelled, InputError, XaivaError
from core.presets.model import Index
from core.presets.package_binding import index_for
from core.progress import Progress

MOST_ATTEMPTS = 12  # each attempt leaves out one more package or index; a preset with more such is beyond help
MOST_TRIES = 6  # of changes that might end a contradiction
NO_WHEEL = "the index has no wheel of it for this Python and platform, only source archives"


@dataclass
class Resolution:
    """Wheels by layer, in build order, and what had to be left out.

    `lost` has by package those of `unlocked` that a failed index might hold; `shared` the packages that several indexes
    have and that are bound to none.
    """

    layers: list[tuple[str, list[Wheel]]] = field(default_factory=list)
    unlocked: list[Unlocked] = field(default_factory=list)
    lost: dict[str, Unlocked] = field(default_factory=dict)
    shared: dict[str, list[str]] = field(default_factory=dict)

    def wheels(self) -> list[Wheel]:
        """All wheels."""
        return [wheel for _, wheels in self.layers for wheel in wheels]


def resolve(
    wanted: Wanted,
    env: Mapping[str, str],
    keep: Mapping[str, str],
    progress: Progress,
    pages: IndexPages | None = None,
) -> Resolution:
    """Resolve, preferring the versions in `keep` (name → version).

    What an index cannot give is left out and named in `unlocked`. Without `pages` no index is looked at but by uv: one
    that holds nothing is then not noticed, nor what several indexes have. Raises XaivaError when the requirements
    contradict each other or an index of the machine does not answer, InputError for a requirement that cannot be read.
    """
    _check_requirements(wanted)
    if not any(requirements for _, requirements in wanted.layers):
        return Resolution([(name, []) for name, _ in wanted.layers])
    with tempfile.TemporaryDirectory(prefix="xaiva-lock-") as scratch:
        return _Resolver(wanted, env, keep, progress, Path(scratch), pages).run()


def way_out(contradiction: Contradiction, env: Mapping[str, str], progress: Progress) -> str:
    """The change of one pin or requirement with which all resolves, tried out; "" when none was found. Cancelled."""
    wanted = contradiction.wanted
    named = named_words(contradiction.why)
    rows = [(PINS, line) for line in wanted.pins] + [(name, line) for name, lines in wanted.layers for line in lines]
    rows = [(name, line) for name, line in rows if Requirement(line).specifier and name_of(line) in named]
    with tempfile.TemporaryDirectory(prefix="xaiva-lock-") as scratch:
        for place, line in rows[:MOST_TRIES]:
            progress.log(f"looking for a way out: without the limits of {line}")
            try:
                found = _Resolver(_loosened(wanted, place, line), env, {}, progress, Path(scratch)).packages()
            except Cancelled:
                raise
            except XaivaError:
                continue
            wheel = found.get(name_of(line))
            version = f", with {wheel.name} {wheel.version}" if wheel else ""
            where = PINS if place == PINS else f"layer {place}"
            return f"change {line} in {where}: without its limits all of it resolves{version}"
    return ""


def _loosened(wanted: Wanted, place: str, line: str) -> Wanted:
    """The same without one pin, or without the limits of one layer's requirement."""
    if place == PINS:
        return replace(wanted, pins=[pin for pin in wanted.pins if pin != line])
    layers = [
        (name, [name_of(one) if (name, one) == (place, line) else one for one in lines])
        for name, lines in wanted.layers
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
        self,
        wanted: Wanted,
        env: Mapping[str, str],
        keep: Mapping[str, str],
        progress: Progress,
        scratch: Path,
        pages: IndexPages | None = None,
    ) -> None:
        self.wanted = wanted
        self.env = env
        self.keep = keep
        self.progress = progress
        self.pages = pages
        self.uv = UvCompile(wanted, env, progress, scratch)
        self.failures: dict[str, IndexFailure] = {}  # name of an index → why it cannot be used
        lines = [line for _, lines in wanted.layers for line in lines]
        self.asked = asked_packages(lines, wanted.python_version, wanted.platform)
        self.local = local_packages(wanted.find_links)
        self.unlocked: list[Unlocked] = []
        self.lost: dict[str, Unlocked] = {}
        self.origins: dict[str, Origin] = {}
        for index in wanted.indexes:
            if failure := missing_login(index, env):
                self._fail(index, failure)

    def run(self) -> Resolution:
        """All layers with their wheels. Raises XaivaError."""
        self._ask_each_index()
        packages = self.packages()
        result = self._split(packages)
        usable = [index for index in self.wanted.unbound if index.name not in self.failures]
        if self.pages:
            result.shared = shared_packages(packages.values(), usable, self.uv.bound, self.env, self.pages)
            for url in sorted(self.pages.silent):
                self.progress.log(f"{url} does not answer: whether it has packages of these names, too, is not known")
        return result

    def packages(self) -> dict[str, Wheel]:
        """All layers' packages together. Raises XaivaError."""
        self._place(self.asked)
        if self.uv.excluded >= self.asked.keys():
            return {}
        err = ""
        for _ in range(MOST_ATTEMPTS):
            pylock, err = self.uv.pylock(self.keep)
            if not pylock:
                if not self._leave_out(err):
                    break
            elif not self._place(_of_indexes(pylock)):
                pylock = self._with_fewest_sdists(pylock)
                if not self._place(_of_indexes(pylock)):
                    packages = self._wheels(pylock)
                    if not self._empty_index():
                        return packages
        raise error_of(err, self.wanted, self.uv.bound)

    # -- where packages may come from -----------------------------------------------------------------------------

    def _place(self, names: Iterable[str]) -> bool:
        """Bind each package to its index, or leave it out when the index it may come from fails. Whether that changed
        anything, so that uv must be asked again."""
        before = len(self.uv.bound), len(self.uv.excluded)
        for name in sorted(set(names) - self.uv.bound.keys() - self.uv.excluded):
            if name in self.asked and self.asked[name].url:
                continue
            index = index_for(name, self.wanted.indexes)
            failed = [one for one in ([index] if index else self.wanted.unbound) if one.name in self.failures]
            is_bound = index or failed or name in self.wanted.local_only
            if name in self.local and is_bound:  # made for this preset by hand: it comes from no index
                self.uv.bound[name] = Index.model_construct(name=LOCAL, url=str(self.wanted.find_links))
            elif failed:
                self._exclude_for(name, failed)
            elif index:
                self.uv.bound[name] = index
        return (len(self.uv.bound), len(self.uv.excluded)) != before

    def _fail(self, index: Index, failure: IndexFailure) -> None:
        self.failures[index.name] = failure
        self.uv.failed.add(index.name)
        self.uv.bound = {name: home for name, home in self.uv.bound.items() if home.name != index.name}
        self.progress.log(f"{described(index)} cannot be used: {failure.why}")
        self._place(self.asked)

    def _exclude_for(self, name: str, failed: Sequence[Index]) -> None:
        whys = [f"{described(index)} cannot be used: {self.failures[index.name].why}" for index in failed]
        remedies = dict.fromkeys(self.failures[index.name].remedy for index in failed)
        remedy = f"{'; '.join(remedies)}; then lock again: xaiva lock {self.wanted.preset}"
        self.lost[name] = self._left_out(name, "; ".join(whys), remedy)

    def _ask_each_index(self) -> None:
        """Ask each index alone for one package: with several, uv does not say of all which one failed, and with some
        strategies takes one that refuses for one that has nothing. Raises XaivaError for an index of the machine."""
        for index in self.wanted.indexes:
            home = index if index.packages else None
            name = next((name for name in self.asked if index_for(name, self.wanted.indexes) == home), "")
            if name and index.name not in self.failures and (failure := self._ask(index, name)):
                self._fail(index, failure)
        name = next((name for name in self.asked if index_for(name, self.wanted.indexes) is None), "")
        if not name or not mixes_indexes(uv_environment(self.env, self.wanted.indexes)):
            return
        for url in machine_index_urls(self.env):
            if url.startswith(("http://", "https://")):
                failure = self._ask(Index.model_construct(name="", url=url), name)
                if failure:
                    raise machine_index_fails(strip_credentials(url), failure.why)

    def _ask(self, index: Index, package: str) -> IndexFailure | None:
        """The failure of an index that is asked alone."""
        refusal = self.uv.ask(index, package)
        failure = failure_in(refusal, strip_credentials(index.url), index.token_variable)
        if failure is None and self.pages and package in not_found(refusal):
            return self.pages.failure_of_package(index, package)
        return failure

    def _empty_index(self) -> bool:
        """Whether an index that gave nothing turns out to be none."""
        given = {origin.index.rstrip("/") for origin in self.origins.values()}
        return any(self._no_index(index) for index in self.wanted.unbound if index.url.rstrip("/") not in given)

    def _no_index(self, index: Index) -> bool:
        """Whether there is no index at an address that answers; it then has failed."""
        failure = self.pages.failure_at_root(index) if self.pages and index.name not in self.failures else None
        if failure:
            self._fail(index, failure)
        return failure is not None

    # -- uv -------------------------------------------------------------------------------------------------------

    def _with_fewest_sdists(self, pylock: str) -> str:
        """uv speaks of each package with a release without wheels; where another release has one, that is taken."""
        for name in sorted(self.uv.sdists - self.uv.excluded):
            self.uv.sdists.discard(name)
            fewer, _ = self.uv.pylock(self.keep)
            if fewer:
                pylock = fewer
            else:
                self.uv.sdists.add(name)
        return pylock

    def _leave_out(self, err: str) -> bool:
        """Learn from uv's refusal what to do without. False: nothing more, the refusal stands."""
        left_out = self._lost_index(err) or self._place(not_found(err)) or self._sdist(err)
        return left_out or self._unknown_to_index(err) or self._no_wheels(err)

    def _lost_index(self, err: str) -> bool:
        for index in self.wanted.indexes:
            failure = failure_in(err, index.url, index.token_variable)
            if failure and index.name not in self.failures:
                self._fail(index, failure)
                return True
        return self._lost_file(err)

    def _lost_file(self, err: str) -> bool:
        """An index of the preset that lists a wheel which cannot be had from where it says."""
        package, url = lost_file(err) or ("", "")
        host = urlsplit(url).netloc
        there = [index for index in self.wanted.unbound if urlsplit(index.url).netloc.rpartition("@")[2] == host]
        home = self.uv.bound.get(package) or next(iter(there), None)
        failure = failure_in(err, url, home.token_variable) if home else None
        if home is None or failure is None or home.name in self.failures:
            return False
        self._fail(home, replace(failure, why=f"{failure.why} for {url.rpartition('/')[2]}"))
        return True

    def _sdist(self, err: str) -> bool:
        """Packages without a wheel for this Python: resolved from their source archive, and named."""
        named = map(canonicalize_name, re.findall(r"Wheels are required for `([^`]+)`", err))
        found = set(named) - self.uv.sdists
        if self._place(found):  # before anything of theirs is built: it may be another's package of that name
            return True
        self.uv.sdists |= found
        unbuilt = re.findall(r"[Ff]ailed to (?:build|download and build) `([A-Za-z0-9._-]+?)(?:==[^`]*)?`", err)
        module = missing_module(err.splitlines())
        for name in sorted(set(map(canonicalize_name, unbuilt)) & self.uv.sdists - self.uv.excluded):
            why = f"{NO_WHEEL}; its build needs the module {module}, which it does not declare" if module else NO_WHEEL
            self.unlocked.append(self._left_out(name, why, self._wheel_remedy(name, module)))
            found.add(name)
        return bool(found)

    def _unknown_to_index(self, err: str) -> bool:
        """A package that its index does not have: uv says so of an index that refuses or is none, too."""
        homes = {name: self.uv.bound[name] for name in not_found(err) if name in self.uv.bound}
        for name, index in homes.items():
            if index.name != LOCAL and (failure := self._ask(index, name)):
                self._fail(index, failure)
                return True
        return any(self._no_index(index) for index in homes.values() if index.name != LOCAL)

    def _no_wheels(self, err: str) -> bool:
        """Packages for which an index gives something else than wheels, such as a login page."""
        found = set(no_wheels(err)) - self.uv.excluded
        remedy = f"look at what its index gives, in a browser; then lock again: xaiva lock {self.wanted.preset}"
        for name in sorted(found):
            self.unlocked.append(self._left_out(name, "what its index gives is no wheel", remedy))
        return bool(found)

    def _left_out(self, name: str, why: str, remedy: str) -> Unlocked:
        """What is left out from now on, in words."""
        self.uv.excluded.add(name)
        rows = [(line, layer) for layer, lines in self.wanted.layers for line in lines if name_of(line) == name]
        what = f"{rows[0][0]} (layer {rows[0][1]})" if rows else f"{name} (a dependency)"
        return Unlocked(what=what, why=why, remedy=remedy)

    def _wheel_remedy(self, package: str, module: str = "") -> str:
        preset = self.wanted.preset
        if module:
            return (
                f"build a wheel of it with the locked packages in sight: xaiva sync {preset}, "
                f"then xaiva wheel {preset} {package} --no-build-isolation; then lock again: xaiva lock {preset}"
            )
        return (
            f"build a wheel of it in the base image: xaiva wheel {self.wanted.preset} {package}, "
            f"or put one into artifacts/{self.wanted.preset}/local-wheels; then lock again"
        )

    def _wheels(self, pylock: str) -> dict[str, Wheel]:
        """The packages that the layers need, with their wheels and where these come from."""
        ranks = tag_ranks(self.wanted.python_version, self.wanted.platform)
        found: dict[str, Wheel] = {}
        tables = packages_of(pylock)
        exact = [f"{name}=={table['version']}" for name, table in sorted(tables.items()) if table.get("version")]
        self.origins = self._origins(self.wanted.layers, exact)
        for name in sorted(needed(self.origins) & tables.keys()):
            wheel = wheel_of(tables[name], ranks, self.wanted.hashes.get(name, ()))
            if wheel is None:
                self.unlocked.append(self._left_out(name, NO_WHEEL, self._wheel_remedy(name)))
            else:
                found[name] = wheel if wheel.url.startswith("file:") else replace(wheel, index=self.origins[name].index)
        return found

    def _split(self, packages: Mapping[str, Wheel]) -> Resolution:
        """Each wheel belongs to the first layer that needs it."""
        unlocked = [*self.unlocked, *self.lost.values()]
        result = Resolution(unlocked=sorted(unlocked, key=lambda one: one.what), lost=self.lost)
        exact = [f"{name}=={wheel.version}" for name, wheel in sorted(packages.items())]
        seen: set[str] = set()
        for at, (layer, _) in enumerate(self.wanted.layers):
            if not packages or at == len(self.wanted.layers) - 1:
                names = set(packages)
            else:
                names = needed(self._origins(self.wanted.layers[: at + 1], exact)) & set(packages)
            result.layers.append((layer, [packages[name] for name in sorted(names - seen)]))
            seen |= names
        return result

    def _origins(self, layers: Sequence[tuple[str, Sequence[str]]], exact: Sequence[str]) -> dict[str, Origin]:
        found, err = self.uv.origins(layers, exact)
        if err:
            raise error_of(err, self.wanted, self.uv.bound)
        return found


def _of_indexes(pylock: str) -> set[str]:
    """The packages of a lock file that come from an index, not from an address of their own."""
    return {name for name, package in packages_of(pylock).items() if "archive" not in package}
