"""Debian packages with their dependencies, resolved by the base image's own apt in a container of that image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from core.artifacts.helper_container import HelperContainer, HelperFailed
from core.artifacts.lockfile import FileKind, LockedFile
from core.errors import InputError, XaivaError
from core.presets.model import Preset
from core.progress import Progress

if TYPE_CHECKING:
    import docker

COMPILERS = ["build-essential", "cmake", "nasm", "ninja-build", "pkg-config"]
OPENCV_LIBRARIES = ["libjpeg-dev", "libpng-dev", "zlib1g-dev"]
# The run-time parts of the libraries above; their names differ between distributions.
RUNTIME_LIBRARY = re.compile(r"^(libjpeg\d+.*|libjpeg-turbo\d+|libpng16-16.*|zlib1g)$")
PACKAGES_FIELDS = (
    "Architecture",
    "Multi-Arch",
    "Essential",
    "Priority",
    "Section",
    "Pre-Depends",
    "Depends",
    "Provides",
    "Conflicts",
    "Breaks",
    "Replaces",
)

NO_SOURCES_REMEDY = (
    "give it a /etc/apt/sources.list with a mirror of its distribution (docs/troubleshooting.md has the commands), "
    "or choose a base image that has one"
)

WRONG_PACKAGES_REMEDY = (
    "correct these names and versions in debs and build_debs; without a version apt takes the newest"
)

# Ends when there is no apt. Prints a line for each package that apt cannot install: `missing NAME` with the packages
# that provide it, or `version NAME=VERSION` with the available versions.
WRONG_PACKAGES_SCRIPT = r"""
command -v apt-get >/dev/null || { echo "apt-get: not found" >&2; exit 1; }
known() { apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }
versions() { apt-cache policy "$1" | sed -nE '/Version table:/,$s/^ (\*\*\*|   ) ([^ ]+) .*/\2/p'; }
providers() { apt-cache showpkg "$1" 2>/dev/null | sed -n '/^Reverse Provides:/,$p' | sed '1d; s/ .*//' | sort -u; }
wrong() {
    for name in "$@"; do
        package="${name%%=*}"
        if ! known "$package"; then
            echo missing "$name" $(providers "$package")
        elif [ "$name" != "$package" ] && ! versions "$package" | grep -qxF -e "${name#*=}"; then
            echo version "$name" $(versions "$package")
        fi
    done
}
"""

# Sections of the output begin with @@. apt's own messages go to the error output, which becomes the log.
DEBS_SCRIPT = (
    WRONG_PACKAGES_SCRIPT
    + r"""
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
updated=yes
apt-get update -q -o APT::Update::Error-Mode=any >/tmp/update 2>&1 || updated=''
cat /tmp/update >&2
grep -Eq '^(Err:|[WE]: Failed to fetch )' /tmp/update && updated=''
ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || echo "@@nothing"
if [ -z "$updated" ]; then
    failing=$(sed -nE 's/^(Err:[0-9]+|[WE]: Failed to fetch) ([^ ]+).*/\2/p' /tmp/update | sort -u)
    echo "@@failing" $failing
    exit 0
fi
python=''
if [ -n "$PYTHON" ] && known "python$PYTHON" && known "python$PYTHON-venv"; then
    python="python$PYTHON python$PYTHON-venv"
    echo "@@python"
fi
build="$BUILD"
if [ -n "$build" ] && [ -n "$python" ]; then build="$build python$PYTHON-dev"; fi
wrong $DEBS $build > /tmp/wrong
if [ -s /tmp/wrong ]; then echo "@@wrong"; cat /tmp/wrong; exit 0; fi
ask() {
    if ! apt-get install -y --no-install-recommends --print-uris -qq "$@" > /tmp/answer; then
        apt-get install -s --no-install-recommends -q "$@" >&2 || true  # says which packages exclude each other
        exit 100
    fi
    { grep "^'" /tmp/answer || true; } > /tmp/lines
    cat /tmp/lines
    cat /tmp/lines >> /tmp/uris
}
: > /tmp/uris
echo "@@debs"
if [ -n "$python$DEBS" ]; then ask $python $DEBS; fi
echo "@@build-debs"
if [ -n "$build" ]; then ask $python $DEBS $build; fi
echo "@@stanzas"
cut -d' ' -f2 /tmp/uris | sort -u | while IFS=_ read -r name version rest; do
    echo "$name=$(echo "$version" | sed 's/%3a/:/g')"
done | xargs -r apt-cache show
"""
)


@dataclass(frozen=True)
class DebRequest:
    """The packages that a preset needs, for the runtime and for the builder stage."""

    python_version: str
    debs: Sequence[str]
    build_debs: Sequence[str]


@dataclass
class DebClosure:
    """The requested packages with all their dependencies."""

    python: bool = False
    """Whether the distribution has the requested Python."""
    debs: list[LockedFile] = field(default_factory=list)
    build_debs: list[LockedFile] = field(default_factory=list)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path of a deb → the fields of its stanza in `Packages`."""


def deb_request(preset: Preset) -> DebRequest:
    """The packages that a preset needs: its own lists, and compilers when something is compiled."""
    options = preset.build_options
    compiles = bool(options.ffmpeg_version or options.opencv_version or options.xaiva_media_branch)
    build = [*COMPILERS, *(OPENCV_LIBRARIES if options.opencv_version else [])] if compiles else []
    return DebRequest(preset.python_version, list(preset.debs), sorted({*build, *preset.build_debs}))


