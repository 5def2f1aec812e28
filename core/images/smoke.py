"""The smoke test: start the new image once, with no network, and compare what is in it with the lock."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from core.artifacts.lockfile import Kind, Lock
from core.findings import Finding, Level
from core.images.render import service_layer
from core.images.smoke_gpu import gpu_findings
from core.presets.model import Preset

PROBE = Path(__file__).with_name("smoke_probe.py")
MARK = "--- xaiva smoke ---"
TIMEOUT = 1800.0  # seconds; a first import of a large framework from a slow disk takes minutes
_WITHOUT_DRIVER = re.compile(r"lib(cuda|nvidia-ml|nvcuvid|nvidia-encode)\.so")


def smoke(env: Mapping[str, str], image: str, preset: Preset, lock: Lock, target: str = "runtime") -> list[Finding]:
    """Findings about `image`; an error is something that does not work in it. `env` is the docker client's environment."""
    name = f"xaiva-smoke-{image.rpartition('/')[2].replace(':', '-')}"
    words = ["docker", "run", "--rm", "--interactive", "--network", "none", "--pull", "never", "--no-healthcheck"]
    words += ["--name", name, "--entrypoint", "/opt/xaiva/bin/python", image, "-I", "-c", PROBE.read_text()]
    subprocess.run(["docker", "rm", "--force", name], env=dict(env), capture_output=True)  # of a run that was killed
    question = json.dumps(_question(preset, lock, target)).encode()
    try:
        done = subprocess.run(words, env=dict(env), input=question, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        subprocess.run(["docker", "rm", "--force", name], env=dict(env), capture_output=True)
        return [_error("smoke-run", f"Smoke test of {image}", f"it did not end within {TIMEOUT:.0f} s")]
    _, mark, answer = done.stdout.decode(errors="replace").rpartition(MARK)
    if done.returncode or not mark:
        return [_error("smoke-run", f"Smoke test of {image}", done.stderr.decode(errors="replace").strip()[-1000:])]
    return list(judge(json.loads(answer), preset, lock, target))


def judge(answer: Mapping[str, Any], preset: Preset, lock: Lock, target: str = "runtime") -> Iterator[Finding]:
    """Findings from what the probe said."""
    yield from _python(answer, lock)
    yield from _versions(answer["versions"], expected_versions(lock, target))
    yield from _imports(answer["imports"])
    yield from _media(answer, preset, lock, target)
    if preset.tensorrt.enabled and target in ("runtime", "dev") and "tensorrt" not in answer["imports"]:
        yield _error("smoke-tensorrt", "TensorRT is not in the image", "neither a wheel nor a source brought it")
    if "torch" in answer:
        yield from _torch(answer["torch"], preset)


def expected_versions(lock: Lock, target: str) -> dict[str, str]:
    """Distribution → locked version, of the layers up to `target`; the last layer that names one wins."""
    by_path = lock.by_path()
    versions: dict[str, str] = {}
    for layer in lock.layers:
        for wheel in (by_path[path] for path in layer.wheels):
            versions[canonicalize_name(wheel.name)] = wheel.version
        if layer.name == target:
            break
    return versions


def _question(preset: Preset, lock: Lock, target: str) -> dict[str, Any]:
    whole = target in ("runtime", "dev")
    compiled = {file.name for file in lock.of_kind(Kind.SOURCE)}
    modules = ["cv2"] if whole and "opencv" in compiled else []
    modules += ["core.inference"] if whole and service_layer(preset, lock) else []
    modules += ["tensorrt"] if whole and preset.tensorrt.enabled else []
    commands = [["ffmpeg", "-hide_banner", "-version"]] if whole and "ffmpeg" in compiled else []
    return {
        "imports": sorted(_asked_for(preset) & set(expected_versions(lock, target))),
        "modules": modules,
        "commands": commands,
    }


def _asked_for(preset: Preset) -> set[str]:
    """The distributions a preset names itself; their dependencies need not import on their own."""
    names: set[str] = set(preset.pytorch.components) if preset.pytorch else set()
    for layer in preset.layers:
        for line in layer.requirements:
            try:
                names.add(Requirement(line).name)
            except InvalidRequirement:
                continue
    return {canonicalize_name(name) for name in names}


def _python(answer: Mapping[str, Any], lock: Lock) -> Iterator[Finding]:
    if not answer["python"].startswith(f"{lock.python_version}."):
        yield _error(
            "smoke-python", "Python in the image", f"it is {answer['python']}, locked is {lock.python_version}"
        )


def _versions(found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[Finding]:
    for name, version in expected.items():
        if name not in found:
            yield _error("smoke-version", f"{name} is not in the image", f"the lock has {version}")
        elif not _same(found[name], version):
            yield _error("smoke-version", f"{name} is {found[name]} in the image", f"the lock has {version}")


def _same(found: str, locked: str) -> bool:
    try:
        return Version(found) == Version(locked)
    except InvalidVersion:
        return found == locked


def _imports(imports: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for module, result in imports.items():
        if result["code"] == 0:
            continue
        last = (result["output"].strip().splitlines() or [f"exit status {result['code']}"])[-1]
        if _WITHOUT_DRIVER.search(result["output"]):
            yield Finding(
                level=Level.NOTE,
                code="smoke-needs-driver",
                what=f"import {module} needs the GPU driver",
                why=last,
                remedy="it shows at launch, with GPUs",
            )
        else:
            remedy = "look whether a system library is missing (debs of the preset) or two packages do not go together"
            yield _error("smoke-import", f"import {module} fails in the image", last, remedy)


def _media(answer: Mapping[str, Any], preset: Preset, lock: Lock, target: str) -> Iterator[Finding]:
    if target not in ("runtime", "dev"):
        return
    for command in answer["commands"]:
        version = re.search(r"ffmpeg version n?(\S+)", command["output"])
        if command["code"] or not version:
            yield _error("smoke-ffmpeg", "ffmpeg does not run in the image", command["output"].strip()[-300:])
        elif not _matches(version[1], preset.build_options.ffmpeg_version):
            yield _error(
                "smoke-ffmpeg", f"ffmpeg is {version[1]}", f"the preset asks for {preset.build_options.ffmpeg_version}"
            )
    opencv = answer["imports"].get("cv2")
    if opencv and opencv["code"] == 0 and any(file.name == "opencv" for file in lock.of_kind(Kind.SOURCE)):
        version_text = opencv["output"].strip()
        if not _matches(version_text, preset.build_options.opencv_version):
            asked = preset.build_options.opencv_version
            yield _error("smoke-opencv", f"cv2 is {version_text}", f"the preset asks for {asked}")


def _matches(found: str, asked: str) -> bool:
    """Whether `asked`, maybe only its first numbers, is what is there."""
    return not asked or re.split(r"[.-]", found)[: len(asked.split("."))] == asked.split(".")


def _torch(result: Mapping[str, Any], preset: Preset) -> Iterator[Finding]:
    if result["code"]:
        return  # its failed import is a finding already
    said = json.loads(result["output"].strip().splitlines()[-1])
    if said["arch"]:
        yield from gpu_findings(said["arch"].split(), preset)


def _error(code: str, what: str, why: str, remedy: str = "") -> Finding:
    return Finding(level=Level.ERROR, code=code, what=what, why=why, remedy=remedy)
