"""Suggests the newest combinations that work with a GPU and a driver, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import Version

from core.errors import InputError, XaivaError
from core.findings import has_errors
from core.presets.compat.checking import evaluate, site_facts
from core.presets.compat.checks.driver import last_branch
from core.presets.compat.checks.gpu import tags_for
from core.presets.compat.checks.media import newest_headers
from core.presets.compat.checks.onnxruntime import onnxruntime_range
from core.presets.compat.checks.torch import newest_torch
from core.presets.compat.facts import Facts
from core.presets.compat.gpu_names import GpuModel, explain_platform, explain_unknown, find_gpu
from core.presets.compat.machine import TargetMachine, driver_cuda, has_code_for, sm_at_least
from core.presets.compat.rows import BaseImageRow, TensorRTRow
from core.presets.compat.service_layer import ON_CPU, engine_choices
from core.presets.model import BuildOptions, Layer, Metadata, Preset, PyTorch, Run, Target, TensorRT
from core.site import Site


@dataclass(frozen=True)
class Suggestion:
    """One combination. `tensorrt`, `nv_codec_headers` and `onnxruntime` are empty if none works.

    `preset` has this combination and is ready to be saved and extended.
    """

    torch: str
    torchvision: str
    torchaudio: str
    python: str
    base_image: str
    tensorrt: str
    nv_codec_headers: str
    onnxruntime: str
    reasons: list[str]
    preset: Preset


def suggest(target: TargetMachine, *, site: Site | None = None, limit: int = 3) -> list[Suggestion]:
    """The newest working combinations for a machine, newest torch first. With several GPUs, they run on all of them.

    Raises XaivaError when no known wheels run on the machine, InputError when that cannot be decided: without a GPU,
    with an unknown one, or with an Arm processor.
    """
    facts = site_facts(site)
    gpus = target.gpus
    if not gpus:
        raise InputError("Nothing to suggest", "no GPU is named", 'name one, for example "GTX 1060"')
    for gpu in gpus:
        if gpu.aarch64 or not gpu.sm:
            raise InputError(*(explain_platform(gpu) if gpu.aarch64 else explain_unknown(gpu, facts)))
    oldest = min(gpus, key=lambda gpu: Version(gpu.sm))
    tags = [tag for tag in tags_for(oldest.sm, target.driver, facts) if _runs_on_all(tag, gpus, facts)]
    suggestions = [_first_that_works(tag, target, oldest, facts) for tag in tags]
    if not any(suggestions):
        why = f"no PyTorch wheels in the tables run on {target}"
        raise XaivaError("Nothing to suggest", why, _other_ways(target, oldest, facts))
    return sorted((suggestion for suggestion in suggestions if suggestion), key=_newness, reverse=True)[:limit]


def _other_ways(target: TargetMachine, oldest: GpuModel, facts: Facts) -> str:
    """What to do when nothing works, by the cause that the tables show."""
    branch = last_branch(oldest)
    if branch and target.driver and Version(target.driver).major > branch and tags_for(oldest.sm, "", facts):
        return f"install a driver of branch {branch}: it is the last for {oldest}"
    if any(_runs_on_all(tag, target.gpus, facts) for tag in tags_for(oldest.sm, "", facts)):
        return "install a newer driver; or use CPU builds"
    if all(tags_for(gpu.sm, target.driver, facts) for gpu in target.gpus):
        return "make a preset for each GPU: no wheels contain code for all of them"
    return "use CPU builds or another GPU"


def _first_that_works(tag: str, target: TargetMachine, oldest: GpuModel, facts: Facts) -> Suggestion | None:
    """The combination of a tag with the best base image on which it works."""
    suggestions = (_combine(tag, image, target, oldest, facts) for image in _base_images(tag, facts))
    return next((suggestion for suggestion in suggestions if suggestion and _works(suggestion, target, facts)), None)


def _works(suggestion: Suggestion, target: TargetMachine, facts: Facts) -> bool:
    """Whether there are no errors and the container will surely start."""
    layers = [(layer.name, layer.requirements) for layer in suggestion.preset.layers]
    findings = evaluate(suggestion.preset, layers, target, facts)
    return not has_errors(findings) and all(finding.code != "require-cuda" for finding in findings)


def _newness(suggestion: Suggestion) -> tuple[Version, str]:
    release, _, tag = suggestion.torch.partition("+")
    return Version(release), tag


def _runs_on_all(tag: str, gpus: Sequence[GpuModel], facts: Facts) -> bool:
    row = facts.wheel_tags[tag]
    return all(has_code_for(gpu.sm, row.sm, row.ptx) for gpu in gpus)


def _base_images(tag: str, facts: Facts) -> list[BaseImageRow]:
    """Base images to try, best first: those with the tag's CUDA and no compilers, then plain ones, by newest Python."""
    cuda = facts.wheel_tags[tag].cuda
    matching = [row for row in facts.base_images.values() if f"cuda:{cuda}" in row.key and "-base-" in row.key]
    without_cuda = [row for row in facts.base_images.values() if "cuda" not in row.key]
    return [*sorted(matching, key=_newest_python), *sorted(without_cuda, key=_newest_python)]


