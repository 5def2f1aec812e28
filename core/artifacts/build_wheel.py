"""Builds the wheel of a package that exists only as source, in a container of the base image."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from pydantic import JsonValue

from core.artifacts.build_failures import is_removed_module, missing_module, remedy_for_module
from core.artifacts.debs import WRONG_PACKAGES_REMEDY, WRONG_PACKAGES_SCRIPT, describe_wrong_packages
from core.artifacts.helper_container import HelperContainer, HelperFailed
from core.artifacts.index_failures import missing_login
from core.artifacts.index_pages import IndexPages
from core.artifacts.index_settings import ca_file, pip_config
from core.artifacts.local_wheels import record_address
from core.artifacts.lock import expanded_layers
from core.artifacts.lock_store import LOCAL_WHEELS, artifacts_folder, find_lock, read_lock
from core.artifacts.lockfile import FileKind, LockedFile
from core.artifacts.network import Network
from core.artifacts.orphaned_helpers import remove_orphans
from core.artifacts.uv_compile import package_name
from core.artifacts.wheel_contents import top_level_modules
from core.disk_space import check_space
from core.engine import connect_with_long_timeout, engine_root
from core.errors import InputError, XaivaError, os_reason
from core.files import write_atomic
from core.presets.compat.layer_findings import UNNAMED_PRESET
from core.presets.direct_references import describe_reference, guess_name, is_built_in_image, remedy_for
from core.presets.layer_file import LayerReference
from core.presets.layers import ExpandedPreset
from core.presets.model import Index, Preset
from core.presets.package_binding import index_for, is_named
from core.presets.requirement_text import DirectReference, UnreadableLine, parse_line
from core.presets.store import load_named
from core.progress import Progress, stage
from core.site import Site

if TYPE_CHECKING:
    import docker

_PIP_CONFIG = "pip.conf"
_WHEEL_BYTES = 1 << 20  # at least, on the site's disk
_CONTAINER_BYTES = 128 << 20  # at least, on the engine's disk: pip, package lists and headers, besides locked wheels

# pip gets the machine's index settings and the preset's indexes as a file: they may contain tokens, which the
# environment would reveal in `docker inspect`.
WHEEL_SCRIPT = (
    WRONG_PACKAGES_SCRIPT
    + r"""
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PIP_NO_COMPILE=1
exec 3>&1 >&2
apt-get update -q
wrong $DEBS > /tmp/wrong
if [ -s /tmp/wrong ]; then cat /tmp/wrong >&3; exit 0; fi
apt-get install -y -q --no-install-recommends build-essential ca-certificates git pkg-config $DEBS
if ! command -v "python$PYTHON" >/dev/null; then
    apt-get install -y -q --no-install-recommends "python$PYTHON" "python$PYTHON-venv" "python$PYTHON-dev"
else
    apt-get install -y -q --no-install-recommends "python$PYTHON-venv" "python$PYTHON-dev" || true
fi
"python$PYTHON" -m venv /tmp/build
mkdir /tmp/wheels
if [ -s /tmp/authorities.pem ]; then export PIP_CERT=/tmp/authorities.pem SSL_CERT_FILE=/tmp/authorities.pem; fi
/tmp/build/bin/pip install --quiet --upgrade pip setuptools wheel
printf '%s\n' "$REQUIREMENT" > /tmp/requirement.txt
build() { /tmp/build/bin/pip wheel --no-deps --wheel-dir /tmp/wheels -r /tmp/requirement.txt "$@"; }
if [ ! -s /tmp/locked.txt ]; then
    build
    exit 0
