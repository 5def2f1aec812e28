"""Checks of this machine: one finding per fact, each with a remedy. They change nothing and use no network.

A note means that something is fine or that its absence is normal, a warning is a limitation, and an error stops xaiva
from working.
"""

from __future__ import annotations

import locale
import os
import platform
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import XaivaError, os_reason
from core.findings import Finding, Level
from core.install_commands import ssh_keygen_advice
from core.site import Site

if TYPE_CHECKING:
    from core.engine import EngineError

GIB = 1 << 30
COMFORTABLE_FREE = 40 * GIB  # one CUDA preset: artifacts, layers and image
MINIMUM_FREE = 5 * GIB  # even cpu-debian12 needs more
LIMITED_FILE_SYSTEMS = frozenset({"vfat", "msdos", "exfat", "fuseblk"})

Check = Callable[[Site], Iterator[Finding]]


def examine(site: Site) -> list[Finding]:
    """All findings, in the order of CHECKS. Never raises: a check that fails is itself a finding."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(site)
        except XaivaError as error:
            findings.append(Finding.error(name, error.what, error.why, error.remedy))
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            findings.append(Finding.warning(name, f"The {name} check failed unexpectedly", why, "please report it"))
    return findings


def _python(_: Site) -> Iterator[Finding]:
    yield Finding.note(
        "python", f"Python {platform.python_version()}, {platform.machine()}, Linux {platform.release()}"
    )
    if platform.machine() != "x86_64":
        yield Finding.warning(
            "machine", f"Machine type {platform.machine()}", "presets are locked for x86_64", "use an x86_64 machine"
        )


def _site_folder(site: Site) -> Iterator[Finding]:
    if not site.presets.is_dir():
        yield Finding.warning(
            "site",
            f"Site {site.root}",
            "it has no presets/ folder",
            "start xaiva in a site, or name one with --site DIR",
        )
    try:
        with tempfile.TemporaryFile(dir=site.root):
            pass
    except OSError as error:
        why = os_reason(error)
        yield Finding.error(
            "site-writable", f"Site {site.root} cannot be written", why, "mount it writable, or copy it to another disk"
        )
        return
    yield from _file_system(site)


def _file_system(site: Site) -> Iterator[Finding]:
    from core.file_systems import NETWORK_FILE_SYSTEMS, file_system_type

    kind = file_system_type(site.root)
    if kind in NETWORK_FILE_SYSTEMS:
        remedy = "put the site on a local disk"
        yield Finding.error(
            "file-system", f"Site on {kind}", "file locks are not reliable on a network file system", remedy
        )
    elif kind in LIMITED_FILE_SYSTEMS:
        why = "it has no hard links and no permissions; vfat cannot hold files of 4 GiB or more"
        yield Finding.warning(
            "file-system", f"Site on {kind}", why, "use it to carry the site, and build from a copy on a local disk"
        )
    else:
        yield Finding.note("file-system", f"Site on {kind or 'an unknown file system'}, {site.root}")
    if not _supports_hard_links(site.root):
        why = "files shared by several presets take up space several times"
        yield Finding.warning("hard-links", "No hard links here", why, "use ext4, xfs or btrfs for the site")


def _supports_hard_links(folder: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".xaiva-tmp-") as scratch:
        Path(scratch, "one").touch()
        try:
            os.link(Path(scratch, "one"), Path(scratch, "two"))
        except OSError:
            return False
    return True


def _disk(site: Site) -> Iterator[Finding]:
    free = shutil.disk_usage(site.root).free
    summary = f"{free / GIB:.1f} GiB free at {site.root}"
    if free < MINIMUM_FREE:
        yield Finding.error(
            "disk", summary, "artifacts and images need more", "free some space, or put the site on a larger disk"
        )
    elif free < COMFORTABLE_FREE:
        yield Finding.warning(
            "disk", summary, "a CUDA preset takes about 40 GiB with its image", "free some space before a sync"
        )
    else:
        yield Finding.note("disk", summary)


def _clock(_: Site) -> Iterator[Finding]:
    newest = max(path.stat().st_mtime for path in Path(__file__).parent.glob("*.py"))
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    if time.time() < newest - 86400:
        why = f"the clock says {now}, which is before xaiva was installed"
        yield Finding.error("clock", "The clock is wrong", why, "set the clock; certificates and tokens fail otherwise")
    else:
        yield Finding.note("clock", f"Clock {now}")


def _engine(site: Site) -> Iterator[Finding]:
    from core.artifacts.orphaned_helpers import find_orphans
    from core.containers.gpu_access import GpuAccess, gpu_access, missing_toolkit_finding
    from core.engine import (
        EngineError,
        connect_engine,
        docker_environment,
        engine_errors,
        resolve_endpoint,
    )
    from core.engine_image import image_store
    from core.engine_version import version_findings
    from core.images.engine_checks import delivery_findings

    try:
        client = connect_engine(site)
    except EngineError as error:
        yield _no_engine(site, error)
        return
    with closing(client), engine_errors("Engine's description"):
        info, version, left_helpers = client.info(), client.version(), find_orphans(client)
    local = resolve_endpoint(site).local
    summary = f"Docker {info.get('ServerVersion')}, {info.get('Driver')}, {image_store(info)} image store"
    yield Finding.note("engine", summary)
    yield from version_findings(version)
    yield from delivery_findings(site, info, version, docker_environment(site))
    if left_helpers:
        why = f"the process that started them was killed: {', '.join(left_helpers)}"
        remedy = f"run a lock, which removes them, or: docker rm -f {' '.join(left_helpers)}"
        yield Finding.warning("helpers", "Leftover helper containers", why, remedy)
    yield from _buildx(docker_environment(site))
    yield from _compose(docker_environment(site))
    root = info.get("DockerRootDir", "")
    if local and root and os.access(root, os.R_OK):
        free = shutil.disk_usage(root).free
        if free < COMFORTABLE_FREE:
            why = "images and the build cache are stored there"
            yield Finding.warning(
                "engine-disk",
                f"{free / GIB:.1f} GiB free at {root}",
                why,
                "free some space; to see what takes it: docker system df",
            )
    access = gpu_access(info, local=local)
    if access is GpuAccess.NONE:
        yield missing_toolkit_finding("this engine").model_copy(update={"level": Level.WARNING})
    else:
        yield Finding.note("gpu-containers", f"GPUs for containers: {access.value}")


def _no_engine(site: Site, error: EngineError) -> Finding:
    """Why there is no engine; for this machine's own with a code for each cause, which core/doctor_fixes.py knows."""
    from core.engine import (
        DEFAULT_HOST,
        GROUP_REMEDY,
        INSTALL_REMEDY,
        START_REMEDY,
        InvalidEngineSettings,
        resolve_endpoint,
    )

    if isinstance(error, InvalidEngineSettings) or resolve_endpoint(site).host != DEFAULT_HOST:
        return Finding.error("engine", error.what, error.why, error.remedy)
    codes = {INSTALL_REMEDY: "engine-missing", START_REMEDY: "engine-stopped", GROUP_REMEDY: "engine-group"}
    code = codes.get(error.remedy, "engine")
    return Finding.error(code, error.what, error.why, error.remedy)


