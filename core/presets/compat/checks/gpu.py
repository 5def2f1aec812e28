"""The GPU: whether it is known, whether the wheels have code for it, and whether its memory is enough."""

from __future__ import annotations

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.compat.checks.torch import newest_torch
from core.presets.compat.facts import Facts
from core.presets.compat.gpu_names import GpuModel, explain_platform, explain_unknown
from core.presets.compat.machine import TargetMachine, has_code_for, sm_at_least
from core.presets.compat.pytorch_wheels import PYTORCH_FIELD


def gpu_known(context: CheckContext) -> list[Finding]:
    """Report a GPU that could not be checked, and why."""
    target = context.target
    if target is None or not target.gpus:
        if not context.cuda and not context.torch and not context.package("onnxruntime-gpu", "tensorflow"):
            return []
        what = "no GPU is named: neither GPU nor driver was checked" if target is None else "no GPU is named"
        return [Finding.note("gpu-none", what, "", 'add a "target", or use --gpu and --driver', "target")]
    findings = []
    for gpu in target.gpus:
        if gpu.aarch64:
            findings.append(Finding.error("gpu-platform", *explain_platform(gpu), "target.gpu"))
        elif not gpu.sm:
            findings.append(Finding.warning("gpu-unknown", *explain_unknown(gpu, context.facts), "target.gpu"))
    return findings


def gpu_architecture(context: CheckContext) -> list[Finding]:
    """Whether the PyTorch wheels have code for the GPU; if not, which wheels do."""
    target = context.target
    row = context.tag_row
    if row is None or not row.cuda or target is None:
        return []
    findings = []
    for gpu in target.gpus:
        if not gpu.sm or gpu.aarch64 or has_code_for(gpu.sm, row.sm, row.ptx):
            continue
        # While the version is open, an older one may have the code.
        fitting = [version for version in context.torch_versions if _has_code(context, version, gpu)]
        level = Finding.warning if fitting else Finding.error
        findings.append(
            level(
                "gpu-architecture",
                f"{gpu} cannot run torch wheels with {context.tag}",
                f"they contain code for {', '.join(row.sm)}{' and PTX' if row.ptx else ''}: the first kernel fails with"
                f' "no kernel image is available"{_torch_note(context)}',
                f"{f'torch {fitting[0]} has code for it; ' if fitting else ''}{_working_tags(gpu, target, context)}",
                context.torch.where if context.torch else "",
                row.source,
            )
        )
    return findings


def cuda_libraries(context: CheckContext) -> list[Finding]:
    """Whether the CUDA libraries of the base image and of `nvidia-*` wheels still support the GPU."""
    findings = []
    for gpu in context.target.gpus if context.target else ():
        for cuda, user in context.cuda_users.items():
            row = context.facts.cuda.get(cuda) if cuda != context.wheel_cuda else None  # see `gpu_architecture`
            if not gpu.sm or gpu.aarch64 or row is None or not row.min_sm or sm_at_least(gpu.sm, row.min_sm):
                continue
            what = f"CUDA {cuda} ({user}) does not support {gpu}"
            why = f"its libraries and compilers need an architecture of {row.min_sm} or newer"
            remedy = "use an older CUDA for what runs on the GPU"
            findings.append(Finding.warning("cuda-gpu", what, why, remedy, "target.gpu", row.source))
    return findings


def _has_code(context: CheckContext, version: str, gpu: GpuModel) -> bool:
    row = context.facts.wheel_tags.get(context.tag_of(version))
    return row is not None and (not row.cuda or has_code_for(gpu.sm, row.sm, row.ptx))


def _torch_note(context: CheckContext) -> str:
    """Which torch is meant, if it does not come from the field `pytorch`."""
    torch = context.torch
    if torch is None or torch.where == PYTORCH_FIELD:
        return ""
    if torch.version:
        return f"; the torch here is {torch.text}"
    return f"; {torch.text} may resolve to {context.torch_version}, the newest in the tables"


def _working_tags(gpu: GpuModel, target: TargetMachine, context: CheckContext) -> str:
    tags = tags_for(gpu.sm, target.driver, context.facts)
    python = context.preset.python_version
    offers = [f"{tag} up to torch {newest}" for tag in tags if (newest := newest_torch(tag, context.facts, python))]
    if offers:
        return f"what works on it with Python {python}: {join_words(offers[:3])}"
    if not tags:
        with_driver = " with this driver" if tags_for(gpu.sm, "", context.facts) else ""
        return f"no known wheels run on this GPU{with_driver}; use CPU builds or another GPU"
    return f"wheels with {join_words(tags)} run on it, but there are none for Python {python}"


def tags_for(sm: str, driver: str, facts: Facts) -> list[str]:
    """Wheel tags with code for an architecture that run with the driver (if known), newest first."""
    fitting = []
    for row in facts.wheel_tags.values():
        cuda = facts.cuda.get(row.cuda)
        if not row.cuda or not has_code_for(sm, row.sm, row.ptx):
            continue
        if driver and cuda and Version(driver) < Version(cuda.min_driver):
            continue
        fitting.append(row)
    return [row.key for row in sorted(fitting, key=lambda row: Version(row.cuda), reverse=True)]


def vram(context: CheckContext) -> list[Finding]:
    """Sum up what is known to need GPU memory: an estimate, not a measurement."""
    gpus = [gpu for gpu in context.target.gpus if gpu.vram_gib] if context.target else []
    if not gpus or not (context.cuda or context.package("onnxruntime-gpu")):
        return []
    least = min(gpus, key=lambda gpu: gpu.vram_gib or 0)
    memory = least.vram_gib or 0
    needs = [row for row in context.facts.vram.values() if not row.package or context.package(row.package)]
    if context.preset.tensorrt.enabled:
        needs += [row for row in context.facts.vram.values() if row.package == "tensorrt" and row not in needs]
    total = sum(row.gib for row in needs)
    tight = total > memory * _COMFORTABLE_SHARE
    # If everything fits into the smallest size, the size does not matter.
    findings = [_open_memory(gpu) for gpu in gpus if gpu.vram_choices and not gpu.aarch64 and (tight or gpu.note)]
    if tight:
        level = Finding.warning if total > memory else Finding.note
        parts = "; ".join(f"{row.gib:g} GiB: {row.what}" for row in needs)
        what = f"about {total:.1f} GiB are needed at once, and the GPU has {_sizes(least)}"
        remedy = "use smaller models or int8, or run the parts one after another"
        findings.append(level("vram", what, parts, remedy, "target", needs[-1].source))
    return findings


def _open_memory(gpu: GpuModel) -> Finding:
    what = f"{gpu.name} is sold with {_sizes(gpu)}: the check assumes {gpu.vram_gib:g} GiB"
    if gpu.note:
        return Finding.note("gpu-memory", what, gpu.note, "correct the name, or set `target.vram_gib`", "target.gpu")
    remedy = f'write it after the name, as in "{gpu.name} {gpu.vram_choices[-1]:g}GB", or set `target.vram_gib`'
    return Finding.note("gpu-memory", what, "the name does not say which", remedy, "target.gpu")


def _sizes(gpu: GpuModel) -> str:
    *others, last = (f"{gib:g}" for gib in gpu.vram_choices or (gpu.vram_gib or 0,))
    return f"{', '.join(others)} or {last} GiB" if others else f"{last} GiB"


_COMFORTABLE_SHARE = 0.8  # beyond this share of the memory, fragmentation and the desktop decide
