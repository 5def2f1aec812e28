"""Listings of pictures: the same from a job that fetches and from a count, and other ones for every change."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from core.inference.inspection.listed_pictures import ListedPictures
from core.inference.storage.bucket import Bucket
from core.inference.storage.fetch import FetchedFile, Mirror
from core.inference.storage.folder import Folder
from core.inference.storage.model import ObjectInfo, ObjectStorage
from core.inference.storage.s3_client import S3Client
from core.inference.storage.signed_urls import UrlSigner
from core.progress import NullProgress
from tests.support.object_storage import rclone_s3, seaweed_s3

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
ONE = ObjectInfo("normal/plate/1.jpg", 3, "tag", MOMENT)
OTHER = ObjectInfo("normal/plate/2.jpg", 3, "tag", MOMENT)


def _listed(*pictures: ObjectInfo | FetchedFile) -> ListedPictures:
    listed = ListedPictures()
    for picture in pictures:
        listed.add(picture)
    return listed


def test_pictures_are_the_same_in_any_order_and_of_any_products() -> None:
    assert _listed(ONE, OTHER).has_same(_listed(OTHER, ONE))
    assert ListedPictures().joined([_listed(OTHER), _listed(ONE)]).has_same(_listed(ONE, OTHER))
    assert ListedPictures().has_same(_listed())


@pytest.mark.parametrize(
    "other",
    [
        [],
        [ONE],
        [ONE, ONE],
        [ONE, OTHER, OTHER],
        [ONE, replace(OTHER, key="normal/plate/3.jpg")],
        [ONE, replace(OTHER, etag="other")],
        [ONE, replace(OTHER, size=4)],
    ],
)
def test_other_pictures_are_not_the_same(other: list[ObjectInfo]) -> None:
    assert not _listed(*other).has_same(_listed(ONE, OTHER))


def test_times_count_only_where_there_is_no_etag() -> None:
    later = replace(ONE, modified=MOMENT + timedelta(days=1))
    assert _listed(later).has_same(_listed(ONE))
    assert not _listed(replace(later, etag="")).has_same(_listed(replace(ONE, etag="")))


def _check(storage: ObjectStorage, folder: Path) -> None:
    """What two jobs fetch, the second time from this machine, are the pictures that a count finds."""
    (folder / "source").write_bytes(b"picture")
    for number in range(3):
        storage.upload_file(f"normal/금속 판/{number}.jpg", folder / "source")
    for _ in range(2):
        with closing(Mirror(storage, folder / "mirror").fetch("normal/", NullProgress(), "fetch", "")) as files:
            fetched = _listed(*(file for file in files if isinstance(file, FetchedFile)))
        counted = _listed(*(found for found in storage.list_objects("normal/") if isinstance(found, ObjectInfo)))
        assert fetched.count == 3
        assert fetched.has_same(counted)


def test_a_job_fetches_what_a_count_finds_in_a_folder(tmp_path: Path) -> None:
    _check(Folder(tmp_path / "images", UrlSigner(tmp_path / "data"), create=True), tmp_path)


@pytest.mark.parametrize("served", [rclone_s3, seaweed_s3])
def test_a_job_fetches_what_a_count_finds_in_a_bucket(served: object, tmp_path: Path) -> None:
    (tmp_path / "buckets").mkdir()
    with served(tmp_path / "buckets") as server:  # type: ignore[operator]
        S3Client(server.address("pictures")).request("Bucket", "PUT")
        _check(Bucket(server.address("pictures")), tmp_path)
