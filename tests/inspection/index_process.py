"""A process that rebuilds an index until it is killed or done."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

from core.inference.inspection import index_job
from core.inference.jobs.context import JobContext
from core.inference.settings import ServiceSettings
from core.progress import NullProgress


def rebuild(data: Path, models: Path, encoder: str, ready: Connection) -> None:
    """The main function of the process. It says on `ready` that it begins."""
    settings = ServiceSettings(data=data, models=models, encoder=encoder, onnx_provider="cpu")
    ready.send_bytes(b"ready")
    index_job.run(JobContext(settings), "normal", {}, NullProgress())
