"""Buckets over TLS: a certificate authority of the site, and servers that nobody vouches for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import XaivaError
from core.inference.storage.address import BucketAddress
from core.inference.storage.bucket import Bucket
from core.inference.storage.model import ObjectInfo, StorageRefused
from tests.support import require
from tests.support.object_storage import rclone_s3


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, another one, and a certificate that the first has signed."""
    require(shutil.which("openssl"), "openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "other"):
        openssl("req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=storage")
    alone = ("-addext", "subjectAltName=IP:127.0.0.1", "-subj", "/CN=alone")
    openssl("req", "-x509", *curve, "-keyout", "alone.key", "-out", "alone.pem", *alone)
    elsewhere = ("-addext", "subjectAltName=DNS:elsewhere", "-addext", "basicConstraints=critical,CA:FALSE")
    openssl("req", "-x509", *curve, "-keyout", "elsewhere.key", "-out", "elsewhere.pem", "-subj", "/CN=x", *elsewhere)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "30")
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signed)
    return folder


@pytest.fixture
def bucket(certificates: Path, tmp_path: Path) -> Iterator[BucketAddress]:
    """A bucket with one picture behind TLS."""
    (tmp_path / "buckets" / "pictures").mkdir(parents=True)
    (tmp_path / "buckets" / "pictures" / "1.jpg").write_bytes(b"one")
    with rclone_s3(tmp_path / "buckets", (certificates / "server.pem", certificates / "server.key")) as server:
        yield replace(server.address("pictures"), endpoint=server.endpoint.replace("http:", "https:"))


def test_the_certificate_authority_of_the_site_is_trusted(
    bucket: BucketAddress, certificates: Path, tmp_path: Path
) -> None:
    storage = Bucket(replace(bucket, ca=(certificates / "ca.pem").read_text()))
    assert [each.key for each in storage.list_objects() if isinstance(each, ObjectInfo)] == ["1.jpg"]
    storage.upload_file("2.jpg", tmp_path / "buckets" / "pictures" / "1.jpg")
    storage.download_file("2.jpg", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"one"
    storage.delete_file("2.jpg")


@pytest.mark.parametrize("ca", ["", "other.pem"], ids=["no authority", "another authority"])
def test_a_certificate_that_nobody_vouches_for_is_refused(
    bucket: BucketAddress, certificates: Path, tmp_path: Path, ca: str
) -> None:
    storage = Bucket(replace(bucket, ca=(certificates / ca).read_text() if ca else ""))
    for work in (
        lambda: list(storage.list_objects()),
        lambda: storage.download_file("1.jpg", tmp_path / "fetched"),
        lambda: storage.upload_file("2.jpg", tmp_path / "buckets" / "pictures" / "1.jpg"),
    ):
        with pytest.raises(StorageRefused, match="certificate is not trusted") as caught:
            work()
        assert isinstance(caught.value, XaivaError)
        assert "ca=/path.pem" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "why"),
    [("alone", "marked as that of a certificate authority"), ("elsewhere", "certificate is for another host")],
)
def test_what_is_wrong_with_a_certificate_is_said(certificates: Path, tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "buckets" / "pictures").mkdir(parents=True)
    files = (certificates / f"{name}.pem", certificates / f"{name}.key")
    with rclone_s3(tmp_path / "buckets", files) as server:
        address = replace(server.address("pictures"), endpoint=server.endpoint.replace("http:", "https:"))
        storage = Bucket(replace(address, ca=files[0].read_text()))
        with pytest.raises(StorageRefused, match=why):
            storage.download_file("1.jpg", tmp_path / "fetched")
