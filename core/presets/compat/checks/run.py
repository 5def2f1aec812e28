"""The run settings: whether the container gets the GPUs that its packages need, and starts without a network."""

from __future__ import annotations

import json
import re

from core.download_commands import find_downloads
from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.compat.image_packages import PINS

_MAX_NAMED = 3


def run_gpus(context: CheckContext) -> list[Finding]:
    """Whether the container gets GPUs when its packages need them and the machine has them."""
    target, gpus = context.target, context.preset.run.gpus
    users = _gpu_packages(context)
    if target is None or not target.gpus or gpus not in ("", "none") or not users:
        return []
    machine = join_words(list(dict.fromkeys(gpu.name for gpu in target.gpus)), "and")
    more = [f"{len(users) - _MAX_NAMED} more"] if len(users) > _MAX_NAMED else []
    what = f"the container gets no GPU: run.gpus is {'empty' if not gpus else f'{gpus!r}'}"
    packages = join_words(users[:_MAX_NAMED] + more, "and")
    why = f"the machine has {machine}, and these packages of the image use a GPU: {packages}"
    remedy = 'write "gpus": "all" (or name the GPUs) in `run`; or use CPU builds'
    return [Finding.warning("run-gpus", what, why, remedy, "run.gpus")]


def _gpu_packages(context: CheckContext) -> list[str]:
    """Packages of the image that need a GPU."""
    names = ["TensorRT"] if context.preset.tensorrt.enabled else []
    if context.torch and (context.wheel_cuda or _CUDA_TAG.search(context.torch.version)):
        names.append(context.torch.text)
    for package in context.packages.values():
        if package.where != PINS and (
            package.name in _FOR_GPUS
            or package.name.endswith("-gpu")
            or context.cuda_of(package)
            or _CUDA_EXTRA.search(package.text)
        ):
            names.append(package.text)
    return list(dict.fromkeys(names))


# GPU packages whose names do not show it.
_FOR_GPUS = (
    "cupy", "flash-attn", "numba-cuda", "pycuda", "pynvvideocodec", "tensorflow", "tensorrt", "tensorrt-dispatch",
    "tensorrt-lean", "tensorrt-llm", "torch-tensorrt", "vllm", "xformers",
)  # fmt: skip
_CUDA_TAG = re.compile(r"\+cu\d")
_CUDA_EXTRA = re.compile(r"\[[^\]]*cuda")


def run_downloads(context: CheckContext) -> list[Finding]:
    """Commands that download when the container starts, or in its health check."""
    run = context.preset.run
    check = run.health_check.command if run.health_check else []
    return [
        Finding.warning(
            "run-downloads", f"{where} downloads: {command}", f"{why}; the site has no network", remedy, where
        )
        for where, words in (("run.command", run.command), ("run.health_check", check))
        for command, why, remedy in find_downloads(json.dumps(words), on_site=True)
    ]
