"""Buckets behind a bad network: what passes is tried again, what does not is said, and nothing half is left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import XaivaError
from core.inference.storage import bucket as bucket_storage
from core.inference.storage.address import BucketAddress
from core.inference.storage.bucket import Bucket
from core.inference.storage.model import ObjectInfo, StorageDown, StorageRefused
from tests.support import PATIENCE
from tests.support.faulty_proxy import Fault, faulty_proxy
from tests.support.object_storage import KEY, SECRET, S3Server

NewBucket = Callable[[S3Server], str]
SKEW = (
    b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message>"
    b"<RequestTime>20260101T000000Z</RequestTime><ServerTime>2026-11-30T20:00:00Z</ServerTime></Error>"
)
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
BUSY = b"<Error><Code>SlowDown</Code></Error>"


def silence(fault: Fault, seconds: float) -> float:
    """So many seconds only where they are waited for: on a busy machine an answer may take as long."""
    return seconds if fault.stall >= 0 else PATIENCE


@pytest.fixture(params=["rclone", "seaweed"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """rclone sends no parts of small objects, SeaweedFS does."""
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    content = os.urandom(600_000)
    (tmp_path / "source").write_bytes(content)
    return content


@pytest.fixture
def bucket(server: S3Server, new_bucket: NewBucket, content: bytes, tmp_path: Path) -> str:
    """A bucket with one picture."""
    name = new_bucket(server)
    Bucket(server.address(name)).upload_file("picture.jpg", tmp_path / "source")
    return name


@pytest.mark.parametrize(
    "fault",
    [
        Fault(("GET", "picture.jpg"), 2, status=503, body=BUSY),
        Fault(("GET", "picture.jpg"), 2, cut=200_000),
        Fault(("GET", "picture.jpg"), 2, cut=0),
        Fault(("GET", "picture.jpg"), 2, stall=200_000),
    ],
    ids=["503 twice", "cut twice", "cut at once twice", "stalled twice"],
)
def test_what_passes_is_tried_again(
    server: S3Server, bucket: str, content: bytes, tmp_path: Path, fault: Fault
) -> None:
    fault = Fault(**vars(fault))
    with faulty_proxy(server.port, fault) as proxy:
        storage = Bucket(server.address(bucket, port=proxy.port), silence=silence(fault, 1))
        fetched = storage.download_file("picture.jpg", tmp_path / "fetched")
        assert proxy.count("GET", "picture.jpg") >= 3
    assert fault.times == 0
    assert (tmp_path / "fetched").read_bytes() == content
    assert fetched.size == len(content)


def test_a_cut_body_continues_where_it_was_cut(
    seaweed: S3Server, new_bucket: NewBucket, content: bytes, tmp_path: Path
) -> None:
    name = new_bucket(seaweed)
    Bucket(seaweed.address(name)).upload_file("picture.jpg", tmp_path / "source")
    with faulty_proxy(seaweed.port, Fault(("GET", "picture.jpg"), 2, cut=290_000)) as proxy:
        Bucket(seaweed.address(name, port=proxy.port)).download_file("picture.jpg", tmp_path / "fetched")
        ranges = [byte_range for _, _, byte_range in proxy.requests]
        assert proxy.sent < 1.6 * len(content)
    assert (tmp_path / "fetched").read_bytes() == content
    assert ranges[0] == ""
    assert ranges[-1].startswith("bytes=")


def test_an_object_that_was_replaced_meanwhile_is_never_mixed(
    seaweed: S3Server, new_bucket: NewBucket, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = new_bucket(seaweed)
    storage = Bucket(seaweed.address(name))
    storage.upload_file("picture.jpg", tmp_path / "source")
    (tmp_path / "other").write_bytes(other := os.urandom(600_000))

    def replace_before_the_third_try(_retry: int) -> float:
        if proxy.count("GET") == 2:  # a part of the second answer was kept
            upload = threading.Thread(target=storage.upload_file, args=("picture.jpg", tmp_path / "other"))
            upload.start()
            upload.join()
        return 0.0

    monkeypatch.setattr(bucket_storage, "pause_before", replace_before_the_third_try)
    with faulty_proxy(seaweed.port, Fault(("GET", "picture.jpg"), 2, cut=200_000)) as proxy:
        Bucket(seaweed.address(name, port=proxy.port)).download_file("picture.jpg", tmp_path / "fetched")
        assert proxy.requests[2][2].startswith("bytes=")
    assert (tmp_path / "fetched").read_bytes() == other


@pytest.mark.parametrize(
    ("fault", "kind", "why"),
    [
        (Fault(("GET", "picture.jpg"), 99, status=503, body=BUSY), StorageDown, "503 SlowDown"),
        (Fault(("GET", "picture.jpg"), 99, stall=0), StorageDown, "does not answer in time"),
        (Fault(("GET", "picture.jpg"), 1, status=403, body=DENIED), StorageRefused, "does not have the permission"),
        (Fault(("GET", "picture.jpg"), 1, status=403, body=SKEW), StorageRefused, "here it is 20260101T000000Z, there"),
    ],
    ids=["503 for ever", "stalled for ever", "denied", "clock skew"],
)
def test_what_does_not_pass_is_said_and_no_file_is_left(
    rclone: S3Server,
    new_bucket: NewBucket,
    content: bytes,
    tmp_path: Path,
    fault: Fault,
    kind: type[XaivaError],
    why: str,
) -> None:
    name = new_bucket(rclone)
    Bucket(rclone.address(name)).upload_file("picture.jpg", tmp_path / "source")
    before = sorted(tmp_path.iterdir())
    with faulty_proxy(rclone.port, Fault(**vars(fault))) as proxy:
        storage = Bucket(rclone.address(name, port=proxy.port), silence=silence(fault, 0.3))
        with pytest.raises(kind, match=why) as caught:
            storage.download_file("picture.jpg", tmp_path / "fetched")
    assert sorted(tmp_path.iterdir()) == before
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_body_shorter_than_its_listing_is_no_object(
    rclone: S3Server, new_bucket: NewBucket, content: bytes, tmp_path: Path
) -> None:
    name = new_bucket(rclone)
    Bucket(rclone.address(name)).upload_file("picture.jpg", tmp_path / "source")
    (listed,) = Bucket(rclone.address(name)).list_objects()
    assert isinstance(listed, ObjectInfo)
    import asyncio

    with faulty_proxy(rclone.port, Fault(("GET", "picture.jpg"), 99, length=200_000)) as proxy:
        storage = Bucket(rclone.address(name, port=proxy.port))
        with open(tmp_path / "part", "wb") as part, pytest.raises(StorageDown, match="sends 200000 bytes"):
            asyncio.run(storage.fetch_object(listed, part, lambda _count: None))


@pytest.mark.parametrize("status", [503, 500, 429])
def test_a_listing_is_tried_again(rclone: S3Server, new_bucket: NewBucket, status: int) -> None:
    name = new_bucket(rclone)
    with faulty_proxy(rclone.port, Fault(("list-type",), 2, status=status)) as proxy:
        assert list(Bucket(rclone.address(name, port=proxy.port)).list_objects()) == []
        assert proxy.count("list-type") == 3


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (403, SKEW, "the clocks of this machine and of the server differ too much"),
        (403, DENIED, "does not have the permission"),
        (200, b"<html><body>Login</body></html>", "html in place of a listing"),
        (200, b"not xml at all", "no XML"),
        (301, b"<Error><Code>PermanentRedirect</Code><Region>eu-west-1</Region></Error>", "in the region eu-west-1"),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", "there is no bucket"),
        (403, b"<Error><Code>ExpiredToken</Code></Error>", "session token is no longer valid"),
    ],
)
def test_a_refused_listing_says_why(
    rclone: S3Server, new_bucket: NewBucket, status: int, body: bytes, why: str
) -> None:
    with faulty_proxy(rclone.port, Fault(("list-type",), 1, status=status, body=body)) as proxy:
        storage = Bucket(rclone.address(new_bucket(rclone), port=proxy.port))
        with pytest.raises(StorageRefused, match=why):
            list(storage.list_objects())


@pytest.mark.parametrize(
    ("key", "secret", "why"),
    [
        ("somebody-else", SECRET, "does not know the key"),
        (KEY, "another-secret", "does not belong to the key"),
    ],
)
def test_wrong_keys_are_told_apart(
    server: S3Server, bucket: str, tmp_path: Path, key: str, secret: str, why: str
) -> None:
    address = BucketAddress(bucket, "", server.endpoint, "us-east-1", True, key, secret)
    for work in (
        lambda: list(Bucket(address).list_objects()),
        lambda: Bucket(address).download_file("picture.jpg", tmp_path / "fetched"),
        lambda: Bucket(address).upload_file("other.jpg", tmp_path / "source"),
    ):
        with pytest.raises(StorageRefused, match=why) as caught:
            work()
        assert secret not in str(caught.value)


def test_a_server_that_is_gone_is_said_within_seconds(tmp_path: Path) -> None:
    address = BucketAddress("pictures", "", "http://127.0.0.1:9", "us-east-1", True, KEY, SECRET)
    begun = time.monotonic()
    for work in (
        lambda: list(Bucket(address).list_objects()),
        lambda: Bucket(address).download_file("a.jpg", tmp_path / "fetched"),
    ):
        with pytest.raises(StorageDown, match="nothing listens there"):
            work()
    assert time.monotonic() - begun < 60
