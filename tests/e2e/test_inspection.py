"""Visual inspection as a site uses it: pictures in a storage, indexes and memory banks, inspections, corrections.

Then everything that may happen to its jobs at the worst moment: asked for 50 times at once, cancelled, and killed
together with the service.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from core.api_schema import Correction, Job, JobRequest, JobState, Verdict
from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX
from core.inference.jobs.place import job_place
from core.inference.jobs.reservation_files import reservations_folder
from core.inference.settings import ServiceSettings
from core.operations.ledger import Ledger
from core.service_client import ServiceClient
from tests.inspection.pictures import jpeg, part, put, scratched
from tests.support import until
from tests.support.gate import Gate
from tests.support.object_storage import ENVIRONMENT, rclone_s3
from tests.support.service import ServiceProcess

BUCKET = "parts"
PRODUCTS = ("bolt", "나사")
NORMALS, DEFECTS = 12, 3
SIZE = (240, 180)
END_SECONDS = 90.0  # of a job, on a machine that may be busy


def stained(image: Image.Image, number: int = 0) -> Image.Image:
    """The picture with a dark stain."""
    copy = image.copy()
    x, y = 60 + number * 11 % 80, 50 + number * 7 % 60
    ImageDraw.Draw(copy).ellipse([x, y, x + 36, y + 28], fill=(20, 20, 20))
    return copy


DEFECT_TYPES = {"scratch": scratched, "stain": stained}


def fill(folder: Path) -> None:
    """Two products with normal pictures and two types of defects."""
    for product in PRODUCTS:
        for number in range(NORMALS):
            put(folder, f"normal/{product}/{number}.jpg", part(product, number, SIZE))
        for name, damage in DEFECT_TYPES.items():
            for number in range(100, 100 + DEFECTS):
                put(folder, f"defect/{product}/{name}/{number}.jpg", damage(part(product, number, SIZE), number))


@dataclass
class Station:
    """A service with its storage, as one machine beside a line; it can be killed and started again."""

    data: Path
    env: dict[str, str]
    service: ServiceProcess | None = None

    def start(self) -> ServiceClient:
        self.service = ServiceProcess(self.data, **self.env).ready()
        return self.service.client

    def kill(self) -> None:
        """Kill the service as `kill -9` does; its jobs go on."""
        assert self.service is not None
        self.service.process.kill()
        self.service.process.wait()

    @property
    def ledger(self) -> Ledger:
        return Ledger(job_place(ServiceSettings(data=self.data)))

    def leftovers(self) -> list[str]:
        """Temporary files, and reservations of memory."""
        folder = reservations_folder(ServiceSettings(data=self.data))
        left = list(self.data.rglob(f"{TEMPORARY_PREFIX}*"))
        left += [path for path in folder.iterdir() if path.suffix != ".lock"] if folder.exists() else []
        return sorted(str(path.relative_to(self.data)) for path in left)

    def end(self) -> None:
        """End the jobs and the service."""
        for operation in self.ledger.list(live_only=True):
            self.ledger.cancel(operation.id)
        if self.service is not None:
            self.kill()


@contextmanager
def station(folder: Path, storage: str = "") -> Iterator[Station]:
    data = folder / "data"
    data.mkdir()
    env = {"XAIVA_ONNX_PROVIDER": "cpu", "XAIVA_MEMORY_BUDGET_MB": "2000", **ENVIRONMENT}
    made = Station(data, {**env, "XAIVA_STORAGE_URL": storage} if storage else env)
    try:
        yield made
    finally:
        made.end()


def ended(client: ServiceClient, *jobs: Job) -> list[Job]:
    """The jobs once they have ended."""
    return [until(lambda job=job: client.jobs.get(job.id), lambda job: not job.state.live, END_SECONDS) for job in jobs]  # type: ignore[misc]


def done(client: ServiceClient, *jobs: Job) -> list[Job]:
    """The jobs, which have to succeed."""
    over = ended(client, *jobs)
    assert [(job.kind, job.state, job.failure) for job in over] == [(job.kind, JobState.DONE, None) for job in jobs]
    return over


def reserved(client: ServiceClient) -> list[str]:
    """The jobs that hold memory in the pool of models."""
    ledger = client.status().ledger
    assert ledger is not None
    return [model.key.partition(":")[0] for model in ledger.models if model.state == "reserved"]


def wait_for_memory(client: ServiceClient, job: Job) -> None:
    """Wait until the job has got its memory, after which it reads from the storage."""
    until(lambda: reserved(client), lambda titles: titles == [f"job {job.id} ({job.kind} {job.subject})"], END_SECONDS)


@pytest.mark.parametrize("kind", ["folder", "rclone"])
def test_from_a_folder_of_pictures_to_the_named_defect(tmp_path: Path, kind: str) -> None:
    with ExitStack() as ends:
        pictures = tmp_path / "data" / "images"
        storage = ""
        if kind == "rclone":
            pictures = tmp_path / "buckets" / BUCKET
            pictures.mkdir(parents=True)
            storage = ends.enter_context(rclone_s3(pictures.parent)).url(BUCKET)
        place = ends.enter_context(station(tmp_path, storage))
        fill(pictures)
        client = place.start()
        jobs = done(
            client,
            client.products.rebuild_index("normal"),
            client.products.rebuild_index("defect"),
            client.products.rebuild_all(),
        )
        assert [job.result["pictures"] for job in jobs[:2] if job.result] == [
            len(PRODUCTS) * NORMALS,
            len(PRODUCTS) * len(DEFECT_TYPES) * DEFECTS,
        ]
        for product in PRODUCTS:
            good = client.products.inspect(product, jpeg(part(product, 50, SIZE)))
            assert good.verdict is Verdict.NORMAL
            for name, damage in DEFECT_TYPES.items():
                found = client.products.inspect(product, jpeg(damage(part(product, 60, SIZE), 60)), heat_map=True)
                assert found.verdict is Verdict.DEFECT
                assert (found.defects[0].product, found.defects[0].label) == (product, name)
                assert found.score > good.score
                assert found.heat_map

        new = jpeg(stained(part("bolt", 70, SIZE), 70))
        inspection = client.products.inspect("bolt", new)
        client.products.correct(inspection.id, Correction(verdict=Verdict.DEFECT, defect_type="oil"))
        assert list((pictures / "defect/bolt/oil").iterdir())
        done(client, client.products.rebuild_index("defect"))
        again = client.products.inspect("bolt", new)
        assert (again.defects[0].label, again.defect_index) == ("oil", inspection.defect_index + 1)
        assert again.defects[0].similarity > inspection.defects[0].similarity
        until(place.leftovers, lambda left: left == [])
        assert place.service is not None
        assert "ModuleNotFoundError" not in place.service.log.read_text()  # of faiss, which looks for faster builds


@contextmanager
def hanging(folder: Path) -> Iterator[tuple[Station, Gate]]:
    """A station whose storage is full of pictures and hangs."""
    fill(folder / "buckets" / BUCKET)
    with rclone_s3(folder / "buckets") as server, Gate(server.port) as gate:
        gate.shut()
        with station(folder, server.url(BUCKET, port=gate.port)) as place:
            yield place, gate


def test_of_50_requests_at_once_one_job_lives_and_a_cancel_leaves_nothing(tmp_path: Path) -> None:
    with hanging(tmp_path) as (place, _):
        client = place.start()
        accepted: list[Job] = []
        refused: list[XaivaError] = []
        start = threading.Barrier(50)

        def ask() -> None:
            start.wait()
            try:
                accepted.append(client.jobs.start(JobRequest(kind="index", subject="normal")))
            except XaivaError as error:
                refused.append(error)

        threads = [threading.Thread(target=ask) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (job,) = accepted
        assert len(refused) == 49
        assert all(f"job {job.id}" in error.why for error in refused)
        assert [one.id for one in client.jobs.page().jobs] == [job.id]

        wait_for_memory(client, job)
        client.jobs.cancel(job.id)
        (cancelled,) = ended(client, job)
        assert cancelled.state is JobState.CANCELLED
        until(place.leftovers, lambda left: left == [])
        until(
            lambda: client.status().ledger,
            lambda now: now is None or not any(m.state == "reserved" for m in now.models),
        )


def test_a_killed_service_and_a_killed_job_leave_a_true_history_and_a_queue_that_goes_on(tmp_path: Path) -> None:
    with hanging(tmp_path) as (place, gate):
        client = place.start()
        first = client.jobs.start(JobRequest(kind="index", subject="normal"))
        second = client.jobs.start(JobRequest(kind="index", subject="defect"))
        wait_for_memory(client, first)
        assert client.jobs.get(second.id).state is JobState.QUEUED
        place.kill()
        supervisor = place.ledger.get(first.id).pid
        assert supervisor > 1
        os.kill(supervisor, signal.SIGKILL)  # its worker ends itself
        client = place.start()
        gate.open()
        one, _ = done(client, first, second)
        said = [entry.what for entry in one.history]
        assert one.attempt == 2
        assert any(what.startswith("attempt 1 was lost") for what in said), said
        assert one.result is not None
        assert one.result["pictures"] == len(PRODUCTS) * NORMALS
        until(place.leftovers, lambda left: left == [])


def test_a_job_outlives_a_killed_service_and_keeps_its_memory(tmp_path: Path) -> None:
    with hanging(tmp_path) as (place, gate):
        client = place.start()
        job = client.jobs.start(JobRequest(kind="index", subject="normal"))
        wait_for_memory(client, job)
        place.kill()
        client = place.start()
        assert reserved(client) == [f"job {job.id} (index normal)"]
        gate.open()
        (one,) = done(client, job)
        assert one.attempt == 1
        until(place.leftovers, lambda left: left == [])
