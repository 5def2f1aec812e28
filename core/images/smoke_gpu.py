"""Whether the architectures a torch was compiled for serve the site's GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.findings import Finding, Level
from core.presets.model import Preset


def serves(flags: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether code for one of `flags` (`sm_86`, `compute_90`) runs on a GPU of that compute capability.

    Machine code runs on the same major and the same or a newer minor version; PTX (`compute_*`) on any newer GPU.
    """
    for flag in flags:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", flag)
        if not match:
            continue
        built = (int(match[2]), int(match[3]))
        if match[1] == "compute" and built <= capability:
            return True
        if match[1] == "sm" and built[0] == capability[0] and built[1] <= capability[1]:
            return True
    return False


def gpu_findings(flags: Sequence[str], preset: Preset) -> Iterator[Finding]:
    """An error when the preset's target GPU is known and none of torch's architectures serves it."""
    capability = _capability(preset)
    if capability is None or serves(flags, capability):
        return
    gpu = preset.target.gpu if preset.target else ""
    yield Finding(
        level=Level.ERROR,
        code="smoke-gpu",
        what=f"This torch has no code for {gpu} (sm_{capability[0]}{capability[1]})",
        why=f"it was compiled for {' '.join(flags)}",
        remedy="see which versions do: xaiva preset suggest --gpu NAME",
    )


def _capability(preset: Preset) -> tuple[int, int] | None:
    return None
