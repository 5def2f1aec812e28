"""Storages of each kind, empty for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.inference.storage import retries
from core.inference.storage.bucket import Bucket
from core.inference.storage.folder import Folder
from core.inference.storage.model import ObjectStorage
from core.inference.storage.s3_client import S3Client
from core.inference.storage.signed_urls import UrlSigner
from tests.support.object_storage import S3Server, rclone_s3, seaweed_s3

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again at once: no test is about how long that takes."""
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)


@pytest.fixture(scope="session")
def rclone_buckets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder whose folders are the buckets of rclone."""
    buckets = tmp_path_factory.mktemp("rclone") / "buckets"
    buckets.mkdir()
    return buckets


@pytest.fixture(scope="session")
def rclone(rclone_buckets: Path) -> Iterator[S3Server]:
    with rclone_s3(rclone_buckets) as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweed_s3(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def new_bucket() -> Callable[[S3Server], str]:
    """Creates an empty bucket and returns its name."""

    def create(server: S3Server) -> str:
        name = f"pictures-{next(_numbers)}"
        S3Client(server.address(name)).request("Bucket", "PUT")
        return name

    return create


@pytest.fixture(params=["folder", "rclone", "seaweed"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, new_bucket: Callable[[S3Server], str]
) -> Iterator[ObjectStorage]:
    """An empty storage of each kind; the buckets are used below a prefix."""
    if request.param == "folder":
        yield Folder(tmp_path / "images", UrlSigner(tmp_path / "data"), create=True)
        return
    server: S3Server = request.getfixturevalue(request.param)
    yield Bucket(server.address(new_bucket(server), "line 1/été"))
