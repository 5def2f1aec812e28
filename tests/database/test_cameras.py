"""The cameras in the database."""

from __future__ import annotations

import pytest

from core.api_schema import CameraRequest, Detection, Zone
from core.inference.database.camera_store import CameraStore
from core.inference.database.engine import Database
from core.inference.database.models import CameraRow


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
