"""Creates the analyser that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from core.errors import InputError
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.inference.models.analysis.analyser import Analyser
from core.inference.models.analysis.demo_model import DECLARED_BYTES, DemoModel
from core.inference.models.analysis.language_model import LanguageModel
from core.inference.models.analysis.openai_model import OpenAiModel
from core.inference.settings import ServiceSettings

ANALYSER_KEY = "analyser"  # of the demo's model in the pool


def create_analyser(settings: ServiceSettings, pool: ModelPool) -> Analyser:
    """The analyser, not started. Raises InputError for settings that cannot work."""
    if settings.analyser == "off":
        return Analyser(None)
    if settings.analyser == "openai":  # its model takes no memory here, so it is not in the pool
        remote = OpenAiModel(settings.analyser_url, settings.analyser_model, settings.analyser_key)
        return Analyser(lambda: nullcontext(remote), backend=settings.analyser, seconds=settings.analyser_timeout)
    if not settings.analyser_model:
        remedy = "set it to a GGUF file in the models folder"
        raise InputError("XAIVA_ANALYSER_MODEL", "it is not set, and XAIVA_ANALYSER is demo", remedy)
    spec = ModelSpec(make=lambda: DemoModel(settings.models / settings.analyser_model), declared=DECLARED_BYTES)

    @contextmanager
    def leased() -> Iterator[LanguageModel]:
        with pool.lease(ANALYSER_KEY, spec) as lease:
            yield lease.model

    return Analyser(leased, backend=settings.analyser, seconds=settings.analyser_timeout)
