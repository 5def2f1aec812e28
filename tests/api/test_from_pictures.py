"""From a folder or a bucket of pictures to verdicts: real jobs build both indexes and the banks of two products."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.api_schema import Correction, Job, JobRequest, JobState, Verdict
from core.service_client import ServiceClient
from tests.api.serving import Running, served
from tests.support import until
from tests.support.inspected import NORMALS, fill_storage, good, scratched
from tests.support.object_storage import ENVIRONMENT, rclone_s3

PRODUCTS = ("plate", "판 B")
JOB_SECONDS = 240.0


@contextmanager
def storage(kind: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """The folder of the pictures, and the URL of the storage; empty for the folder in the data folder."""
    if kind == "folder":
        yield folder / "data" / "images", ""
        return
    (folder / "buckets" / "pictures").mkdir(parents=True)
    with rclone_s3(folder / "buckets") as server:
        yield folder / "buckets" / "pictures", server.url("pictures")


def end_of(client: ServiceClient, job: Job) -> Job:
    """The job once it has ended; jobs are niced, so on a busy machine they take long."""
    return until(lambda: client.jobs.get(job.id), lambda job: not job.state.live, JOB_SECONDS)


def ended(client: ServiceClient, jobs: list[Job]) -> None:
    for job in jobs:
        done = end_of(client, job)
        assert done.state is JobState.DONE, (done.failure, done.result)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_pictures_become_verdicts(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with storage(kind, tmp_path) as (images, url):
        for product in PRODUCTS:
            fill_storage(images, unicodedata.normalize("NFD", product))  # as macOS writes names
        with served(tmp_path / "data", onnx_provider="cpu", storage_url=url) as running:
            client = running.client()
            jobs = [client.products.rebuild_index("normal"), client.products.rebuild_index("defect")]
            ended(client, [*jobs, client.jobs.start(JobRequest(kind="banks"))])
            for product in PRODUCTS:
                _check_verdicts(client, product)
            if kind == "folder":
                _check_learning(running, client, images)


def _check_verdicts(client: ServiceClient, product: str) -> None:
    fine, defective = client.products.inspect(product, good()), client.products.inspect(product, scratched())
    assert (fine.verdict, defective.verdict) == (Verdict.NORMAL, Verdict.DEFECT)
    assert (defective.bank, defective.normal_index, defective.defect_index) == (1, 1, 1)
    assert defective.defects[0].label in ("scratch", "hole")
    assert {neighbour.product for neighbour in defective.defects} == {product}
    assert client.products.get(product).last_job == 3


def _check_learning(running: Running, client: ServiceClient, images: Path) -> None:
    """A corrected picture is in the next bank and index; a rollback leaves it out again."""
    one = client.products.inspect("plate", good(5))
    client.products.correct(one.id, Correction(verdict=Verdict.NORMAL))
    ended(client, [client.products.rebuild("plate", force=True), client.products.rebuild_index("normal")])
    bank = client.products.get("plate").bank
    assert bank is not None
    assert (bank.number, bank.pictures) == (2, NORMALS + 1)
    again = client.products.inspect("plate", good(5))
    assert (again.bank, again.normal_index) == (2, 2)
    assert again.normals[0].key.endswith(f"{one.id}.jpg")
    assert again.normals[0].similarity > 0.999
    ended(client, [client.products.rollback("plate"), client.products.rollback_index("normal")])
    back = client.products.inspect("plate", good(5))
    assert (back.bank, back.normal_index) == (1, 1)
    shutil.rmtree(images / "normal")
    assert end_of(client, client.products.rebuild("plate")).state is JobState.FAILED
    assert client.products.inspect("plate", good(5)).bank == 1
