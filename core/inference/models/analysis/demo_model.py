"""The demo analyser: a small language model in this process that describes a detector's facts. It sees no picture."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from core.errors import InputError, XaivaError
from core.inference.models.analysis.language_model import Prompt
from core.inference.models.analysis.openai_model import chat_messages, response_format

CONTEXT_TOKENS = 2048  # facts and examples need a quarter of it
CORES_A_THREAD = 4  # llama.cpp's threads spin while they wait: beside busy cameras a single one is the fastest
DECLARED_BYTES = 600 << 20  # a small quantised model with its context
_MODEL_NAME = "The demonstration's model"


class DemoModel:
    """A GGUF file run by llama.cpp through the package xllamacpp (extra `analyser`).

    An answer under way cannot be interrupted; only its maximum length limits it.
    """

    sees = False

    def __init__(self, path: Path) -> None:
        self.name = f"demo:{path.stem} (facts only, no picture)"
        self._path = path
        self._server: Any = None

    def load(self) -> None:
        """Load the file. Raises InputError when file or package are missing, XaivaError when llama.cpp refuses it."""
        if not self._path.is_file():
            why = "there is no such file"
            raise InputError(f"XAIVA_ANALYSER_MODEL {self._path}", why, "give a GGUF file in the models folder")
        self._server = _start_server(self._path)

    def complete(self, prompt: Prompt, seconds: float) -> str:  # noqa: ARG002 - cannot be interrupted
        """Ask the model, without the picture. Raises XaivaError."""
        body = {
            "messages": chat_messages(prompt),
            "temperature": 0,
            "max_tokens": prompt.max_tokens,
            "response_format": response_format(prompt),
        }
        try:
            answer = self._server.handle_chat_completions(body)
            return str(answer["choices"][0]["message"]["content"])
        except Exception as error:  # the binding raises what C++ throws
            why = f"it gave no answer: {type(error).__name__}: {error}"
            raise XaivaError(_MODEL_NAME, why, "use another GGUF file") from error

    def close(self) -> None:
        self._server = None


def _start_server(path: Path) -> Any:
    try:
        import xllamacpp
    except ImportError:
        remedy = "put it into a layer of the preset (outside images: install the extra `analyser`)"
        raise InputError("XAIVA_ANALYSER=demo", "the package xllamacpp is not installed", remedy) from None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    threads = max(1, (os.cpu_count() or 1) // CORES_A_THREAD)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = 0
    parameters.ui = False
    parameters.api_keys = [secrets.token_hex()]  # the binding also listens on a loopback port, which nobody may use
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise XaivaError(f"{path}", "llama.cpp cannot load it", "check that the GGUF file is complete") from error
