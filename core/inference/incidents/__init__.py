"""The event pipeline, from decision to end: event, snapshot, facts, analysis, flow, notifications."""

from core.inference.incidents.aftercare import Aftercare
from core.inference.incidents.incidents import Incidents

__all__ = ["Aftercare", "Incidents"]
