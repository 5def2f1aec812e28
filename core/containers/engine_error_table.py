"""A table of the engine's errors on create and start: pattern, cause and remedy."""

from __future__ import annotations

import re
from typing import NamedTuple

from core.containers.gpu_access import CDI_REMEDY, TOOLKIT_REMEDY
from core.engine import EngineError


class EngineErrorPattern(NamedTuple):
    """A pattern to search in the engine's message. `why` may refer to its groups as {1}."""

    code: str
    pattern: re.Pattern[str]
    why: str
    remedy: str


def _pattern(code: str, pattern: str, why: str, remedy: str) -> EngineErrorPattern:
    return EngineErrorPattern(code, re.compile(pattern, re.IGNORECASE), why, remedy)


# Messages as Docker Engine 20.10 to 28 and libnvidia-container 1.x word them.
ENGINE_ERROR_PATTERNS = (
    _pattern(
        "gpu-toolkit", r"could not select device driver", "the engine has no NVIDIA container toolkit", TOOLKIT_REMEDY
    ),
    _pattern(
        "gpu-toolkit", r"unknown or invalid runtime name: nvidia", "the engine has no NVIDIA runtime", TOOLKIT_REMEDY
    ),
    _pattern(
        "gpu-cdi",
        r"CDI.*(?:unresolvable|failed)|unresolvable CDI",
        "the engine does not know that CDI device",
        CDI_REMEDY,
    ),
    _pattern(
        "gpu-driver",
        r"unsatisfied condition: ([^,\n]+)",
        "the image needs {1}; the machine's NVIDIA driver is too old for it",
        "update the driver, or build the preset on an older CUDA (xaiva preset suggest)",
    ),
    _pattern(
        "gpu-driver",
        r"nvml error: driver not loaded|nvidia-smi.*failed|initialization error: (?:nvml|load library)",
        "the NVIDIA driver is not loaded on the engine's machine",
        "check nvidia-smi there; reboot after a driver update, or reinstall the driver",
    ),
    _pattern(
        "gpu-missing",
        r"unknown device|device error: ([^\n]+)",
        "there is no such GPU on the engine's machine",
        "list them with: xaiva gpu; then correct run.gpus of the preset",
    ),
    _pattern(
        "device-missing",
        r"(?:gathering device information[^\n]*?|no such device[^\n]*?)\"?(/dev/[^\s\":]+)",
        "there is no device {1} on the engine's machine",
        "plug it in (ls /dev/video*), or correct run.devices of the preset",
    ),
    _pattern(
        "port-taken",
        r"(?:Bind for|listen (?:tcp|udp)\d?) (\S+?):? [^\n]*already (?:allocated|in use)",
        "port {1} is taken",
        "stop what uses it, or change run.ports of the preset",
    ),
    _pattern(
        "port-taken",
        r"failed to bind host port (?:for )?([^\s:]+:\d+)[^\n]*already in use",
        "port {1} is taken",
        "stop what uses it, or change run.ports of the preset",
    ),
    _pattern(
        "volume-missing",
        r"bind source path does not exist: (\S+)",
        "there is no folder {1} on the engine's machine",
        "create it there, or correct run.volumes of the preset",
    ),
    _pattern(
        "volume-option",
        r"invalid (?:volume specification|mode): [^\n]*",
        "the engine does not know an option of a volume",
        "correct run.volumes of the preset: ro, rw, z and Z work with every engine",
    ),
    _pattern(
        "init-missing",
        r'exec: "?docker-init"?: executable file not found|mounting "[^"]*" to rootfs at "/sbin/docker-init"',
        "the engine cannot run docker-init",
        "install docker-init on the engine's machine (a part of Docker's packages), then launch again",
    ),
    _pattern(
        "command-missing",
        r'exec: "?([^":]+)"?: (?:executable file not found|stat|no such file)',
        "the image has no program {1}",
        "correct run.command of the preset, or rebuild the image",
    ),
    _pattern(  # with an init, the engine starts that, and it reports the missing program in the container's output
        "command-missing",
        r"\[FATAL tini \(\d+\)\] exec (\S+) failed: No such file",
        "the image has no program {1}",
        "correct run.command of the preset, or rebuild the image",
    ),
    _pattern("image-missing", r"No such image: (\S+)", "there is no image {1}", "build it: xaiva build PRESET"),
    _pattern(
        "disk-full", r"no space left on device", "the engine's disk is full", "docker system df; docker image prune"
    ),
    _pattern(
        "name-taken",
        r"container name \"/?([^\"]+)\" is already in use",
        "container {1} already exists",
        "remove it",
    ),
)


def explain_engine_error(error: EngineError) -> EngineError:
    """The error with a cause and a remedy from the table; unchanged when the engine's message is not in it."""
    for row in ENGINE_ERROR_PATTERNS:
        if match := row.pattern.search(error.why):
            groups = [match.group(0), *(group or "" for group in match.groups())]
            return EngineError(error.what, f"{row.why.format(*groups)} ({error.why.strip()})", row.remedy)
    return error
