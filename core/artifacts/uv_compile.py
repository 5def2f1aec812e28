"""Runs `uv pip compile` for the layers of a preset, with the machine's index settings and the preset's indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from core.artifacts.index_binding import binding_project
from core.artifacts.index_settings import UV_INDEX_VARIABLES, uv_environment
from core.artifacts.uv_output import Origin, parse_origins
from core.errors import InputError
from core.presets.model import Index
from core.progress import Progress
from core.subprocesses import FinishedProcess, run_child

PINS = "pins"


@dataclass(frozen=True)
class ResolveRequest:
    """The requirements to resolve, and the sources and the target of the packages."""

    preset: str
    layers: Sequence[tuple[str, Sequence[str]]]
    """(name, requirements) in build order."""
    pins: Sequence[str]
    indexes: Sequence[Index]
    python_version: str
    platform: str
    find_links: Path | None = None
    """A folder of wheels."""
    local_only: frozenset[str] = frozenset()
    """Packages that come from `find_links` alone."""
    hashes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Package → allowed SHA-256s."""

    @property
    def unbound(self) -> list[Index]:
        """The indexes that may provide any package."""
        return [index for index in self.indexes if not index.packages]

    def check(self) -> None:
        """Raise InputError for a requirement that cannot be parsed."""
        for name, lines in [*self.layers, (PINS, self.pins)]:
            for line in lines:
                try:
                    Requirement(line)
                except InvalidRequirement as error:
                    why, remedy = str(error).splitlines()[0], "write it as pip does: name>=1.0,<2"
                    raise InputError(f"{name}: {line}", why, remedy) from error


def package_name(line: str) -> str:
    """The normalised package name of a requirement."""
    return canonicalize_name(Requirement(line).name)


class UvCompile:
    """Runs uv with its files in the folder `scratch`, and without the packages and indexes that proved unusable."""

    def __init__(self, request: ResolveRequest, env: Mapping[str, str], progress: Progress, scratch: Path) -> None:
        self.request = request
        self.env = env
        self.progress = progress
        self.scratch = scratch
        self.failed_indexes: set[str] = set()  # names of indexes not to use
        self.bound: dict[str, Index] = {}  # package → its only index
        self.sdists: set[str] = set()  # packages that may be source archives
        self.excluded: set[str] = set()

    def pylock(self, keep: Mapping[str, str]) -> tuple[str, str]:
        """(text of uv's lock file, ""), or ("", error of uv). uv prefers the versions in `keep`."""
        packages = [f'[[packages]]\nname = "{name}"\nversion = "{version}"' for name, version in keep.items()]
        name = self._write(
            "pylock.toml", ['lock-version = "1.0"', 'created-by = "xaiva"', *(packages or ["packages = []"])]
        )
        options = ("--no-annotate", "--format", "pylock.toml", "--output-file", name)
        code, _, err = self._compile(self.request.layers, *options)
        return ((self.scratch / name).read_text(), "") if code == 0 else ("", err)

    def origins(
        self, layers: Sequence[tuple[str, Sequence[str]]], exact: Sequence[str]
    ) -> tuple[dict[str, Origin], str]:
        """(package → origin, ""), for the layers at the versions `exact`; or ({}, error of uv)."""
        versions = self._write("exact.txt", exact)
        form = ("--format", "requirements.txt", "--emit-index-annotation", "--annotation-style", "split")
        code, out, err = self._compile(layers, *form, "--constraints", versions)
        return (parse_origins(out.decode()), "") if code == 0 else ({}, err or "no answer")

    def query_index(self, index: Index, package: str) -> str:
        """Ask one index alone for any release of a package; returns "" or the error of uv."""
        child = uv_environment(self.env, [index])
        child = {name: value for name, value in child.items() if name not in (*UV_INDEX_VARIABLES, "UV_INDEX_STRATEGY")}
        child["UV_DEFAULT_INDEX"] = f"{index.name}={index.url}" if index.name else index.url
        argv = [_uv(), "pip", "compile", self._write("one.txt", [package]), "--no-deps", *self._options()]
        process = run_child(argv, self.progress, child, self.scratch)
        return "" if process.code == 0 else process.err

    def _compile(self, layers: Sequence[tuple[str, Sequence[str]]], *more: str) -> FinishedProcess:
        """Run uv. Its input files are named after the layers, so that its messages name the layers."""
        inputs = []
        for name, requirements in layers:
            lines = [line for line in requirements if package_name(line) not in self.excluded]
            inputs.append(self._write(f"{name}.txt", lines))
        if self.bound:
            project = binding_project(self.bound, self.request.python_version)
            inputs.append(self._write("bound/pyproject.toml", project.splitlines()))
        argv = [_uv(), "pip", "compile", *inputs, *more, *self._options()]
        argv += ["--constraints", self._write("pins.txt", self.request.pins)]
        for name in sorted(self.sdists):
            argv += ["--no-binary", name]
        if self.excluded:
            argv += ["--excludes", self._write("left-out.txt", sorted(self.excluded))]
        for index in self.request.unbound:
            if index.name not in self.failed_indexes:
                argv += ["--index", f"{index.name}={index.url}"]
        if self.request.find_links is not None and self.request.find_links.is_dir():
            argv += ["--find-links", str(self.request.find_links)]
        return run_child(argv, self.progress, uv_environment(self.env, self.request.indexes), self.scratch)

    def _options(self) -> list[str]:
        return [
            *("--no-header", "--no-progress", "--color", "never", "--quiet", "--only-binary", ":all:"),
            *("--no-python-downloads", "--python-version", self.request.python_version),
            *("--python-platform", self.request.platform),
        ]

    def _write(self, name: str, lines: Sequence[str]) -> str:
        path = self.scratch / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
        return name


def _uv() -> str:
    import uv

    return uv.find_uv_bin()
