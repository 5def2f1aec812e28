"""The kinds of jobs that the service knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of job."""

    target: str
    """`module:function`, called in a worker as `run(context: JobContext, subject, options, progress)`."""
    about: str
    subjects: str
    """What its subject may be, in words."""
    computes: bool = True
    """Whether it takes the device for itself: `gpu:0` where models run on a GPU, else `cpu`."""
    attempts: int = 3
    """How often it is started before a failure that may pass is final."""
    silence: float = 300.0
    """Seconds without any report after which the job is killed."""


KINDS: dict[str, Kind] = {
    "index": Kind(
        "core.inference.inspection.index_job:run", "Rebuild an index of embeddings from the storage", "normal or defect"
    ),
    "banks": Kind(
        "core.inference.inspection.bank_job:run",
        "Rebuild memory banks from the normal pictures in the storage",
        "a product, or empty for all of them",
    ),
    "rollback": Kind(
        "core.inference.inspection.rollback_job:run",
        "Publish the generation before the current one again",
        "index:normal, index:defect or bank:PRODUCT",
        computes=False,
    ),
}
