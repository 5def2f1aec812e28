"""The smoke test: starts the new image once, with no network, and compares its content with the lock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from core.artifacts.lock_store import LOCAL_WHEELS, LockedPreset
from core.artifacts.lockfile import FileKind, Lock
from core.artifacts.orphaned_helpers import helper_label
from core.engine import docker_environment
from core.errors import Cancelled
from core.findings import Finding
from core.images.build_recorder import SMOKE_STAGE
from core.images.docker_cli import docker_cli_errors, run_docker
from core.images.render import service_layer
from core.images.smoke_probe import OUTPUT_MARKER
from core.presets.model import Preset
from core.progress import Progress
from core.site import Site
from core.subprocesses import FinishedProcess, run_child

if TYPE_CHECKING:
    from core.presets.compat.machine import TargetMachine

PROBE_SCRIPT = Path(__file__).with_name("smoke_probe.py")
COMPLETE_STAGES = ("runtime", "dev")
SERVICE_MODULE = "core.inference.server"  # it imports everything that the service needs to start
_DPKG_FORMAT = "${Package}\t${Version}\t${db:Status-Status}\n"
_WITHOUT_DRIVER = re.compile(r"lib(cuda|nvidia-ml|nvcuvid|nvidia-encode)\.so")


def run_smoke_test(locked: LockedPreset, image: str, target: str, progress: Progress) -> list[Finding]:
    """Findings about `image`, built up to stage `target`: an error for everything that does not work in it.

    Raises InputError when a requirement file of the preset cannot be read, Cancelled after removing its container.
    """
    if not locked.lock.python_version:
        return _check_packages(locked, image, progress)
    from core.presets.compat.checking import site_facts, target_for

    request = json.dumps(_probe_request(locked.preset, locked.lock, target, _requested_names(locked)))
    words = ("/opt/xaiva/bin/python", image, "-I", "-c", PROBE_SCRIPT.read_text(), request)
    process = _run_in_image(locked.site, image, words, progress)
    _, mark, answer = process.out.decode(errors="replace").rpartition(OUTPUT_MARKER)
    if process.code or not mark:
        return [Finding.error("smoke-run", f"Smoke test of {image}", process.err.strip()[-1000:])]
    machine = target_for(locked.preset, site_facts(locked.site))
    return list(probe_findings(json.loads(answer), locked.preset, locked.lock, target, machine))


def _run_in_image(site: Site, image: str, words: Sequence[str], progress: Progress) -> FinishedProcess:
    """Run `words` (entry point, image, arguments) in a new container. Raises Cancelled after removing it."""
    env = docker_environment(site)
    name = f"xaiva-smoke-{image.rpartition('/')[2].replace(':', '-')}"
    remove = ("rm", "--force", name)
    run_docker(*remove, env=env)  # left by a test that was killed
    command = ["docker", "run", "--rm", "--network", "none", "--pull", "never", "--no-healthcheck", "--name", name]
    command += [word for key, value in helper_label().items() for word in ("--label", f"{key}={value}")]
    try:
        with docker_cli_errors():
            return run_child(
                [*command, "--entrypoint", *words],
                progress,
                env,
                on_line=lambda line: progress.log(line, SMOKE_STAGE),
            )
    except Cancelled:
        run_docker(*remove, env=env)
        raise


def _check_packages(locked: LockedPreset, image: str, progress: Progress) -> list[Finding]:
    """Whether the locked system packages are in an image without Python."""
    by_path = locked.lock.by_path()
    if not locked.lock.debs:
        return []
    process = _run_in_image(locked.site, image, ("dpkg-query", image, "-W", "-f", _DPKG_FORMAT), progress)
    if process.code:
        return [Finding.error("smoke-run", f"Smoke test of {image}", process.err.strip()[-1000:])]
    rows = (line.split("\t") for line in process.out.decode(errors="replace").splitlines())
    installed = {name: version for name, version, state in rows if state == "installed"}
    expected = {by_path[path].name: by_path[path].version for path in locked.lock.debs}
    return [
        Finding.error(
            "smoke-package", f"{name} is {installed.get(name, 'not')} in the image", f"the lock has it in {version}"
        )
        for name, version in expected.items()
        if installed.get(name) != version
    ]


def probe_findings(
    answer: Mapping[str, Any],
    preset: Preset,
    lock: Lock,
    target: str = "runtime",
    machine: TargetMachine | None = None,
) -> Iterator[Finding]:
    """Findings from the probe's answer; `machine` is the target machine, None when unknown."""
    yield from _check_python(answer, lock)
    yield from _check_versions(answer["versions"], expected_versions(lock, target))
    yield from _check_imports(answer["imports"])
    yield from _check_ffmpeg(answer, preset)
    yield from _check_opencv(answer, preset, lock)
    if "torch" in answer and machine is not None:
        yield from _check_torch(answer["torch"], machine)


def expected_versions(lock: Lock, target: str) -> dict[str, str]:
    """Distribution → locked version in the layers up to `target`; the last layer wins."""
    by_path = lock.by_path()
    versions: dict[str, str] = {}
    for layer in lock.layers:
        for wheel in (by_path[path] for path in layer.wheels):
            versions[canonicalize_name(wheel.name)] = wheel.version
        if layer.name == target:
            break
    return versions


