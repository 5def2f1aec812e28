"""Creates the analyser that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import InputError
from core.inference.models.analysis.analyser import Analyser
from core.inference.models.analysis.demo import DECLARED, DemoModel
from core.inference.models.analysis.language import LanguageModel
from core.inference.models.analysis.openai import OpenAiModel
from core.inference.resources.pool import Lease, ModelSpec, ResourcePool
from core.inference.settings import ServiceSettings

KEY = "analyser"  # in the pool: there is one


def analyser_of(settings: ServiceSettings, pool: ResourcePool) -> Analyser:
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
        spec = ModelSpec(make=lambda: DemoModel(settings.models / settings.analyser_model), declared=DECLARED)
    lease: Callable[[], Lease[LanguageModel]] = lambda: pool.lease(KEY, spec)  # noqa: E731
    return Analyser(lease, backend=settings.analyser, seconds=settings.analyser_timeout)
