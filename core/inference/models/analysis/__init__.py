"""The analyser: a language model describes an event, through one protocol."""

from core.inference.models.analysis.analyser import Analyser, AnalyserBusy, AnalyserDown
from core.inference.models.analysis.answer import BadAnswer, Verdict
from core.inference.models.analysis.backends import analyser_of
from core.inference.models.analysis.language import LanguageModel, Prompt
from core.inference.models.analysis.question import TYPES, Question

__all__ = [
    "TYPES",
    "Analyser",
    "AnalyserBusy",
    "AnalyserDown",
    "BadAnswer",
    "LanguageModel",
    "Prompt",
    "Question",
    "Verdict",
    "analyser_of",
]