def _probe_request(preset: Preset, lock: Lock, target: str, requested_names: set[str]) -> dict[str, Any]:
    imports = sorted(requested_names & set(expected_versions(lock, target)))
    modules: list[str] = []
    commands: list[list[str]] = []
    if target in COMPLETE_STAGES:
        compiled = {file.name for file in lock.of_kind(FileKind.SOURCE)}
        modules += ["cv2"] if "opencv" in compiled else []
        modules += [SERVICE_MODULE] if service_layer(preset, lock) else []
        modules += ["tensorrt"] if preset.tensorrt.enabled else []
        commands += [["ffmpeg", "-hide_banner", "-version"]] if "ffmpeg" in compiled else []
    return {"imports": imports, "modules": modules, "commands": commands}


def _requested_names(locked: LockedPreset) -> set[str]:
    """The distributions that the preset itself requires; their dependencies need not be importable."""
    from core.artifacts.local_wheels import names_by_address
    from core.presets.compat import site_facts
    from core.presets.layers import expand_preset

    names: set[str] = set()
    expanded = expand_preset(locked.preset, locked.site.presets, site_facts(locked.site))
    built = names_by_address(locked.folder / LOCAL_WHEELS)
    addressed = [entry.reference for _, entry in expanded.direct_references]
    names |= {name for entry in addressed if (name := entry.name or built.get(entry.address, ""))}
    for _, lines in expanded.layers:
        for line in lines:
            try:
                names.add(Requirement(line).name)
            except InvalidRequirement:
                continue
    return {canonicalize_name(name) for name in names}


def _check_python(answer: Mapping[str, Any], lock: Lock) -> Iterator[Finding]:
    if not answer["python"].startswith(f"{lock.python_version}."):
        yield Finding.error(
            "smoke-python", "Python in the image", f"it is {answer['python']}, but the lock has {lock.python_version}"
        )


def _check_versions(installed: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[Finding]:
    for name, version in expected.items():
        if name not in installed:
            yield Finding.error("smoke-version", f"{name} is not in the image", f"the lock has {version}")
        elif not _same_version(installed[name], version):
            yield Finding.error("smoke-version", f"{name} is {installed[name]} in the image", f"the lock has {version}")


def _same_version(installed: str, locked: str) -> bool:
    try:
        return Version(installed) == Version(locked)
    except InvalidVersion:
        return installed == locked


def _check_imports(imports: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for module, result in imports.items():
        if result["code"] == 0:
            continue
        last = (result["output"].strip().splitlines() or [f"exit status {result['code']}"])[-1]
        if _WITHOUT_DRIVER.search(result["output"]):
            yield Finding.note(
                code="smoke-needs-driver",
                what=f"import {module} needs the GPU driver",
                why=last,
                remedy="it can only be checked at launch, with GPUs",
            )
        else:
            remedy = "check whether a system library is missing (debs of the preset) or two packages conflict"
            yield Finding.error("smoke-import", f"import {module} fails in the image", last, remedy)


def _check_ffmpeg(answer: Mapping[str, Any], preset: Preset) -> Iterator[Finding]:
    requested = preset.build_options.ffmpeg_version
    for command in answer["commands"]:
        version = re.search(r"ffmpeg version n?(\S+)", command["output"])
        if command["code"] or not version:
            yield Finding.error("smoke-ffmpeg", "ffmpeg does not run in the image", command["output"].strip()[-300:])
        elif not _matches_version(version[1], requested):
            yield Finding.error(
                "smoke-ffmpeg", f"ffmpeg is {version[1]} in the image", f"the preset asks for {requested}"
            )


def _check_opencv(answer: Mapping[str, Any], preset: Preset, lock: Lock) -> Iterator[Finding]:
    requested = preset.build_options.opencv_version
    cv2 = answer["imports"].get("cv2")
    if not cv2 or cv2["code"] or all(file.name != "opencv" for file in lock.of_kind(FileKind.SOURCE)):
        return
    installed = cv2["output"].strip()
    if not _matches_version(installed, requested):
        remedy = "check the wheels for opencv-python: an image can have only one cv2"
        yield Finding.error(
            "smoke-opencv", f"cv2 is {installed} in the image", f"the preset asks for {requested}", remedy
        )


def _matches_version(installed: str, requested: str) -> bool:
    """Whether the installed version starts with the numbers of the requested one."""
    return not requested or re.split(r"[.-]", installed)[: len(requested.split("."))] == requested.split(".")


def _check_torch(result: Mapping[str, Any], machine: TargetMachine) -> Iterator[Finding]:
    """An error for each GPU that torch was not compiled for."""
    from core.presets.compat.machine import has_code_for

    if result["code"]:
        return  # the failed import is a finding already
    flags = str(json.loads(result["output"].strip().splitlines()[-1])["arch"] or "").split()
    cubins, ptx = (_architectures(flags, kind) for kind in ("sm", "compute"))
    for gpu in machine.gpus if flags else ():
        if gpu.sm and not has_code_for(gpu.sm, cubins, ptx):
            sm = f"sm_{gpu.sm.replace('.', '')}"  # the name may be unknown to `suggest`
            remedy = f"list the versions that do: xaiva preset suggest --gpu {sm}; or set the right `target`"
            why = f"it was compiled for {' '.join(flags)}"
            yield Finding.error(
                "smoke-gpu", f"The torch in the image has no code for {gpu.name} (sm {gpu.sm})", why, remedy
            )


def _architectures(flags: Sequence[str], kind: str) -> list[str]:
    """`sm_86` → `8.6`, of the flags of that kind (`sm`: machine code, `compute`: PTX)."""
    matches = (re.fullmatch(rf"{kind}_(\d+)(\d)[af]?", flag) for flag in flags)
    return [f"{match[1]}.{match[2]}" for match in matches if match]
