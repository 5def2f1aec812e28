"""Names stand where people look for them: numbers count as numbers, and a name stands before what is built on it.

It applies to every list of presets, containers, cameras and users, in the console and on the command line.
"""

from __future__ import annotations

import random

import pytest

from core.api_schema import CameraStatus, ServiceStatus
from core.files import list_files
from core.natural_order import natural_key
from core.presets.store import list_presets
from core.service_client import ServiceClient
from core.site import Site
from tests.cli.conftest import PRESET
from tests.tui import sample

ORDERS = [  # as people look for them
    ["site-1060", "site-1060-b", "site-1070"],
    ["cam1", "cam2", "cam10", "cam10b", "cam11"],
    ["2", "10", "a"],
    ["gate-9-left", "gate-9-right", "gate-10-left"],
    ["v1.2", "v1.10", "v2"],
    ["Cam2", "cam3", "Cam10"],
    ["a", "a0", "a1", "ab"],
    ["", "1", "x"],
    ["cam٢", "cam10"],  # other digits are numbers as well
    ["cam²", "cam³"],  # raised ones are not
]


@pytest.mark.parametrize("names", ORDERS, ids=range(len(ORDERS)))
def test_names_in_order(names: list[str]) -> None:
    mixed = list(names)
    random.Random(1).shuffle(mixed)
    assert sorted(mixed, key=natural_key) == names


@pytest.mark.parametrize("names", [["site-1060", "site-1060-b"], ["cam2", "cam10"]], ids=str)
def test_presets(site: Site, names: list[str]) -> None:
    for name in reversed(names):
        (site.presets / f"{name}.json").write_text(PRESET)
    assert [entry.name for entry in list_presets(site)] == names
    assert [path.stem for path in list_files(site.presets, ".json")] == names


def test_cameras_and_users(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = sample.cameras().cameras[0]
    cameras: list[CameraStatus] = [camera.model_copy(update={"id": name}) for name in ("cam10", "cam2", "cam")]
    status: ServiceStatus = sample.cameras().model_copy(update={"cameras": cameras})
    people = [sample.service().users[0].model_copy(update={"name": name}) for name in ("op10", "op9")]  # type: ignore[index]
    answers = {"/status": status, "/cameras": cameras, "/users": people}
    monkeypatch.setattr(ServiceClient, "_get", lambda _self, path, _kind: answers[path])
    client = ServiceClient("http://127.0.0.1:9")
    assert [camera.id for camera in client.cameras()] == ["cam", "cam2", "cam10"]
    assert [one.id for one in client.status().cameras] == ["cam", "cam2", "cam10"]
    assert [one.name for one in client.users()] == ["op9", "op10"]
