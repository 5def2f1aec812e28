"""The whole line through the command line alone: lock and sync online, then a site without a route.

The office's engine makes the base image known; the site's engine lives in a network namespace with no way out, knows
no image, and gets nothing but the copied artifacts folder.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import require, rtsp
from tests.support.engine import TestEngine, start_engine

pytestmark = [pytest.mark.engine, pytest.mark.index, pytest.mark.camera, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
PRESET = "cpu-debian12"
LIVE_SECONDS = 60.0


@dataclass
class Place:
    """A site folder and the engine it talks to."""

    folder: Path
    engine: TestEngine

    def xaiva(self, *arguments: str, code: int = 0) -> str:
        """Run one command as a user would, in the engine's own network; returns what it printed."""
        command = [sys.executable, "-m", "core.cli", "--site", str(self.folder), *arguments]
        done = subprocess.run(
            self.engine.inside(command), cwd=ROOT, env=self.engine.env, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The JSON document a command prints."""
        return json.loads(self.xaiva(*arguments, "--json"))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, engine: TestEngine) -> Place:
    """The office: the shipped preset, a network, and an engine that knows the base image."""
    require(rtsp.available(), "GStreamer's RTSP server")
    folder = tmp_path_factory.mktemp("office")
    (folder / "presets").mkdir()
    shutil.copy(ROOT / "presets" / f"{PRESET}.json", folder / "presets")
    return Place(folder, engine)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The site: an engine without a route and without an image."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "presets").mkdir()
    with start_engine(offline=True, bridge=True, base=False) as engine:
        yield Place(folder, engine)


def test_the_whole_line(office: Place, site: Place) -> None:
    office.xaiva("preset", "check", PRESET)
    office.xaiva("lock", PRESET)
    artifacts = office.folder / "artifacts" / PRESET
    first = (artifacts / "lock.json").read_bytes(), (artifacts / "pylock.toml").read_bytes()
    office.xaiva("lock", PRESET)
    assert ((artifacts / "lock.json").read_bytes(), (artifacts / "pylock.toml").read_bytes()) == first
    assert json.loads(first[0]).get("unlocked", []) == []
    office.xaiva("sync", PRESET, "--plan")
    office.xaiva("sync", PRESET)
    office.xaiva("verify", PRESET)

    # The stick: two folders are all that is carried.
    shutil.copy(office.folder / "presets" / f"{PRESET}.json", site.folder / "presets")
    shutil.copytree(artifacts, site.folder / "artifacts" / PRESET)

    site.xaiva("verify", PRESET)
    site.xaiva("build", PRESET)
    build = site.json("builds", "list")["builds"][0]
    assert build["outcome"] == "done"

    site.xaiva("launch", "--create-folders", PRESET)
    ours = [one for one in site.json("ps")["containers"] if one["preset"] == PRESET]
    assert [one["state"] for one in ours] == ["running"]

    server = rtsp.RtspServer({"gate": rtsp.Live()}, address=site.engine.gateway, prefix=site.engine.inside([]))
    with server:
        _eventually(lambda: site.xaiva("camera", "add", "gate", server.url("gate")))
        live = _eventually(lambda: _live_camera(site))
        assert live["fps"] > 0
        assert live["width"] == 640

    site.xaiva("stop", "xaiva-" + PRESET)
    site.xaiva("rm", "--yes", "xaiva-" + PRESET)


def _live_camera(site: Place) -> dict[str, Any]:
    camera: dict[str, Any] = site.json("camera", "list")["cameras"][0]
    assert camera["state"] == "live"
    assert camera["fps"] > 0
    return camera


def _eventually(attempt: Any) -> Any:
    """The attempt's result, as soon as it passes."""
    deadline = time.monotonic() + LIVE_SECONDS
    while True:
        try:
            return attempt()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
