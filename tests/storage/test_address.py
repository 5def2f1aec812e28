"""XAIVA_STORAGE_URL: what it may say, and that no message repeats a secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.errors import InputError
from core.inference.settings import ServiceSettings
from core.inference.storage import open_storage
from core.inference.storage.address import BucketAddress, FolderAddress, read_address
from core.redaction import redact_text

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = {"BUCKET_KEY": "AKIAIOSFODNN7EXAMPLE", "BUCKET_SECRET": SECRET}
NAMED = "key=BUCKET_KEY&secret=BUCKET_SECRET"


def bucket(url: str, environment: dict[str, str] | None = None) -> BucketAddress:
    address = read_address(url, Path("/data"), KEYS if environment is None else environment)
    assert isinstance(address, BucketAddress)
    return address


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("", FolderAddress(Path("/data/images"), made=True)),
        ("/pictures/line 1", FolderAddress(Path("/pictures/line 1"))),
        ("file:///pictures/line%201", FolderAddress(Path("/pictures/line 1"))),
        ("file:///한글", FolderAddress(Path("/한글"))),
    ],
)
def test_a_folder(url: str, folder: FolderAddress) -> None:
    assert read_address(url, Path("/data"), {}) == folder


@pytest.mark.parametrize(
    ("query", "base"),
    [
        ("endpoint=https://s3.example:9000", "https://s3.example:9000/pictures"),
        ("endpoint=http://10.0.0.8", "http://10.0.0.8/pictures"),
        ("endpoint=https://s3.example/&path_style=false", "https://pictures.s3.example"),
        ("region=ap-northeast-2", "https://pictures.s3.ap-northeast-2.amazonaws.com"),
        ("region=ap-northeast-2&path_style=true", "https://s3.ap-northeast-2.amazonaws.com/pictures"),
        ("endpoint=http://[::1]:9000", "http://[::1]:9000/pictures"),
    ],
)
def test_a_bucket_behind_its_server(query: str, base: str) -> None:
    assert bucket(f"s3://pictures?{query}&{NAMED}").base == base


@pytest.mark.parametrize(("path", "prefix"), [("", ""), ("/", ""), ("/line%201/cap/", "line 1/cap/"), ("/a", "a/")])
def test_a_prefix_ends_with_a_slash(path: str, prefix: str) -> None:
    assert bucket(f"s3://pictures{path}?{NAMED}").prefix == prefix


def test_the_usual_variables_are_read_when_none_is_named() -> None:
    usual = {"AWS_ACCESS_KEY_ID": "usual-key", "AWS_SECRET_ACCESS_KEY": "usual-secret", "AWS_SESSION_TOKEN": "token-1"}
    address = bucket("s3://pictures", usual)
    assert (address.key, address.secret, address.session) == ("usual-key", "usual-secret", "token-1")


def test_the_values_of_the_keys_appear_nowhere() -> None:
    address = bucket(f"s3://pictures?endpoint=https://s3.example&{NAMED}")
    assert SECRET not in repr(address) + address.shown
    assert SECRET not in redact_text(f"something said {SECRET} aloud")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://host/pictures", "neither s3://"),
        ("pictures", "neither s3://"),
        ("http://minio:9000/pictures", "neither s3://"),
        ("file://pictures", "three slashes"),
        ("file:///pictures?region=x", "takes no"),
        ("s3://", "name of the bucket"),
        ("s3://-pictures-?" + NAMED, "name of the bucket"),
        (f"s3://AKIAIOSFODNN7EXAMPLE:{SECRET.replace('/', '%2F')}@pictures", "contains a login"),
        (f"s3://pictures?{NAMED}&colour=red", "colour"),
        (f"s3://pictures?{NAMED}&region=a&region=b", "given twice"),
        (f"s3://pictures?{NAMED}&path_style=yes", "path_style: it is neither true nor false"),
        (f"s3://pictures?{NAMED}&region=a b", "region"),
        (f"s3://pictures?{NAMED}&endpoint=minio:9000", "endpoint: it is not an http"),
        (
            f"s3://pictures?{NAMED}&endpoint=https://user:{SECRET.replace('/', '%2F')}@minio",
            "endpoint: it contains a login",
        ),
        (f"s3://pictures?{NAMED}&endpoint=https://minio/pictures", "endpoint: something follows its host"),
        (f"s3://pictures?{NAMED}&endpoint=https://minio:port", "endpoint: its host or port"),
        (f"s3://pictures?{NAMED}&ca=/nowhere/ca.pem", "ca: /nowhere/ca.pem: No such file"),
        ("s3://pictures?key=OTHER_KEY&secret=BUCKET_SECRET", "key: the variable OTHER_KEY is not set"),
        ("s3://pictures?key=BUCKET_KEY", "secret: the variable AWS_SECRET_ACCESS_KEY is not set"),
        (f"s3://pictures?key=BUCKET_KEY&secret={SECRET}", "secret: it is not the name of a variable"),
        ("s3://pictures?key=AKIAIOSFODNN7EXAMPLE&secret=BUCKET_SECRET", "key: the variable that it names is not set"),
        (f"s3://pictures?{NAMED}#{SECRET}", "it contains a #"),
        (f"s3://pic\x07tures?{NAMED}", "control character"),
        ("file:///pic%00tures", "control character"),
        (f"s3://pictures/line%0A1?{NAMED}", "control character"),
        (f"s3://pictures/line/../other?{NAMED}", "prefix: its name contains . or .."),
        (f"s3://pictures/line//cap?{NAMED}", "prefix: its name contains //"),
    ],
)
def test_what_cannot_be_used_is_said_without_a_secret(url: str, why: str) -> None:
    with pytest.raises(InputError, match=re.escape(why)) as caught:
        read_address(url, Path("/data"), KEYS)
    assert caught.value.what == "XAIVA_STORAGE_URL"
    for secret in (SECRET, SECRET.replace("/", "%2F"), "AKIAIOSFODNN7EXAMPLE"):
        assert secret not in f"{caught.value.what} {caught.value.why} {caught.value.remedy}"


def test_a_certificate_file_is_read_and_checked(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(InputError, match="contains no certificate"):
        bucket(f"s3://pictures?{NAMED}&ca={tmp_path}/ca.pem")


def test_presigned_addresses_and_signatures_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from core.inference.storage.bucket import Bucket

    address = Bucket(bucket(f"s3://pictures?endpoint=http://127.0.0.1:9&{NAMED}"))
    url = address.get_url("a.jpg", timedelta(hours=1))
    signature = url.rpartition("=")[2]
    assert signature not in redact_text(f"GET {url} failed")
    assert signature not in redact_text(f"X-Amz-Signature={signature}")
    assert signature not in redact_text(f'"GET /storage/signed?key=a.jpg&expires=1&signature={signature} HTTP/1.1" 200')


def test_opening_connects_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    url = f"s3://pictures?endpoint=http://127.0.0.1:9&{NAMED}"
    assert (
        open_storage(ServiceSettings(data=tmp_path, storage_url=url)).shown == "bucket pictures at http://127.0.0.1:9"
    )
    assert open_storage(ServiceSettings(data=tmp_path)).shown == f"folder {tmp_path / 'images'}"
    assert not (tmp_path / "images").exists()