def resolve_debs(
    client: docker.DockerClient, image: str, request: DebRequest, env: Mapping[str, str], progress: Progress
) -> DebClosure:
    """Resolve the packages with the apt of `image`.

    Raises HelperFailed when apt or its sources fail, XaivaError for a package that they do not have, Cancelled.
    """
    script_env = {
        "PYTHON": request.python_version,
        "DEBS": " ".join(request.debs),
        "BUILD": " ".join(request.build_debs),
    }
    with HelperContainer(client, image, DEBS_SCRIPT, script_env, env) as container:
        output = container.run(progress, f"Asking the package manager of {image}", "debs")
    return _parse_output(image, output)


def _parse_output(image: str, output: str) -> DebClosure:
    sections = _split_sections(output)
    what = f"Debian packages of {image}"
    nothing = "nothing" in sections
    if "failing" in sections:
        remedy = "check the network of the engine's machine, and the proxies in .env; the log has the output of apt"
        if nothing:
            raise HelperFailed(what, "none of its package sources could be reached", remedy)
        sources = ", ".join(sections["failing"][0].split()) or "one of its package sources"
        why = f"{sources} could not be reached, so it is unknown which packages it has"
        raise HelperFailed(what, why, f"{remedy}; or remove it from the package sources of the base image")
    if "wrong" in sections:
        lines = sections["wrong"]
        if nothing:
            why = f"the image has no package sources, so {_list_packages(lines)} cannot be looked up"
            raise XaivaError(what, why, NO_SOURCES_REMEDY)
        raise InputError(what, describe_wrong_packages("\n".join(lines)), WRONG_PACKAGES_REMEDY)
    stanzas = _parse_stanzas("\n".join(sections.get("stanzas", [])))
    result = DebClosure(python="python" in sections)
    runtime = {line for line in sections.get("debs", []) if line}
    every = [line for line in sections.get("build-debs", []) if line]
    for line in sorted(runtime):
        _add_deb(result, result.debs, "debs", line, stanzas)
    for line in sorted(set(every) - runtime):
        name = line.split()[1].partition("_")[0]
        if RUNTIME_LIBRARY.match(name):
            _add_deb(result, result.debs, "debs", line, stanzas)
        else:
            _add_deb(result, result.build_debs, "build-debs", line, stanzas)
    return result


def describe_wrong_packages(output: str) -> str:
    """The findings of `wrong` in WRONG_PACKAGES_SCRIPT as one sentence; "" without any."""
    rows = [line.split() for line in output.splitlines()]
    missing = [
        f"{name} ({_suggest_providers(alternatives)})" if alternatives else name
        for kind, name, *alternatives in rows
        if kind == "missing"
    ]
    versions = [f"{name} (it has {', '.join(others)})" for kind, name, *others in rows if kind == "version"]
    packages = ", ".join([*missing, *versions])
    return f"its package sources have no {packages}" if packages else ""


def _suggest_providers(providers: Sequence[str]) -> str:
    return f"a virtual package: choose {' or '.join(providers)}"


def _list_packages(lines: Sequence[str]) -> str:
    return ", ".join(line.split()[1] for line in lines)


def _split_sections(output: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in output.splitlines():
        if line.startswith("@@"):
            name, _, rest = line[2:].partition(" ")
            current = sections.setdefault(name, [rest] if rest else [])
        else:
            current.append(line)
    return sections


def _parse_stanzas(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """(name, version) → fields of the stanza. Continuation lines are dropped: only descriptions have them."""
    stanzas = {}
    for block in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", block, re.MULTILINE))
        if "Package" in fields and "SHA256" in fields:
            stanzas[fields["Package"], fields["Version"]] = fields
    return stanzas


def _add_deb(
    result: DebClosure, to: list[LockedFile], folder: str, line: str, stanzas: Mapping[tuple[str, str], dict[str, str]]
) -> None:
    quoted, filename, size = line.split()[:3]
    name, version = (unquote(part) for part in filename.split("_")[:2])
    stanza = stanzas.get((name, version))
    if stanza is None:
        raise XaivaError(
            f"{filename}", "its package source gives no SHA-256 for it", "use a package source that signs SHA-256"
        )
    file = LockedFile(
        path=f"{folder}/{filename.replace('%3a', '_')}",
        size=int(size),
        sha256=stanza["SHA256"],
        kind=FileKind.DEB,
        url=quoted.strip("'"),
        name=name,
        version=version,
    )
    to.append(file)
    result.fields[file.path] = {key: stanza[key] for key in PACKAGES_FIELDS if key in stanza}


def merge_closures(first: DebClosure, second: DebClosure) -> DebClosure:
    """The union of two closures: those of the base image and of the smaller runtime base image of one preset."""
    merged = DebClosure(first.python and second.python)
    merged.debs = _union(first.debs, second.debs)
    runtime = {file.url for file in merged.debs}
    merged.build_debs = [file for file in _union(first.build_debs, second.build_debs) if file.url not in runtime]
    merged.fields = {**second.fields, **first.fields}
    return merged


def _union(first: Sequence[LockedFile], second: Sequence[LockedFile]) -> list[LockedFile]:
    return sorted({file.path: file for file in [*second, *first]}.values(), key=lambda file: file.path)
