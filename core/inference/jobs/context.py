"""What a job's function gets besides its subject and options: the service's settings."""

from __future__ import annotations

from dataclasses import dataclass

from core.inference.settings import ServiceSettings


@dataclass(frozen=True)
class JobContext:
    """The first argument of every job function `run(context, subject, options, progress)`."""

    settings: ServiceSettings