def _newest_python(row: BaseImageRow) -> tuple[int, ...]:
    return tuple(-part for part in Version(row.python).release)


def _combine(tag: str, image: BaseImageRow, target: TargetMachine, oldest: GpuModel, facts: Facts) -> Suggestion | None:
    release = newest_torch(tag, facts, image.python)
    if not release:
        return None
    pair = facts.pair(release)
    trt = _newest_tensorrt(facts.wheel_tags[tag].cuda, image.python, oldest.sm, facts)
    headers = newest_headers(target.driver, facts) if all(gpu.nvenc for gpu in target.gpus) else ""
    onnx = onnxruntime_range(oldest.sm, facts.wheel_tags[tag].cuda.partition(".")[0], facts, image.python)
    preset = Preset(
        metadata=Metadata(description=f"Suggested for {target}"),
        base_image=image.key,
        python_version=image.python,
        pytorch=PyTorch(version=f"{release}+{tag}", components=["torch", "torchvision"]),
        tensorrt=TensorRT(enabled=bool(trt), version=trt.newest if trt else ""),
        build_options=BuildOptions(nv_codec_headers_version=headers),
        target=_target(target, oldest, facts),
        run=Run(gpus="all"),
    )
    preset = _with_engine(preset, onnx, target, facts)
    return Suggestion(
        torch=f"{release}+{tag}",
        torchvision=pair.torchvision if pair else "",
        torchaudio=pair.torchaudio if pair else "",
        python=image.python,
        base_image=image.key,
        tensorrt=trt.newest if trt else "",
        nv_codec_headers=headers,
        onnxruntime=onnx,
        reasons=_reasons(tag, image, target, oldest, facts, trt),
        preset=preset,
    )


def _target(machine: TargetMachine, oldest: GpuModel, facts: Facts) -> Target:
    """The machine for a preset: by architecture if the tables lack the name that its driver reports."""
    name_is_known = find_gpu(oldest.name, facts).sm == oldest.sm
    name = oldest.name if name_is_known else f"sm_{oldest.sm.replace('.', '')}"
    open_memory = any(gpu.vram_choices for gpu in machine.gpus)
    return Target(gpu=name, driver=machine.driver, vram_gib=None if open_memory else machine.vram_gib)


def _with_engine(preset: Preset, onnx: str, target: TargetMachine, facts: Facts) -> Preset:
    """The preset with its own ONNX Runtime if the one that the lock would choose does not run on the GPU."""
    service = engine_choices(preset, [], facts)[0]
    if not has_errors(evaluate(preset, [("service", service)], target, facts)):
        return preset
    return preset.model_copy(update={"layers": [Layer(name="onnx", requirements=[onnx or ON_CPU])]})


def _newest_tensorrt(cuda: str, python: str, sm: str, facts: Facts) -> TensorRTRow | None:
    fitting = [
        row
        for row in facts.tensorrt.values()
        if python in row.python
        and sm_at_least(sm, row.min_sm)
        and any(cuda_build.split(".")[0] == cuda.split(".")[0] for cuda_build in row.cuda)
    ]
    return fitting[-1] if fitting else None


def _reasons(
    tag: str, image: BaseImageRow, target: TargetMachine, gpu: GpuModel, facts: Facts, trt: TensorRTRow | None
) -> list[str]:
    row = facts.wheel_tags[tag]
    reasons = [f"{tag} wheels contain code for {gpu}: {', '.join(row.sm)}"]
    cuda = facts.cuda.get(row.cuda)
    if cuda and target.driver:
        full = Version(target.driver) >= Version(cuda.native_driver)
        how = "in full" if full else f"by minor-version compatibility (in full from {cuda.native_driver})"
        reasons.append(f"driver {target.driver} runs CUDA {row.cuda} {how}")
    if "cuda" not in image.key and target.driver:
        knows = driver_cuda(target.driver, facts) or "less"
        why = f"nvidia/cuda images for {row.cuda} may refuse a driver that supports CUDA {knows}"
        reasons.append(f"{image.key} as base: {why}; the wheels bring their own CUDA")
    reasons.append(f"Python {image.python} comes with {image.os}")
    if trt is None:
        reasons.append(f"no TensorRT for sm_{gpu.sm.replace('.', '')} with CUDA {row.cuda} and Python {image.python}")
    if any(gpu.nvenc is False for gpu in target.gpus):
        reasons.append("no NVENC on this GPU: encode on the CPU")
    return reasons
