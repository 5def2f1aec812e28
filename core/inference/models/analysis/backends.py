"""Creates the analyser that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import InputError
from core.inference.model_pool.pool import Lease, ModelPool, ModelSpec
from core.inference.models.analysis.analyser import Analyser
from core.inference.models.analysis.demo_model import DECLARED_BYTES, DemoModel
from core.inference.models.analysis.language_model import LanguageModel
from core.inference.models.analysis.openai_model import OpenAiModel
from core.inference.settings import ServiceSettings

ANALYSER_KEY = "analyser"  # in the pool: there is one


def create_analyser(settings: ServiceSettings, pool: ModelPool) -> Analyser:
    """The analyser, not started. Raises InputError for settings that cannot work."""
    if settings.analyser == "off":
        return Analyser(None)
    spec: ModelSpec[LanguageModel]
    if settings.analyser == "openai":
        remote = OpenAiModel(settings.analyser_url, settings.analyser_model, settings.analyser_key)
        spec = ModelSpec(make=lambda: remote, declared=0)
    else:
        if not settings.analyser_model:
            remedy = "name a GGUF file under the models folder"
            raise InputError("XAIVA_ANALYSER_MODEL", "it is not set, and XAIVA_ANALYSER is demo", remedy)
        spec = ModelSpec(make=lambda: DemoModel(settings.models / settings.analyser_model), declared=DECLARED_BYTES)
    lease: Callable[[], Lease[LanguageModel]] = lambda: pool.lease(ANALYSER_KEY, spec)  # noqa: E731
    return Analyser(lease, backend=settings.analyser, seconds=settings.analyser_timeout)
