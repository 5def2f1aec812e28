"""From a decision to its end: event, snapshot, facts, analysis, flow, people told."""

from core.inference.incidents.aftercare import Aftercare
from core.inference.incidents.incidents import Incidents

__all__ = ["Aftercare", "Incidents"]
