"""Kind: what an image brings for GPUs and what its container is given are judged apart.

It applies to every way a GPU build comes into an image (a field, a layer, an extra, a lock) and to every machine that
a preset can be for.
"""

from __future__ import annotations

from typing import Any

import pytest

from core.findings import Level
from core.presets.compat import LockedPackage, Resolved, check, named_target
from core.presets.model import Preset

GPU = "RTX 3090"


def finding_texts(target: str = GPU, run: dict[str, Any] | None = None, **fields: Any) -> list[str]:
    """What the check says of the GPUs at run: what and why."""
    layers = [{"name": "own", "requirements": fields.pop("layer")}] if "layer" in fields else []
    given = {"base_image": "ubuntu:22.04", "python_version": "3.10", "run": run or {}, "layers": layers, **fields}
    resolved = given.pop("resolved", None)
    machine = named_target([target], "580.65.06") if target else None
    findings = [
        one for one in check(Preset.model_validate(given), machine, resolved=resolved) if one.code == "run-gpus"
    ]
    assert all(one.level is Level.WARNING and one.remedy and one.where == "run.gpus" for one in findings)
    return [f"{one.what}: {one.why}" for one in findings]


NEEDS: dict[str, tuple[dict[str, Any], str]] = {
    "pytorch-field": ({"pytorch": {"version": "2.8.0+cu128"}}, "torch"),
    "torch-of-a-layer": ({"layer": ["torch==2.8.0+cu128"]}, "torch"),
    "torch-by-a-companion": ({"layer": ["torchvision==0.23.0"]}, "torch"),
    "onnxruntime-gpu": ({"layer": ["onnxruntime-gpu==1.20.1"]}, "onnxruntime-gpu"),
    "cupy": ({"layer": ["cupy-cuda12x==13.3.0"]}, "cupy"),
    "jax": ({"layer": ["jax[cuda12]==0.5.0"]}, "jax"),
    "tensorrt-wheel": ({"layer": ["tensorrt-cu12==10.7.0"]}, "tensorrt"),
    "tensorrt-plain": ({"layer": ["tensorrt==10.7.0"]}, "tensorrt"),
    "faiss-gpu": ({"layer": ["faiss-gpu==1.7.2"]}, "faiss-gpu"),
    "paddle": ({"layer": ["paddlepaddle-gpu==2.6.2"]}, "paddlepaddle-gpu"),
    "tensorflow": ({"layer": ["tensorflow==2.15.1"]}, "tensorflow"),
    "rapids": ({"layer": ["cuml-cu12==25.2.0"]}, "cuml"),
    "torch-older-than-the-tables": ({"layer": ["torch==1.13.1+cu117"]}, "torch"),
    "extra-without-a-number": ({"layer": ["jax[cuda]==0.4.30"]}, "jax"),
    "kernels-for-torch": ({"layer": ["flash-attn==2.5.8"]}, "flash-attn"),
    "runtime-of-tensorrt": ({"layer": ["tensorrt_lean==10.7.0"]}, "tensorrt_lean"),
    "spelled-otherwise": ({"layer": ["OnnxRuntime_GPU==1.20.1"]}, "OnnxRuntime_GPU"),
    "field-of-tensorrt": ({"tensorrt": {"enabled": True, "version": "10.7.0"}}, "TensorRT"),
    "brought-along": (
        {"layer": ["speech==1"], "resolved": Resolved((LockedPackage("onnxruntime-gpu", "1.20.1", "own"),))},
        "onnxruntime-gpu",
    ),
    "many": ({"layer": ["onnxruntime-gpu==1.20.1", "cupy-cuda12x", "faiss-gpu", "cuml-cu12", "tensorrt"]}, "2 more"),
    "said-to-be-none": ({"layer": ["cupy-cuda12x"], "run": {"gpus": "none"}}, "'none'"),
}


@pytest.mark.parametrize("case", NEEDS)
def test_a_gpu_build_without_a_gpu_is_a_finding(case: str) -> None:
    fields, words = NEEDS[case]
    (findings,) = finding_texts(**fields)
    assert words in findings
    assert "RTX 3090" in findings


FINE: dict[str, dict[str, Any]] = {
    "all-of-them": {"layer": ["torch==2.8.0+cu128"], "run": {"gpus": "all"}},
    "one-of-them": {"layer": ["torch==2.8.0+cu128"], "run": {"gpus": "0"}},
    "torch-for-the-cpu": {"pytorch": {"version": "2.8.0+cpu"}},
    "onnxruntime-for-the-cpu": {"layer": ["onnxruntime==1.20.1"]},
    "tensorflow-for-the-cpu": {"layer": ["tensorflow-cpu==2.15.1"]},
    "another-platform": {"layer": ["onnxruntime-gpu==1.20.1; sys_platform=='win32'"]},
    "torch-of-amd": {"layer": ["torch==2.8.0+rocm6.3"]},
    "extra-of-another-machine": {"layer": ["jax[tpu]==0.4.30"]},
    "by-its-id": {"layer": ["cupy-cuda12x"], "run": {"gpus": "GPU-8e1b2c3d"}},
    "no-packages": {},
    "no-machine": {"layer": ["torch==2.8.0+cu128"], "target": ""},
    "pins-alone": {"pins": ["onnxruntime-gpu==1.20.1"], "resolved": Resolved()},
}


@pytest.mark.parametrize("case", FINE)
def test_what_goes_together_is_no_finding(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.presets.compat.checking.host_target", lambda _: None)  # whatever runs the tests
    assert finding_texts(**FINE[case]) == []
