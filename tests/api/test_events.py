"""Events, pictures and clips over HTTP, and clips onto a disk over a line that breaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from core.api_schema import EventQuery
from core.errors import InputError
from core.service_client import ServiceClient, ServiceError
from tests.api.conftest import CLIP, Events
from tests.api.serving import TOKEN, Running

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_pages_filters_and_sorting(running: Running, events: Events) -> None:
    client = running.client()
    newest_first = [events.gate, events.yard, events.recording, events.bare]
    assert [event.id for event in client.all_events(EventQuery(limit=1))] == newest_first
    highest = client.events(EventQuery(sort="score", limit=1)).events
    assert [event.id for event in highest] == [events.bare]
    assert {event.id for event in client.all_events(EventQuery(camera="gate"))} == {events.gate, events.recording}
    since = client.event(events.yard).started
    assert [event.id for event in client.all_events(EventQuery(since=since))] == [events.gate, events.yard]


@pytest.mark.parametrize(
    "cursor", ["x", "W10=", "eyJh", "é", "W3t9LCAxLCAyXQ==", "W" * 500, "WyJ0aW1lLSIsICJ4IiwgMV0="]
)
def test_a_made_up_cursor_is_refused(running: Running, cursor: str) -> None:
    with pytest.raises(InputError, match=r"[Cc]ursor"):
        running.client().events(EventQuery(cursor=cursor))


def test_acknowledging_names_who_did_it(running: Running, people: dict[str, ServiceClient], events: Events) -> None:
    ids = [events.gate, events.bare, "00000000-0000-7000-8000-000000000000"]
    assert people["operator"].acknowledge(ids, "seen to") == 2
    assert people["operator"].acknowledge(ids) == 0
    event = running.client().event(events.gate)
    assert (event.acknowledged_by, event.note) == ("operator", "seen to")
    assert people["operator"].protect(events.gate).protected
    assert not people["operator"].protect(events.gate, False).protected


def test_pictures_as_jpeg_and_as_pixels(running: Running, events: Events) -> None:
    client = running.client()
    assert client.event_snapshot(events.gate).startswith(b"\xff\xd8")
    assert client.event_thumbnail(events.gate, 32).startswith(b"P6 32 18 255\n")
    with pytest.raises(InputError, match="there is none"):
        client.event_snapshot(events.bare)


def test_a_clip_by_ranges(running: Running, events: Events) -> None:
    url = f"{running.url}/events/{events.gate}/clip"

    def get(**headers: str) -> httpx.Response:
        return httpx.get(url, headers={**BEARER, **{name.replace("_", "-"): value for name, value in headers.items()}})

    whole = get()
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, CLIP, "video/mp4")
    assert whole.headers["content-disposition"] == f'attachment; filename="gate-{events.gate}.mp4"'
    tag = whole.headers["etag"]
    for byte_range, expected in (("bytes=0-9", CLIP[:10]), ("bytes=102390-", CLIP[-10:]), ("bytes=-5", CLIP[-5:])):
        part = get(Range=byte_range)
        assert (part.status_code, part.content) == (206, expected)
    assert get(Range="bytes=5-9", If_Range=tag).content == CLIP[5:10]
    assert get(Range="bytes=5-9", If_Range='"older"').content == CLIP
    for wrong in ("bytes=102400-", "bytes=9-5", "bytes=0-1,5-6", "bytes=-0", "lines=1-2", "bytes=", "bytes=a-b", ""):
        refused = get(Range=wrong)
        assert refused.status_code == 416, wrong
        assert refused.json()["what"] == "Range"


def test_no_clip_is_said_and_so_is_one_under_way(running: Running, events: Events, tmp_path: Path) -> None:
    client = running.client()
    with pytest.raises(InputError, match="still being recorded"):
        client.save_clip(events.recording, tmp_path / "clip.mp4")
    with pytest.raises(InputError, match="there is none"):
        client.save_clip(events.bare, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["..%2f..%2fxaiva.db", "%2e%2e/x", "../../xaiva.db", "..", "%00", "a%0d%0ab"])
def test_no_path_leads_out_of_the_media(running: Running, path: str) -> None:
    answer = httpx.get(f"{running.url}/events/{path}/clip", headers=BEARER)
    assert answer.status_code in (404, 405)
    assert "\n" not in "".join(answer.headers.values())


@contextmanager
def breaking_line(port: int, *bounds: int) -> Iterator[int]:
    """A port that leads to `port`; its connections end after so many bytes of the answer, later ones do not."""
    listener = socket.create_server(("127.0.0.1", 0))
    remaining = list(bounds)

    def carry(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            bound = remaining.pop(0) if remaining else 1 << 40
            threading.Thread(target=pump, args=(near, far, 1 << 40), daemon=True).start()
            pump(far, near, bound)

    def pump(source: socket.socket, target: socket.socket, bound: int) -> None:
        try:
            while bound > 0 and (data := source.recv(min(bound, 65536))):
                target.sendall(data)
                bound -= len(data)
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def accept() -> None:
        while True:
            try:
                near, _address = listener.accept()
            except OSError:
                return
            threading.Thread(target=carry, args=(near,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def test_a_clip_comes_whole_over_a_line_that_breaks(running: Running, events: Events, tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    progress: list[tuple[int, int]] = []
    with breaking_line(int(running.url.rsplit(":", 1)[1]), 30_000, 30_000, 500, 20_000) as port:
        client = ServiceClient(f"http://127.0.0.1:{port}", 10, token=TOKEN)
        client._transport._identified = True  # the first connection is for the clip
        client.save_clip(events.gate, target, lambda done, total: progress.append((done, total)))
    assert target.read_bytes() == CLIP
    assert progress[-1] == (len(CLIP), len(CLIP))
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)  # it went on where it broke
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_line_that_stays_broken_leaves_the_old_file(running: Running, events: Events, tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"old content")
    with breaking_line(int(running.url.rsplit(":", 1)[1]), 30_000, *[300] * 20) as port:
        client = ServiceClient(f"http://127.0.0.1:{port}", 10, token=TOKEN)
        client._transport._identified = True
        with pytest.raises(ServiceError):
            client.save_clip(events.gate, target)
    assert target.read_bytes() == b"old content"
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]
    with pytest.raises(InputError, match="cannot be written"):
        running.client().save_clip(events.gate, tmp_path / "nowhere" / "clip.mp4")