def _buildx(env: Mapping[str, str]) -> Iterator[Finding]:
    from core.images.buildx import RAWJSON_SINCE, buildx_version

    if shutil.which("docker") is None:
        return  # the check of the tools says so
    try:
        version = buildx_version(env)
    except XaivaError as error:
        yield Finding.error("buildx", error.what, error.why, error.remedy)
        return
    summary = f"buildx {version[0]}.{version[1]}"
    if version < RAWJSON_SINCE:
        why = "it has no machine-readable progress, so stages are read from its plain text"
        yield Finding.warning("buildx", summary, why, "use buildx 0.13 or newer")
    else:
        yield Finding.note("buildx", summary)


def _compose(env: Mapping[str, str]) -> Iterator[Finding]:
    from core.stacks.compose import COMPOSE_REMEDY, compose_version

    if shutil.which("docker") is None:
        return  # the check of the tools says so
    try:
        yield Finding.note("compose", f"compose {compose_version(env)}")
    except XaivaError:
        why = "stacks need it; all else works without it"
        yield Finding.warning("compose", "The docker client has no compose plugin", why, COMPOSE_REMEDY)


def _gpus(_: Site) -> Iterator[Finding]:
    from core.telemetry.gpus import GpuSampler, GpuState, gpu_problem

    with GpuSampler() as sampler:
        sample = sampler.sample()
    names = [gpu.name for gpu in sample.gpus if gpu.state is GpuState.OK]
    if names:
        summary = f"{len(names)} GPU: {', '.join(names)}; driver {sample.driver}, CUDA up to {sample.cuda}"
        yield Finding.note("gpu", summary)
    if problem := gpu_problem(sample):
        yield Finding.warning("gpu-trouble" if names else "gpu", *problem)


