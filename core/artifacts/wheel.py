"""Builds the wheel of a package that is published as source only, in a container of the base image."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import JsonValue

from core.artifacts.helper_container import HelperContainer
from core.artifacts.index_failures import missing_login
from core.artifacts.index_pages import IndexPages
from core.artifacts.indexes import ca_file, pip_config
from core.artifacts.lock import expanded_layers
from core.artifacts.network import Network
from core.artifacts.stages import stage
from core.artifacts.store import LOCAL_WHEELS, folder
from core.engine import connect_patiently
from core.errors import InputError, XaivaError
from core.files import write_atomic
from core.presets.model import Index, Preset
from core.presets.package_binding import index_for
from core.presets.store import load_named
from core.progress import Progress
from core.site import Site

_PIP_CONFIG = "pip.conf"

# pip is asked with the machine's own index settings and the preset's indexes; they come as a file, as they may hold
# tokens, which an environment would show to whoever inspects the container.
SCRIPT = r"""
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
exec >&2
apt-get update -q
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
/tmp/build/bin/pip wheel --no-deps --wheel-dir /tmp/wheels -r /tmp/requirement.txt
"""


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Build a wheel for the preset `subject`. Option `requirement`: what to build, `name` or `name==version`.

    The wheel goes to `local-wheels/` of the artifacts; the next lock takes it from there. The outcome has `wheel`
    (its path in the artifacts) and `seconds`. Raises XaivaError when it does not build.
    """
    started = time.monotonic()
    preset = load_named(site, subject)
    requirement = _requirement(site, preset, str(options.get("requirement", "")))
    with stage(progress, "wheel", f"build a wheel of {requirement}"):
        built = _build(site, preset, requirement, progress)
    paths = []
    for name, content in sorted(built.items()):
        write_atomic(folder(site, subject) / LOCAL_WHEELS / name, content)
        paths.append(f"{LOCAL_WHEELS}/{name}")
        progress.log(f"built {name}")
    if not paths:
        raise XaivaError(f"A wheel of {requirement}", "pip made none", "look at the log of this operation")
    return {"wheel": paths[0], "seconds": round(time.monotonic() - started, 1)}


def _requirement(site: Site, preset: Preset, text: str) -> str:
    """The requirement as given; a bare name takes what layers and pins ask of its version."""
    try:
        wanted = Requirement(text)
    except InvalidRequirement as error:
        raise InputError(f"Requirement {text!r}", "it cannot be read", "give name or name==version") from error
    if wanted.specifier or wanted.url:
        return str(wanted)
    expanded = expanded_layers(site, preset)
    for line in [*(line for _, lines in expanded.layers for line in lines), *expanded.pins]:
        known = Requirement(line)
        if canonicalize_name(known.name) == canonicalize_name(wanted.name):
            wanted.specifier &= known.specifier
    return str(wanted)


def _build(site: Site, preset: Preset, requirement: str, progress: Progress) -> dict[str, bytes]:
    indexes = expanded_layers(site, preset).indexes
    _check_logins(site, indexes, requirement)
    env = {
        "PYTHON": preset.python_version,
        "DEBS": " ".join([*preset.debs, *preset.build_debs]),
        "REQUIREMENT": _exact(site, indexes, requirement),
        "PIP_CONFIG_FILE": f"/tmp/{_PIP_CONFIG}",
    }
    with HelperContainer(connect_patiently(site), preset.base_image, SCRIPT, env, site.env) as container:
        container.put("/tmp", "authorities.pem", _authorities(ca_file(site.env)))
        container.put("/tmp", _PIP_CONFIG, pip_config(site.env, indexes).encode(), 0o600)
        container.run(progress, f"A wheel of {requirement}", "wheel")
        return {name: data for name, data in container.fetch("/tmp/wheels").items() if name.endswith(".whl")}


def _check_logins(site: Site, indexes: Sequence[Index], requirement: str) -> None:
    """pip takes an index that refuses for an empty one, and another's package of that name. Raises XaivaError."""
    home = index_for(Requirement(requirement).name, indexes)
    for index in [home] if home else [index for index in indexes if not index.packages]:
        if failure := missing_login(index, site.env):
            raise XaivaError(f"index {index.name} ({index.url}) cannot be used", failure.why, failure.remedy)


def _exact(site: Site, indexes: Sequence[Index], requirement: str) -> str:
    """What pip is to build. pip asks all indexes, for what a build needs; so a bound package is named with the SHA-256
    that its own index gives. Raises XaivaError when that gives none."""
    wanted = Requirement(requirement)
    index = index_for(wanted.name, indexes)
    if index is None or wanted.url:
        return requirement
    network = Network(site)
    try:
        version, sha256 = IndexPages(network, indexes).source_archive(index, wanted)
    finally:
        network.close()
    if not sha256:
        why = "the page of the index lists no source archive of it with a SHA-256"
        raise XaivaError(f"{requirement} from index {index.name} ({index.url})", why, "look at that page in a browser")
    return f"{wanted.name}=={version} --hash=sha256:{sha256}"


def _authorities(path: str) -> bytes:
    """The certificate authorities of the machine, none when it names none. Raises XaivaError."""
    if not path or os.path.isdir(path):
        return b""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        remedy = "correct SSL_CERT_FILE, REQUESTS_CA_BUNDLE or PIP_CERT"
        raise XaivaError(f"Certificate authorities {path}", error.strerror or str(error), remedy) from error
