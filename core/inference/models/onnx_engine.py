"""Runs a model file with ONNX Runtime: one session, used by one thread at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.content import find_wrong_content
from core.errors import XaivaError
from core.inference.models.execution_providers import CUDA, TENSORRT, ExecutionProvider, runtime, select_provider

logger = logging.getLogger(__name__)

MAX_THREADS = 4  # for each model: the cameras' decoders need the other cores
MAX_GPU_ARENA_BYTES = 2 << 30  # for a session's arena: enough for a large backbone, a third of a 6 GB card

# Words in ONNX Runtime's messages → cause and remedy.
_ERROR_MEANINGS = (
    (("Failed to allocate memory", "out of memory", "BFCArena"), "there is not enough memory", "use a smaller model"),
    (
        ("no kernel image",),
        "it has no code for this GPU",
        "set XAIVA_ONNX_PROVIDER=cpu, or lock onnxruntime-gpu>=1.22,<1.27",
    ),
    (("NO_SUCHFILE",), "there is no such file", "put it into the models folder"),
    (
        ("INVALID_PROTOBUF", "INVALID_GRAPH", "No graph"),
        "it is not a valid ONNX model",
        "export it again, and compare its SHA-256",
    ),
    (("NOT_IMPLEMENTED",), "it uses an operator that this ONNX Runtime lacks", "export it for an older opset"),
    (("INVALID_ARGUMENT",), "its input does not fit", "compare the declared input with the model's"),
)


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model."""

    name: str
    shape: tuple[int | str | None, ...]  # numbers, or names for free sizes
    type: str


class OnnxEngine:
    """A model file that is loaded once and then run.

    The constructor selects the execution provider once for the process, so that the CUDA context is not measured as
    memory of the first model. Every method raises XaivaError for faults that a user can correct.
    """

    def __init__(
        self, path: Path, provider: ExecutionProvider | None = None, *, gpu_limit: int = MAX_GPU_ARENA_BYTES
    ) -> None:
        self.path = path
        self._execution_provider = provider or select_provider()
        self._gpu_limit = gpu_limit
        self._session: Any = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    def provider(self) -> str:
        """What it runs on: cpu, cuda or tensorrt."""
        return self._execution_provider.name

    @property
    def inputs(self) -> list[Tensor]:
        """The inputs of the loaded model."""
        return [_tensor(one) for one in self._loaded.get_inputs()]

    @property
    def outputs(self) -> list[Tensor]:
        """What the loaded model gives."""
        return [_tensor(one) for one in self._loaded.get_outputs()]

    def load(self) -> None:
        """Read the file and create the session. Call `run` with the largest batch next, so that all memory is taken."""
        onnxruntime = runtime()
        providers = [(name, self._options(name)) for name in self._execution_provider.providers]
        with _explain_errors(self.path):
            self._session = onnxruntime.InferenceSession(str(self.path), _session_options(onnxruntime), providers)
        if self._session.get_providers()[0] != self._execution_provider.providers[0]:
            why = f"ONNX Runtime fell back from {self.provider} to the CPU"
            self.close()
            raise XaivaError(f"Model {self.path.name}", why, "see the service's log, or set XAIVA_ONNX_PROVIDER=cpu")
        counts = [tensor.shape[0] for tensor in self.inputs if tensor.shape]
        fixed = any(isinstance(count, int) and count > 1 for count in counts)
        if not self._execution_provider.on_gpu and not fixed and threads() > 1:
            self._threads = ThreadPoolExecutor(threads(), thread_name_prefix=f"run-{self.path.stem}")

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs (by default all) for input arrays by name."""
        session = self._loaded
        with _explain_errors(self.path):
            arrays: list[NDArray[Any]] = session.run(outputs, dict(inputs))
        return arrays

    def run_batch(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """As `run`, for inputs and outputs whose first axis counts independent items.

        A GPU, or a model with a fixed number of items, computes them together. On a CPU they are computed in parallel,
        one a thread: together, each layer would wait for the slowest thread, and activations would outgrow the caches.
        """
        items = len(next(iter(inputs.values())))
        if self._threads is None or items == 1:
            return self.run(inputs, outputs)
        single_inputs = ({name: array[at : at + 1] for name, array in inputs.items()} for at in range(items))
        results = list(self._threads.map(lambda one: self.run(one, outputs), single_inputs))
        return [np.concatenate([np.atleast_1d(one) for one in column]) for column in zip(*results, strict=True)]

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()
        self._session = self._threads = None

    @property
    def _loaded(self) -> Any:
        if self._session is None:
            raise RuntimeError(f"{self.path} is not loaded")
        return self._session

    def _options(self, provider: str) -> dict[str, str]:
        if provider == CUDA:
            return {
                "device_id": "0",
                "gpu_mem_limit": str(self._gpu_limit),
                "arena_extend_strategy": "kSameAsRequested",  # the default doubles: up to twice the memory it needs
                "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE takes workspace for every candidate
            }
        if provider == TENSORRT:
            return {
                "device_id": "0",
                "trt_max_workspace_size": str(self._gpu_limit // 2),
                **_engine_cache_options(self._execution_provider.engine_cache),
            }
        return {}


def _engine_cache_options(folder: Path | None) -> dict[str, str]:
    """Options that cache prepared engines in `folder`, because preparing one takes minutes."""
    if folder is None:
        return {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        logger.warning("TensorRT prepares its models at each start: %s", error)
        return {}
    return {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}


def threads() -> int:
    """The number of threads of a model on the CPU."""
    return min(MAX_THREADS, len(os.sched_getaffinity(0)))


def _session_options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; its warnings are about its own optimiser
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the cores belong to the decoders
    return options


def _tensor(declaration: Any) -> Tensor:
    return Tensor(declaration.name, tuple(declaration.shape), declaration.type)


class _explain_errors:
    """A context that turns ONNX Runtime's exceptions into XaivaErrors about the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            if os.access(self._path, os.R_OK) and self._path.is_file() and (stand_in := find_wrong_content(self._path)):
                raise XaivaError(f"Model {self._path}", stand_in.description, stand_in.remedy()) from error
            text = str(error)
            meaning = next((row for row in _ERROR_MEANINGS if any(word in text for word in row[0])), None)
            why, remedy = (meaning[1], meaning[2]) if meaning else (text, "see the service's log for details")
            detail = text.rpartition("failed:")[2].strip() or text
            raise XaivaError(f"Model {self._path}", f"{why} ({' '.join(detail.split())[:300]})", remedy) from error
