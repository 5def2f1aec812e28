"""The place of the service's jobs: the ledger's folder, their environment, and how their processes open it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.files import TEMPORARY_PREFIX
from core.inference.jobs.context import JobContext
from core.inference.jobs.kinds import KINDS, NICENESS, Kind
from core.inference.settings import PREFIX, ServiceSettings, read_settings
from core.operations import sql
from core.operations.database import read_rows
from core.operations.place import LEDGER_FILE, Place
from core.operations.queue import QueueRule
from core.redaction import set_secrets

CPU = "cpu"
GPU = "gpu:0"
LOG_BYTES = 16 << 20  # of one job
JOB_FOLDERS = ("index-*", "banks", "embeddings", "pictures")  # in the folder of inspections: only jobs write there


@dataclass(frozen=True)
class KindTable:
    """Kinds of jobs, and how their processes find them again."""

    kinds: Mapping[str, Kind]
    opener: str
    """`module:function` as in `Place.opener`."""


TABLE = KindTable(KINDS, f"{__name__}:open_job_place")


def job_kinds() -> Mapping[str, Kind]:
    """The kinds of jobs of this service."""
    return TABLE.kinds


def job_place(settings: ServiceSettings, device: str = CPU) -> Place:
    """The place of the jobs of a service with these settings. `device` is what a job that computes takes."""
    kinds = job_kinds()
    return Place(
        root=settings.data.absolute(),
        state=settings.jobs_folder.absolute(),
        env=job_environment(settings),
        kinds={name: kind.target for name, kind in kinds.items()},
        context=JobContext(settings),
        opener=TABLE.opener,
        log_limit=LOG_BYTES,
        keep=settings.jobs_keep,
        remove_leftovers=partial(_remove_leftovers, settings),
        remove_helpers=lambda: None,
        rules={name: _rule(kind, device) for name, kind in kinds.items()},
        keep_days=settings.jobs_days,
        network_remedy="set XAIVA_JOBS to a folder on a local disk; only the jobs' history is kept there",
        command="xaiva job",
    )


def open_job_place(root: str) -> Place:
    """The place of the service whose data lie in `root`, in the process of a job. Raises as `read_settings`."""
    return job_place(settings_of_process(root))


def settings_of_process(root: str) -> ServiceSettings:
    """The service's settings in the process of a job; secrets of its environment are hidden from then on."""
    set_secrets(os.environ)
    return read_settings(os.environ, Path(root))


def job_environment(settings: ServiceSettings) -> dict[str, str]:
    """The environment of the jobs: this process's, with variables that give the same settings."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.removeprefix(PREFIX).lower() not in ServiceSettings.model_fields or not name.startswith(PREFIX)
    }
    for name, field in ServiceSettings.model_fields.items():
        value = getattr(settings, name)
        if name != "data" and value is not None and value != field.default:
            shown = os.fspath(value.absolute()) if isinstance(value, Path) else str(value)
            environment[PREFIX + name.upper()] = shown
    return environment


def _remove_leftovers(settings: ServiceSettings, key: str) -> None:
    """Remove the temporary files of a killed job that held `key`.

    They do not tell whose they are, so they stay while another job runs; the next one that is killed or ends removes
    them.
    """
    ledger = settings.jobs_folder.absolute() / LEDGER_FILE
    tops = [top for pattern in JOB_FOLDERS for top in settings.inspection_folder.glob(pattern)]
    left = [path for top in tops for path in _temporary_paths(top)]
    # The list comes before this look, so what a job writes that starts after it is not in the list.
    if any(row["key"] != key for row in read_rows(ledger, sql.HELD, {})):
        return
    for path in left:
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _temporary_paths(top: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(top):
        for name in [*names, *files]:
            path = Path(folder, name)
            if name.startswith(TEMPORARY_PREFIX) and not path.is_symlink():
                yield path
        names[:] = [name for name in names if not name.startswith(TEMPORARY_PREFIX)]


def _rule(kind: Kind, device: str) -> QueueRule:
    return QueueRule(
        resources=(device,) if kind.computes else (),
        attempts=kind.attempts,
        silence=kind.silence,
        niceness=NICENESS,
    )
