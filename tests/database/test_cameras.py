"""The cameras in the database, and what an older version left in a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api_schema import CameraRequest, Detection, Zone
from core.inference.database.camera_store import CameraStore
from core.inference.database.engine import Database
from core.inference.database.models import CameraRow


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def a_camera(name: str, **fields: object) -> CameraRequest:
    return CameraRequest.model_validate({"id": name, "source": f"rtsp://u:p@host/{name}", **fields})


def test_cameras_come_back_in_their_order(database: Database) -> None:
    store = CameraStore(database)
    zone = Zone(name="door", polygon=((0, 0), (1, 0), (0.5, 1)))
    cameras = [a_camera("b", zones=(zone,)), a_camera("a", detection=Detection(threshold=0.25)), a_camera("c")]
    for camera in cameras:
        store.put(camera)
    assert store.load() == cameras
    changed = a_camera("b", fps=12)
    store.put(changed)
    store.drop("c")
    store.drop("never there")
    assert CameraStore(database).load() == [changed, cameras[1]]


def test_one_that_is_not_understood_leaves_the_others(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    store = CameraStore(database)
    store.put(a_camera("a"))
    later = {"id": "b", "source": "rtsp://u:secret@host/b", "lens": "wide"}
    database.write(lambda session: session.add(CameraRow(id="b", position=2, request=later)))
    assert [camera.id for camera in store.load()] == ["a"]
    assert "camera b is skipped" in caplog.text
    assert "lens" in caplog.text
    assert "secret" not in caplog.text


def test_what_an_older_version_kept_is_taken_over_once(database: Database, tmp_path: Path) -> None:
    store = CameraStore(database)
    file = tmp_path / "cameras.json"
    store.take_over(file)
    cameras = [a_camera("a"), a_camera("b")]
    file.write_text(json.dumps({"cameras": [camera.model_dump(mode="json") for camera in cameras]}))
    store.take_over(file)
    assert store.load() == cameras
    assert not file.exists()
    store.drop("a")
    store.take_over(file)
    assert store.load() == cameras[1:]


def test_a_broken_file_is_set_aside(database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    (tmp_path / "cameras.json").write_text("{")
    store = CameraStore(database)
    store.take_over(tmp_path / "cameras.json")
    assert store.load() == []
    assert [path.name.startswith("cameras.broken-") for path in tmp_path.glob("cameras*")] == [True]
    assert "cameras.broken" in caplog.text
