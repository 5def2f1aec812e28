"""The whole line: the build guide's commands as they stand there, then a camera, at a site without a route.

At the end, jobs of the launched service outlive restarts of its container and of the engine.

The office's engine makes the base image known; the site's engine lives in a network namespace with no way out, knows
no image, has not even the console, and gets nothing but what the guide puts on the stick.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import page
from tests.e2e.place import Place, eventually
from tests.e2e.restarts import jobs_outlive_restarts
from tests.support import require, rtsp
from tests.support.checkout import checkout, stick
from tests.support.engine import TestEngine, start_engine

pytestmark = [pytest.mark.engine, pytest.mark.index, pytest.mark.camera, pytest.mark.slow]

PRESET = "cpu-debian12"
MOUNT_POINT = "/media/stick"  # in the guide; here it is another folder
FINGERPRINT = "SHA256:FINGERPRINT"  # there, too
OFFICE, SITE = (block.text for block in page("docs/build-guide.md").blocks if block.heading == "With a USB stick")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, engine: TestEngine) -> Place:
    """The office: a fresh checkout, a network, and an engine that knows the base image."""
    require(rtsp.available(), "GStreamer's RTSP server")
    return Place(checkout(tmp_path_factory.mktemp("office")), engine)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The site: an empty home, and an engine without a route and without an image."""
    home = tmp_path_factory.mktemp("home")
    with start_engine(offline=True, bridge=True, base=False) as engine:
        yield Place(home / "xaiva", engine, home)


def test_the_whole_line(office: Place, site: Place, tmp_path: Path) -> None:
    image, mount_point = tmp_path / "stick.img", tmp_path / "stick"
    with stick(image, mount_point):
        office.run(["sh", "-euc", OFFICE.replace(MOUNT_POINT, str(mount_point))], office.folder)
    paper = office.json("key", "show")["key"]["fingerprint"]
    with stick(image, mount_point):
        assert site.home is not None
        assert not any(site.home.iterdir())
        assert not site.run(["ip", "route", "show", "default"], site.home)
        commands = SITE.replace(MOUNT_POINT, str(mount_point)).replace(FINGERPRINT, paper)
        site.run(["sh", "-euc", commands], site.home)

    build = site.json("builds", "list")["builds"][0]
    assert build["outcome"] == "done"
    ours = [container for container in site.json("ps")["containers"] if container["preset"] == PRESET]
    assert [(one["state"], one["health"]) for one in ours] == [("running", "healthy")]

    server = rtsp.RtspServer({"gate": rtsp.Live()}, address=site.engine.gateway, prefix=site.engine.inside([]))
    with server:
        eventually(lambda: site.xaiva("camera", "add", "gate", server.url("gate")))
        live = eventually(lambda: _live_camera(site))
        assert live["fps"] > 0
        assert live["width"] == 640
        jobs_outlive_restarts(site, PRESET, tmp_path / "buckets")
        eventually(lambda: _live_camera(site))

    site.xaiva("stop", "xaiva-" + PRESET)
    site.xaiva("rm", "--yes", "xaiva-" + PRESET)


def _live_camera(site: Place) -> dict[str, Any]:
    camera: dict[str, Any] = site.json("camera", "list")["cameras"][0]
    assert camera["state"] == "live"
    assert camera["fps"] > 0
    return camera