def _presets(site: Site) -> Iterator[Finding]:
    """Compatibility errors of each preset, as locked if it has a lock."""
    from core.artifacts.lock_check import check_preset
    from core.presets.store import list_presets

    without_errors = 0
    for entry in list_presets(site) if site.presets.is_dir() else []:
        if entry.preset is None:
            continue  # `xaiva preset list` says why
        errors = [finding for finding in check_preset(site, entry.name, entry.preset) if finding.level is Level.ERROR]
        without_errors += not errors
        for error in errors:
            yield Finding.warning("preset", f"Preset {entry.name}: {error.what}", error.why, error.remedy)
    if without_errors:
        yield Finding.note("preset", f"{without_errors} presets pass the compatibility check")


def _tools(_: Site) -> Iterator[Finding]:
    from uv import find_uv_bin

    try:
        yield Finding.note("uv", f"uv at {find_uv_bin()}")
    except FileNotFoundError:
        yield Finding.error("uv", "uv is missing", "a lock needs it", "set up again: remove .venv and start ./xaiva")
    if shutil.which("docker") is None:
        yield Finding.error("docker-client", "No docker client", "builds need it", "install docker-cli")
    if shutil.which("ssh-keygen") is None:
        why = "shipments are signed and checked with it"
        yield Finding.warning("ssh-keygen", "No ssh-keygen", why, ssh_keygen_advice().text)


def _terminal(site: Site) -> Iterator[Finding]:
    term = site.env.get("TERM", "")
    if term in ("", "dumb"):
        yield Finding.warning(
            "terminal", f"TERM is {term or 'not set'}", "the console cannot be drawn", "run: export TERM=xterm-256color"
        )
    else:
        colours = "true colour" if site.env.get("COLORTERM") in ("truecolor", "24bit") else "256 colours or fewer"
        yield Finding.note("terminal", f"Terminal {term}, {colours}")
    if locale.getpreferredencoding(False).lower().replace("-", "") != "utf8":
        why = "borders and graphs would be shown as question marks"
        yield Finding.warning("locale", "The locale is not UTF-8", why, "run: export LANG=C.UTF-8")
    if site.env.get("TMUX"):
        why = "tmux forwards the clipboard only when it is configured to"
        yield Finding.note("tmux", "Inside tmux", why, "run: tmux set -g set-clipboard on")


def _log_out(_: Site) -> Iterator[Finding]:
    """Some machines kill all of a user's processes at log-out, including operations."""
    folder = Path("/etc/systemd")
    for path in (folder / "logind.conf", *sorted(folder.glob("logind.conf.d/*.conf"))):
        if path.is_file() and re.search(r"^\s*KillUserProcesses\s*=\s*(yes|true|1)", path.read_text(), re.MULTILINE):
            why = f"{path} ends all of a user's processes at log-out, including operations"
            yield Finding.warning("log-out", "Operations end at log-out", why, "run: loginctl enable-linger")


def _port(_: Site) -> Iterator[Finding]:
    from core.service_client.address import SERVICE_PORT  # slow to import

    with socket.socket() as probe:
        probe.settimeout(1)
        in_use = probe.connect_ex(("127.0.0.1", SERVICE_PORT)) == 0
    if in_use:
        yield Finding.note(
            "port", f"Port {SERVICE_PORT} is in use", "a running inference service is the likely cause", "see: xaiva ps"
        )
    else:
        yield Finding.note("port", f"Port {SERVICE_PORT} is free for the inference service")


def _network(_: Site) -> Iterator[Finding]:
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    if any(line.split()[1] == "00000000" for line in routes):
        yield Finding.note("network", "A network is reachable")
    else:
        yield Finding.note(
            "network", "No network is reachable", "that is normal at a site; only lock and sync need one"
        )


CHECKS: dict[str, Check] = {
    "python": _python,
    "site": _site_folder,
    "disk": _disk,
    "clock": _clock,
    "engine": _engine,
    "gpu": _gpus,
    "preset": _presets,
    "tools": _tools,
    "terminal": _terminal,
    "log-out": _log_out,
    "port": _port,
    "network": _network,
}