fi
/tmp/build/bin/pip install --quiet --no-index --no-deps --require-hashes --find-links /tmp/locked -r /tmp/locked.txt
build --no-build-isolation --check-build-dependencies 2>&1 | tee /tmp/first
if ls /tmp/wheels/*.whl >/dev/null 2>&1; then exit 0; fi
# Without isolation, pip only names the declared build requirements and does not install them.
sed -nE "s/^.*Some build dependencies for .* are missing: (.*)\.$/\1/p" /tmp/first > /tmp/named
sed "s/', '/\n/g; s/'//g" /tmp/named > /tmp/declared
if [ ! -s /tmp/declared ]; then exit 1; fi
/tmp/build/bin/pip install --quiet -r /tmp/declared
build --no-build-isolation
"""
)


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Build a wheel for the preset `subject`. Option `requirement`: what to build, `name`, `name==version` or an
    address; option `no_build_isolation`: against the packages of the lock (the preset may also name such packages).

    The wheel goes to `local-wheels/` of the artifacts, where the next lock finds it. The outcome has `wheel` (its path
    in the artifacts), `package`, `seconds`, and the `next` step. Raises XaivaError when it does not build.
    """
    started = time.monotonic()
    preset = load_named(site, subject)
    requirement = _complete_requirement(site, preset, str(options.get("requirement", "")), subject)
    with stage(progress, "wheel", f"build a wheel of {requirement}"):
        wheels = _WheelBuild(site, subject, preset, requirement, progress).run(bool(options.get("no_build_isolation")))
    if not wheels:
        raise XaivaError(f"A wheel of {requirement}", "pip built none", "read the log of this operation")
    (name, content), *_ = wheels.items()  # there is only one: pip builds no dependencies
    local, package = artifacts_folder(site, subject) / LOCAL_WHEELS, parse_wheel_filename(name)[0]
    write_atomic(local / name, content)
    if address := _source_address(requirement):
        record_address(local, address, package)
    return {
        "wheel": f"{LOCAL_WHEELS}/{name}",
        "package": package,
        "seconds": round(time.monotonic() - started, 1),
        "next": _next_step(expanded_layers(site, preset), requirement, package, subject),
    }


def read_requirement(preset: Preset, text: str, subject: str) -> str:
    """Parse what to build: a requirement, or an address alone.

    Raises InputError for text that cannot be read, and for an address that the container cannot reach or that contains
    a login, which must not be written to the ledger.
    """
    what = f"Requirement {text!r}"
    if text.endswith(".whl"):
        remedy = f"copy that wheel into artifacts/{subject}/{LOCAL_WHEELS}; then lock again: xaiva lock {subject}"
        raise InputError(what, "it is a wheel and needs no build", remedy)
    remedy = "give name, name==version, an address, or name @ address"
    try:
        line = parse_line(text)
    except UnreadableLine as error:
        raise InputError(what, error.what, remedy) from error
    if line.reference:
        return _reachable_requirement(LayerReference("what to build", line.reference), subject, preset.python_version)
    if not line.requirement or line.options or line.hashes:
        raise InputError(what, "it has options, or asks for nothing", remedy)
    return str(Requirement(line.requirement))


def _complete_requirement(site: Site, preset: Preset, text: str, subject: str = UNNAMED_PRESET) -> str:
    """What to build; a bare name gets its address in a layer, or its versions in layers and pins."""
    requirement = read_requirement(preset, text, subject)
    if not _package_name(requirement):
        return requirement
    parsed = Requirement(requirement)
    if parsed.specifier or parsed.url:
        return requirement
    expanded = expanded_layers(site, preset)
    for _, entry in expanded.direct_references:
        if guess_name(entry.reference) == canonicalize_name(parsed.name):
            return _reachable_requirement(entry, subject, preset.python_version)
    for line in [*(line for _, lines in expanded.layers for line in lines), *expanded.pins]:
        other = Requirement(line)
        if canonicalize_name(other.name) == canonicalize_name(parsed.name):
            parsed.specifier &= other.specifier
    return str(parsed)


def _reachable_requirement(entry: LayerReference, subject: str, python: str) -> str:
    """The requirement of an address. Raises InputError when a container of the base image cannot reach it."""
    if not is_built_in_image(entry.reference):
        remedy = remedy_for(entry, subject, python)
        raise InputError(describe_reference(entry), "a container of the base image cannot reach it", remedy)
    return DirectReference(entry.reference.address, entry.reference.name).requirement


def _package_name(requirement: str) -> str:
    """The package of a requirement; "" for an address alone."""
    try:
        return Requirement(requirement).name
    except InvalidRequirement:
        return ""


def _source_address(requirement: str) -> str:
    """The address of the source; "" when it comes from an index."""
    return (Requirement(requirement).url or "") if _package_name(requirement) else requirement


def _next_step(expanded: ExpandedPreset, requirement: str, package: str, subject: str) -> str:
    """What to do with the wheel. A lock uses it if a layer names its package or its address."""
    address, entries = _source_address(requirement), [entry.reference for _, entry in expanded.direct_references]
    packages = {package_name(line) for _, lines in expanded.layers for line in lines}
    packages |= {entry.name for entry in entries}
    if not address or package in packages or address in [entry.address for entry in entries]:
        return f"lock again: xaiva lock {subject}"
    return f"no layer asks for {package}: write `{package} @ {address}` into one, and lock again: xaiva lock {subject}"


class _WheelBuild:
    """One build of a wheel, in a container of the base image."""

    def __init__(self, site: Site, name: str, preset: Preset, requirement: str, progress: Progress) -> None:
        self.site = site
        self.name = name
        self.preset = preset
        self.requirement = requirement
        self.progress = progress

    def run(self, no_build_isolation: bool) -> dict[str, bytes]:
        """File name → content of the built wheels. Raises XaivaError, Cancelled."""
        package = _package_name(self.requirement)
        locked = no_build_isolation or is_named(package, self.preset.no_build_isolation)
        wheels = self._locked_wheels() if locked else []
        indexes = expanded_layers(self.site, self.preset).indexes
        _check_logins(self.site, indexes, self.requirement)
        env = {
            "PYTHON": self.preset.python_version,
            "DEBS": " ".join([*self.preset.debs, *self.preset.build_debs]),
            "REQUIREMENT": _pin_to_index_hash(self.site, indexes, self.requirement),
            "PIP_CONFIG_FILE": f"/tmp/{_PIP_CONFIG}",
        }
        image, what = self.preset.base_image, f"A wheel of {self.requirement}"
        client = connect_with_long_timeout(self.site)
        self._check_space(client, wheels)
        remove_orphans(client)
        with HelperContainer(client, image, WHEEL_SCRIPT, env, self.site.env) as container:
            container.write_file("/tmp", "authorities.pem", _read_authorities(ca_file(self.site.env)))
            container.write_file("/tmp", _PIP_CONFIG, pip_config(self.site.env, indexes).encode(), 0o600)
            if wheels:
                lines = [f"{file.name}=={file.version} --hash=sha256:{file.sha256}\n" for file in wheels]
                container.write_file("/tmp", "locked.txt", "".join(lines).encode())
                self.progress.log(f"copying the {len(wheels)} wheels of the lock into the container", "wheel")
                artifacts = artifacts_folder(self.site, self.name)
                container.copy_files("/tmp/locked", [file.under(artifacts) for file in wheels], self.progress)
            try:
                wrong = describe_wrong_packages(container.run(self.progress, what, "wheel"))
            except HelperFailed as error:
                if module := missing_module(error.lines):
                    raise self._missing_module_error(module, isolated=not locked) from error
                raise
            if wrong:
                raise InputError(f"Debian packages of {image}", wrong, WRONG_PACKAGES_REMEDY)
            return {name: data for name, data in container.read_files("/tmp/wheels").items() if name.endswith(".whl")}

    def _check_space(self, client: docker.DockerClient, wheels: Sequence[LockedFile]) -> None:
        """Check that the engine's disk has room for the container, and the site's for the wheel."""
        needs = {artifacts_folder(self.site, self.name): _WHEEL_BYTES}
        root = engine_root(self.site, client)
        if root is not None and root.is_dir():
            needs[root] = _CONTAINER_BYTES + sum(file.size for file in wheels)
        check_space(needs, f"building a wheel of {self.requirement}")

    def _locked_wheels(self) -> list[LockedFile]:
        """The wheels of the lock. Raises XaivaError unless all are on disk."""
        artifacts = artifacts_folder(self.site, self.name)
        wheels = read_lock(self.site, self.name).of_kind(FileKind.WHEEL)
        missing = [file.name for file in wheels if not file.under(artifacts).is_file()]
        if missing:
            why = f"{len(missing)} of its {len(wheels)} wheels are not in {artifacts}, among them {missing[0]}"
            raise XaivaError(
                f"The lock of {self.name}", why, f"fetch them: xaiva sync {self.name}; {self._retry_command()}"
            )
        return wheels

    def _missing_module_error(self, module: str, isolated: bool) -> XaivaError:
        """The error for a build that failed because a module is missing."""
        what = f"A wheel of {self.requirement}"
        if is_removed_module(module):
            why = f"its build needs the module {module}, which newer versions of Python no longer include"
            return XaivaError(what, why, "use a newer version of the package, or change python_version in the preset")
        owner = self._package_with_module(module) if isolated else ""
        if owner:
            remedy = f"the lock has {owner}, so build against the locked packages: xaiva sync {self.name}"
        else:
            remedy = f"{remedy_for_module(module)}: xaiva lock {self.name}, xaiva sync {self.name}"
        why = f"its build needs the module {module}, which it does not declare"
        return XaivaError(what, why, f"{remedy}, {self._retry_command()}")

    def _package_with_module(self, module: str) -> str:
        """The locked package that has a module; "" when none has it or its wheel is not on disk."""
        lock = find_lock(self.site, self.name)
        for file in lock.of_kind(FileKind.WHEEL) if lock else ():
            path = file.under(artifacts_folder(self.site, self.name))
            with contextlib.suppress(OSError, zipfile.BadZipFile):  # sync and verify report these
                if file.name == canonicalize_name(module) or module in top_level_modules(path):
                    return file.name
        return ""

    def _retry_command(self) -> str:
        return f"then: xaiva wheel {self.name} {shlex.quote(self.requirement)} --no-build-isolation"


def _check_logins(site: Site, indexes: Sequence[Index], requirement: str) -> None:
    """Raise XaivaError for an index without its login.

    pip would treat it as empty and take an unrelated package of that name from another index.
    """
    package = _package_name(requirement)
    home = index_for(package, indexes) if package else None
    for index in [home] if home else [index for index in indexes if not index.packages]:
        if failure := missing_login(index, site.env):
            raise XaivaError(f"index {index.name} ({index.url}) cannot be used", failure.why, failure.remedy)


def _pin_to_index_hash(site: Site, indexes: Sequence[Index], requirement: str) -> str:
    """The requirement for pip. pip uses all indexes, so a bound package is pinned to the SHA-256 in its own index.

    Raises XaivaError when that index has no SHA-256.
    """
    package = _package_name(requirement)
    index = index_for(package, indexes) if package else None
    if index is None or (parsed := Requirement(requirement)).url:
        return requirement
    network = Network(site)
    try:
        version, sha256 = IndexPages(network, indexes).source_archive(index, parsed)
    finally:
        network.close()
    if not sha256:
        why = "the page of the index lists no source archive of it with a SHA-256"
        raise XaivaError(f"{requirement} from index {index.name} ({index.url})", why, "open that page in a browser")
    return f"{parsed.name}=={version} --hash=sha256:{sha256}"


def _read_authorities(path: str) -> bytes:
    """The machine's certificate authorities; empty when `path` is "" or a folder. Raises XaivaError."""
    if not path or os.path.isdir(path):
        return b""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        remedy = "correct SSL_CERT_FILE, REQUESTS_CA_BUNDLE or PIP_CERT"
        raise XaivaError(f"Certificate authorities {path}", os_reason(error), remedy) from error
