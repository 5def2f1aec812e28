"""What ONNX models run on: the table, the trial run, and ONNX Runtime's words in ours."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from core.errors import XaivaError
from core.inference.models import execution_providers
from core.inference.models.execution_providers import (
    CPU,
    CUDA,
    TENSORRT,
    ExecutionProvider,
    provider_obstacle,
    select_provider,
)
from core.inference.models.features import NETWORK
from core.inference.models.onnx_engine import OnnxEngine, Tensor
from core.telemetry.gpus import Gpu
from tests.support.fake_nvml import FakeNvml

ALL = [TENSORRT, CUDA, CPU]
GTX_1060 = Gpu(index=0, name="GTX 1060", compute_capability="6.1")
TITAN_X = Gpu(index=0, name="TITAN X", compute_capability="5.2")
T4 = Gpu(index=0, name="T4", compute_capability="7.5")
CPU_ONLY = ExecutionProvider("cpu", (CPU,))


@pytest.fixture(autouse=True)
def _not_chosen_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_providers, "_SELECTED", {})


@pytest.mark.parametrize(
    ("name", "gpu", "version", "cuda", "expected"),
    [
        ("cuda", GTX_1060, (1, 31), 13, "compute capability 6.1, this onnxruntime 1.31 for CUDA 13 needs 7.5; "),
        ("cuda", GTX_1060, (1, 26), 12, ""),
        ("cuda", GTX_1060, (1, 22), 12, ""),
        ("cuda", GTX_1060, (1, 18), 11, ""),
        ("cuda", TITAN_X, (1, 20), 12, ""),
        ("cuda", TITAN_X, (1, 22), 12, "needs 6.0"),
        ("cuda", T4, (1, 31), 13, ""),
        ("tensorrt", GTX_1060, (1, 26), 12, "TensorRT needs 7.5; cuda works on this GPU"),
        ("tensorrt", T4, (1, 31), 13, ""),
        ("cuda", None, (1, 31), 13, "there is no GPU"),
    ],
)  # fmt: skip
def test_the_table(name: str, gpu: Gpu | None, version: tuple[int, int], cuda: int, expected: str) -> None:
    reason = provider_obstacle(name, gpu, ALL, version, cuda)
    assert expected in reason
    assert bool(reason) == bool(expected)


def test_the_remedy_for_an_old_gpu_is_named() -> None:
    assert "onnxruntime-gpu>=1.22,<1.27 on CUDA 12" in provider_obstacle("cuda", GTX_1060, ALL, (1, 31), 13)


def test_a_build_without_cuda_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU, but the ONNX Runtime for CPUs: the sentence, not an import error."""
    for name, value in FakeNvml(tmp_path, "gpu gtx1060").env.items():
        monkeypatch.setenv(name, value)
    choice = select_provider()
    assert (choice.name, choice.providers, choice.on_gpu) == ("cpu", (CPU,), False)
    assert "comes without cuda; lock the image with onnxruntime-gpu" in choice.why
    with pytest.raises(XaivaError, match="comes without tensorrt"):
        select_provider("tensorrt")


def test_a_build_that_promises_too_much_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table knows nothing against it, the trial run does: the libraries of CUDA are not there."""
    import onnxruntime

    for name, value in FakeNvml(tmp_path, "gpu rtx4090").env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    with pytest.warns(UserWarning, match="not in available provider names"):
        choice = select_provider()
    assert choice.name == "cpu"
    assert "could not load cuda" in choice.why


def test_no_gpu_is_the_cpu_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert select_provider().name == "cpu"
    assert select_provider("cpu") == CPU_ONLY
    assert not caplog.records


def test_the_engine_runs_a_model(tmp_path: Path) -> None:
    path = tmp_path / "conv.onnx"
    path.write_bytes(execution_providers._PROBE_MODEL)
    engine = OnnxEngine(path, CPU_ONLY)
    with pytest.raises(RuntimeError, match="not loaded"):
        engine.run({})
    engine.load()
    assert engine.provider == "cpu"
    assert engine.inputs == [Tensor("x", (1, 1, 8, 8), "tensor(float)")]
    assert engine.outputs == [Tensor("y", (1, 1, 6, 6), "tensor(float)")]
    (out,) = engine.run({"x": np.ones((1, 1, 8, 8), np.float32)})
    assert np.array_equal(out, np.full((1, 1, 6, 6), 9, np.float32))
    with pytest.raises(XaivaError, match="its input does not fit"):
        engine.run({"x": np.ones((1, 1, 9, 9), np.float32)})
    engine.close()


def test_what_tensorrt_prepares_is_kept_in_the_given_folder_and_one_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path,
) -> None:
    """This build falls back to the CPU and says so: that is after the folder was wanted."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "data" / "tensorrt", tmp_path / "file" / "tensorrt"):
        engine = OnnxEngine(NETWORK, ExecutionProvider("tensorrt", (TENSORRT, CPU), engine_cache=folder))
        with pytest.warns(UserWarning, match="not in available provider"), pytest.raises(XaivaError, match="fell back"):
            engine.load()
    assert (tmp_path / "data" / "tensorrt").is_dir()


@pytest.mark.parametrize("cores", [1, 2])
def test_a_batch_gives_what_each_of_it_gives_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    """On one core together, on more beside each other; the model takes any number."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    engine = OnnxEngine(NETWORK, CPU_ONLY)
    others = set(threading.enumerate())
    engine.load()
    pictures = np.random.default_rng(1).integers(0, 255, (5, 224, 384, 3), np.uint8)
    (together,) = engine.run_batch({"picture": pictures})
    alone = [engine.run({"picture": pictures[at : at + 1]})[0][0] for at in range(5)]
    assert np.allclose(together, alone, atol=1e-4)
    with pytest.raises(XaivaError, match="its input does not fit"):
        engine.run_batch({"picture": pictures[:, :100]})
    own = [thread for thread in threading.enumerate() if thread not in others]
    assert len(own) == (2 if cores > 1 else 0)
    engine.close()
    assert not any(thread.is_alive() for thread in own)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "there is no such file"), (b"this is no model", "it is not a valid ONNX model"), (b"", "it is empty")],
)
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(XaivaError, match=expected) as caught:
        OnnxEngine(path, CPU_ONLY).load()
    assert str(path) in caught.value.what
    assert caught.value.remedy
