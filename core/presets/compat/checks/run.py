"""The run settings: does the container get the GPUs that its packages are for, and does it start without a network."""

from __future__ import annotations

import json
import re

from core.download_commands import downloads
from core.findings import Finding
from core.presets.compat.installed import PINS
from core.presets.compat.subject import Subject, listed, warning

_SHOWN = 3


def run_gpus(subject: Subject) -> list[Finding]:
    """Whether the container gets GPUs where packages for them meet a machine that has them."""
    target, gpus = subject.target, subject.preset.run.gpus
    users = _gpu_packages(subject)
    if target is None or not target.gpus or gpus not in ("", "none") or not users:
        return []
    machine = listed(list(dict.fromkeys(gpu.name for gpu in target.gpus)), "and")
    more = [f"{len(users) - _SHOWN} more"] if len(users) > _SHOWN else []
    what = f"the container gets no GPU: run.gpus is {'empty' if not gpus else f'{gpus!r}'}"
    why = f"the machine has {machine}, and the image brings {listed(users[:_SHOWN] + more, 'and')} for GPUs"
    remedy = 'write "gpus": "all" (or which ones) in `run`; or take builds for the CPU'
    return [warning("run-gpus", what, why, remedy, "run.gpus")]


def _gpu_packages(subject: Subject) -> list[str]:
    """What the image brings that is of use with a GPU alone."""
    found = ["TensorRT"] if subject.preset.tensorrt.enabled else []
    if subject.torch and (subject.wheel_cuda or _CUDA_TAG.search(subject.torch.version)):
        found.append(subject.torch.text)
    for package in subject.packages.values():
        if package.where != PINS and (
            package.name in _FOR_GPUS
            or package.name.endswith("-gpu")
            or subject.cuda_of(package)
            or _CUDA_EXTRA.search(package.text)
        ):
            found.append(package.text)
    return list(dict.fromkeys(found))


# Builds for GPUs whose names do not say so.
_FOR_GPUS = (
    "cupy", "flash-attn", "numba-cuda", "pycuda", "pynvvideocodec", "tensorflow", "tensorrt", "tensorrt-dispatch",
    "tensorrt-lean", "tensorrt-llm", "torch-tensorrt", "vllm", "xformers",
)  # fmt: skip
_CUDA_TAG = re.compile(r"\+cu\d")
_CUDA_EXTRA = re.compile(r"\[[^\]]*cuda")


def run_downloads(subject: Subject) -> list[Finding]:
    """Commands that download when the container starts, or in its health check."""
    run = subject.preset.run
    check = run.health_check.command if run.health_check else []
    return [
        warning("run-downloads", f"{where} downloads: {command}", f"{why}; the site has no network", remedy, where)
        for where, words in (("run.command", run.command), ("run.health_check", check))
        for command, why, remedy in downloads(json.dumps(words), on_site=True)
    ]
