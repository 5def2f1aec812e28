"""The routes of object storage and the client's methods, over a folder and over a bucket."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest

from core import disk_space
from core.errors import InputError
from core.inference.api import middleware
from core.inference.api import storage as api_storage
from core.inference.storage import retries
from core.inference.storage.folder import Folder
from core.inference.storage.s3_client import CONNECT_SECONDS, READ_SECONDS
from core.service_client import Forbidden, ServiceClient, ServiceError
from core.service_client.storage_calls import STORAGE_SECONDS
from tests.api.serving import TOKEN, Running, served
from tests.support.faulty_proxy import Fault, faulty_proxy
from tests.support.object_storage import ENVIRONMENT, SECRET, S3Server

HANGUL = "normal/뚜껑 1/사진 #1+a%2Fb.jpg"


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(params=["folder", "bucket"])
def running(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    new_bucket: Callable[[S3Server], str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Running]:
    if request.param == "folder":
        with served(tmp_path / "data") as one:
            yield one
        return
    server: S3Server = request.getfixturevalue("rclone")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with served(tmp_path / "data", storage_url=server.url(new_bucket(server), "line")) as one:
        yield one


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.jpg"
    path.write_bytes(os.urandom(3 << 20))
    return path


def test_objects_go_in_and_out_and_are_listed(running: Running, source: Path, tmp_path: Path) -> None:
    storage = running.client().storage
    assert storage.status().why == ""
    counts: list[int] = []
    stored = storage.put(HANGUL, source, lambda done, _all: counts.append(done))
    assert (stored.key, stored.size) == (HANGUL, 3 << 20)
    assert counts[-1] == 3 << 20
    assert [each.key for each in storage.page("normal/").objects] == [HANGUL]
    top = storage.page(level=True)
    assert (top.objects, top.folders) == ([], ["normal/"])
    storage.get(HANGUL, tmp_path / "back.jpg")
    assert (tmp_path / "back.jpg").read_bytes() == source.read_bytes()
    storage.delete(HANGUL)
    storage.delete(HANGUL)
    assert storage.page().objects == []
    with pytest.raises(InputError, match="no such object"):
        storage.get(HANGUL, tmp_path / "gone.jpg")
    assert not (tmp_path / "gone.jpg").exists()
    assert leftovers(running) == []


def test_pages_of_objects_follow_each_other(running: Running, source: Path) -> None:
    storage = running.client().storage
    source.write_bytes(b"small")
    for number in range(7):
        storage.put(f"normal/{number}.jpg", source)
    first = storage.page("normal/", limit=5)
    second = storage.page("normal/", limit=5, cursor=first.next)
    assert [each.key for each in (*first.objects, *second.objects)] == [f"normal/{number}.jpg" for number in range(7)]
    assert second.next == ""
    assert sum(len(page.objects) for page in storage.pages()) == 7


def test_a_signed_address_gives_the_object_to_anybody(running: Running, source: Path) -> None:
    storage = running.client().storage
    storage.put(HANGUL, source)
    signed = storage.url(HANGUL, 60)
    answer = httpx.get(signed.url)
    assert answer.content == source.read_bytes()
    assert SECRET not in signed.url


def test_a_signed_address_of_a_folder_expires_and_cannot_be_changed(
    in_folder: Running, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = in_folder.client().storage
    storage.put("a.jpg", source)
    storage.put("b.jpg", source)
    url = storage.url("a.jpg", 60).url
    for other in (url.replace("a.jpg", "b.jpg"), url[:-1] + ("0" if url[-1] != "0" else "1"), url + "0"):
        assert httpx.get(other).status_code == 404
    assert httpx.get(url).status_code == 200
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert httpx.get(url).status_code == 404


def ask(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=30)


def check_ranges(url: str, content: bytes, **login: str) -> None:
    size = len(content)
    whole = ask(url, **login)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, content, "bytes")
    tag = whole.headers["etag"]
    for byte_range, first, end in (
        ("bytes=0-9", 0, 10),
        (f"bytes={size - 10}-", size - 10, size),
        ("bytes=-5", size - 5, size),
        (f"bytes=-{size + 1}", 0, size),
        (f"bytes=7-{size + 1}", 7, size),
    ):
        for condition in ({}, {"If_Range": tag}):
            part = ask(url, Range=byte_range, **condition, **login)
            assert (part.status_code, part.content) == (206, content[first:end]), byte_range
            assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{size}"
            assert part.headers["content-length"] == str(end - first)
            assert part.headers["etag"] == tag
    other = ask(url, Range="bytes=5-9", If_Range='"older"', **login)
    assert (other.status_code, other.content) == (200, content)
    for wrong in (f"bytes={size}-", "bytes=9-5", "bytes=0-1,5-6", "bytes=-0", "lines=1-2", "bytes=", "bytes=a-b", ""):
        refused = ask(url, Range=wrong, **login)
        assert (refused.status_code, refused.json()["what"]) == (416, "Range"), wrong
        assert refused.headers["content-range"] == f"bytes */{size}"


def test_a_part_of_an_object_is_sent_on_request(running: Running, source: Path) -> None:
    running.client().storage.put(HANGUL, source)
    url = str(httpx.URL(f"{running.url}/storage/object", params={"key": HANGUL}))
    check_ranges(url, source.read_bytes(), Authorization=f"Bearer {TOKEN}")


def test_a_signed_address_of_a_folder_gives_a_part_of_the_object(in_folder: Running, source: Path) -> None:
    storage = in_folder.client().storage
    storage.put("part.jpg", source)
    url = storage.url("part.jpg", 60).url
    check_ranges(url, source.read_bytes())
    assert ask(f"{url}0", Range="bytes=0-9").status_code == 404


def test_no_part_of_an_empty_object_can_be_had(in_folder: Running, source: Path) -> None:
    source.write_bytes(b"")
    storage = in_folder.client().storage
    storage.put("empty", source)
    url = storage.url("empty", 60).url
    assert (ask(url).status_code, ask(url).content) == (200, b"")
    assert [ask(url, Range=each).status_code for each in ("bytes=0-", "bytes=-1")] == [416, 416]


def test_more_refused_ranges_than_transfers_hold_none(in_folder: Running, source: Path) -> None:
    storage = in_folder.client().storage
    storage.put("part.jpg", source)
    url = storage.url("part.jpg", 60).url
    for _ in range(api_storage.OPEN_TRANSFERS.limit + 1):
        assert ask(url, Range="bytes=9-5").status_code == 416
    assert ask(url).status_code == 200


def test_an_object_that_is_replaced_is_sent_whole(in_folder: Running, source: Path) -> None:
    storage = in_folder.client().storage
    storage.put("part.jpg", source)
    url = storage.url("part.jpg", 60).url
    tag = ask(url).headers["etag"]
    source.write_bytes(b"another one")
    storage.put("part.jpg", source)
    answer = ask(url, Range="bytes=5-", If_Range=tag)
    assert (answer.status_code, answer.content) == (200, b"another one")


def test_a_cut_object_goes_on_where_it_was_cut(in_folder: Running, source: Path, tmp_path: Path) -> None:
    in_folder.client().storage.put("cut.jpg", source)
    port = int(in_folder.url.rsplit(":", 1)[1])
    with faulty_proxy(port, Fault(("GET /storage/object?",), cut=2 << 20)) as proxy:
        client = ServiceClient(f"http://127.0.0.1:{proxy.port}", 10, token=TOKEN)
        client.storage.get("cut.jpg", tmp_path / "back.jpg")
        asked = [byte_range for _, path, byte_range in proxy.requests if path.startswith("/storage/object?")]
    assert (tmp_path / "back.jpg").read_bytes() == source.read_bytes()
    assert asked == ["", f"bytes={2 << 20}-"]


def test_a_stored_page_is_never_shown_as_a_page(in_folder: Running, source: Path) -> None:
    storage = in_folder.client().storage
    source.write_text("<script>alert(1)</script>")
    for key in ("page.html", "drawing.svg"):
        storage.put(key, source)
        answer = httpx.get(storage.url(key, 60).url)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_body_over_the_limit_is_refused_and_nothing_is_stored(
    in_folder: Running, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(middleware.BODY_LIMITS, "/storage/object", 1 << 20)
    with pytest.raises((InputError, ServiceError)):
        in_folder.client().storage.put("large.jpg", source)
    assert [each.key for each in in_folder.client().storage.page("large").objects] == []


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", "a/./b", "x\x07", "a/"])
def test_a_key_that_cannot_be_used_is_refused(in_folder: Running, source: Path, key: str) -> None:
    with pytest.raises(InputError):
        in_folder.client().storage.put(key, source)


def test_a_file_in_the_way_of_a_folder_is_a_conflict(in_folder: Running, source: Path) -> None:
    storage = in_folder.client().storage
    storage.put("way", source)
    with pytest.raises(InputError, match="in the way"):
        storage.put("way/deeper.jpg", source)


def test_what_cannot_be_used_is_listed_with_its_reason(in_folder: Running, tmp_path: Path) -> None:
    images = in_folder.service.settings.data / "images" / "odd"
    images.mkdir(parents=True)
    (images / "link.jpg").symlink_to(tmp_path)
    (images / "bell\x07.jpg").write_bytes(b"")
    page = in_folder.client().storage.page("odd/")
    assert [(each.key, each.why) for each in page.findings] == [
        ("odd/bell\\u0007.jpg", "its name contains a control character"),
        ("odd/link.jpg", "it is a link; links are not followed"),
    ]


def test_a_storage_that_is_gone_is_said_and_everything_else_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    address = f"s3://pictures?endpoint=http://127.0.0.1:9&key={'TEST_BUCKET_KEY'}&secret={'TEST_BUCKET_SECRET'}"
    with served(tmp_path / "data", storage_url=address) as running:
        client = running.client()
        assert "nothing listens there" in client.storage.status().why
        with pytest.raises(ServiceError, match="nothing listens there"):
            client.storage.page()
        assert client.health().ready


def test_a_user_of_some_cameras_alone_sees_no_object(in_folder: Running) -> None:
    from pydantic import SecretStr

    from core.api_schema import UserRequest

    admin = in_folder.client()
    admin.add_user(UserRequest(name="gatekeeper", password=SecretStr("correct horse battery"), cameras=["gate"]))
    keeper = ServiceClient(
        in_folder.url, 10, token=in_folder.client("").login("gatekeeper", "correct horse battery").access
    )
    with pytest.raises(Forbidden):
        keeper.storage.page()


def leftovers(running: Running) -> list[str]:
    return [path.name for path in running.service.settings.data.iterdir() if path.name.startswith("tmp")]


def put_in_pieces(running: Running, key: str) -> httpx.Response:
    """A body whose length is not said in advance."""
    url, headers = f"{running.url}/storage/object?key={key}", {"Authorization": f"Bearer {TOKEN}"}
    return httpx.put(url, content=iter([b"1" * (1 << 20)] * 3), headers=headers, timeout=30)


def test_an_object_over_the_limit_is_refused_before_it_is_fetched(
    running: Running, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = running.client().storage
    storage.put("large.jpg", source)
    monkeypatch.setattr(api_storage, "MAX_OBJECT_BYTES", 2 << 20)
    monkeypatch.setattr(api_storage, "_temporary", lambda *_: pytest.fail("it is fetched"))
    with pytest.raises(InputError, match="more than 2 MiB"):
        storage.get("large.jpg", tmp_path / "back.jpg")


def test_only_what_is_copied_needs_room_in_the_data_folder(
    running: Running, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = running.client().storage
    storage.put("a.jpg", source)
    monkeypatch.setattr(disk_space, "FREE_SPACE_MARGIN", 1 << 60)
    if isinstance(running.service.storage, Folder):
        storage.get("a.jpg", tmp_path / "back.jpg")
        assert (tmp_path / "back.jpg").read_bytes() == source.read_bytes()
    else:
        with pytest.raises(ServiceError, match="Not enough space"):
            storage.get("a.jpg", tmp_path / "back.jpg")
    refused = put_in_pieces(running, "b.jpg")
    assert (refused.status_code, "Not enough space" in refused.json()["what"]) == (500, True)
    assert [each.key for each in storage.page().objects] == ["a.jpg"]
    assert leftovers(running) == []


def test_a_copy_stops_when_others_have_taken_the_room(
    running: Running, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = running.client().storage
    storage.put("a.jpg", source)
    temporary = api_storage._temporary

    def fill_afterwards(data: Path, size: int) -> BinaryIO:
        file = temporary(data, size)
        monkeypatch.setattr(disk_space, "FREE_SPACE_MARGIN", 1 << 60)
        return file

    monkeypatch.setattr(api_storage, "_temporary", fill_afterwards)
    assert put_in_pieces(running, "b.jpg").status_code == 500
    monkeypatch.setattr(disk_space, "FREE_SPACE_MARGIN", 0)
    if not isinstance(running.service.storage, Folder):
        with pytest.raises(ServiceError, match="Not enough space"):
            storage.get("a.jpg", tmp_path / "back.jpg")
    assert leftovers(running) == []


def test_a_disk_without_room_for_a_file_is_said_each_time_and_holds_no_transfer(
    running: Running, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = running.client().storage
    storage.put("a.jpg", source)

    def no_room(**_: object) -> BinaryIO:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(api_storage.tempfile, "TemporaryFile", no_room)
        for _ in range(api_storage.OPEN_TRANSFERS.limit + 1):
            with pytest.raises(ServiceError, match="No space left"):
                storage.put("b.jpg", source)
            if not isinstance(running.service.storage, Folder):
                with pytest.raises(ServiceError, match="No space left"):
                    storage.get("a.jpg", tmp_path / "back.jpg")
    storage.get("a.jpg", tmp_path / "back.jpg")
    assert (tmp_path / "back.jpg").read_bytes() == source.read_bytes()


def test_transfers_are_bounded(in_folder: Running, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_storage.OPEN_TRANSFERS, "limit", 0)
    answer = httpx.put(
        f"{in_folder.url}/storage/object?key=x", content=b"1", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


def test_a_client_waits_until_a_bucket_that_hangs_was_asked_for_the_last_time() -> None:
    pauses = sum(1.5 * retries.FIRST_PAUSE * 3.0**number for number in range(retries.RETRIES))
    assert (1 + retries.RETRIES) * (CONNECT_SECONDS + READ_SECONDS) + pauses < STORAGE_SECONDS
