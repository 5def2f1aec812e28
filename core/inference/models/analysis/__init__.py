"""The analyser: a language model describes an event, through one protocol."""

from core.inference.models.analysis.analyser import Analyser, AnalyserBusy, AnalyserDown
from core.inference.models.analysis.answer import BadAnswer, Verdict
from core.inference.models.analysis.backends import create_analyser
from core.inference.models.analysis.language_model import LanguageModel, Prompt
from core.inference.models.analysis.prompts import EVENT_TYPES, Question

__all__ = [
    "EVENT_TYPES",
    "Analyser",
    "AnalyserBusy",
    "AnalyserDown",
    "BadAnswer",
    "LanguageModel",
    "Prompt",
    "Question",
    "Verdict",
    "create_analyser",
]
