"""The shipped stack, from the office to a site without a route: up, a value from service to service, one change, down.

Its artifacts are locked and synced once a machine and kept in the tests' cache: TensorFlow alone has 207 MB.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.artifacts.lockfile import Lock
from tests.support.cache import cached
from tests.support.checkout import ROOT
from tests.support.engine import TestEngine, base_tar, start_engine

pytestmark = [pytest.mark.engine, pytest.mark.index, pytest.mark.slow]

STACK = "recruit"
PRESETS = ("agent-cpu", "api-backend-cpu", "redis-debian12", "video-analysis-cpu", "web-debian12")
SERVICES = {"redis", "agent", "backend", "video-analysis", "frontend"}
FINGERPRINT = "org.xaiva.fingerprint"
PAGES = "http://127.0.0.1:8080"


class Place:
    """The site's folder, as the office or the site works on it: each with its own engine and network."""

    def __init__(self, folder: Path, engine: TestEngine) -> None:
        self.folder, self.engine = folder, engine

    def run(self, *command: str) -> str:
        """Run a command in the engine's own network; returns what it printed."""
        done = subprocess.run(
            self.engine.inside([*command]), cwd=ROOT, env=self.engine.env, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def xaiva(self, *words: str) -> str:
        return self.run(sys.executable, "-m", "core.cli", "--site", str(self.folder), *words)

    def fetch(self, path: str, *options: str) -> Any:
        """The JSON document at a path of the pages' server."""
        return json.loads(self.run("curl", "--silent", "--show-error", "--fail", *options, PAGES + path))

    def steps(self) -> list[str]:
        """What `up` would do, as `replace agent`."""
        plan = json.loads(self.xaiva("stack", "plan", STACK, "--json"))
        return [f"{step['kind']} {step['subject']}" for step in plan["steps"] if step["kind"] != "leave"]

    def containers(self) -> dict[str, str]:
        """Service → id of its one container, which must be healthy."""
        rows = json.loads(self.xaiva("stack", "ps", STACK, "--json"))["containers"]
        assert [row["health"] for row in rows] == ["healthy"] * len(rows), rows
        found = {row["service"]: row["id"] for row in rows}
        assert len(found) == len(rows), rows
        return found


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The office: a folder with the stack, its presets and their artifacts; a network, and the base image."""
    folder = tmp_path_factory.mktemp("office")
    _copy_presets_and_stack(folder)
    with start_engine() as engine:
        place = Place(folder, engine)

        def lock_and_sync(scratch: Path) -> None:
            _copy_presets_and_stack(scratch)
            for name in PRESETS:
                for word in ("lock", "sync"):
                    Place(scratch, engine).xaiva(word, name)

        texts = "".join((folder / "presets" / f"{name}.json").read_text() for name in PRESETS)
        key = f"{Lock.model_fields['version'].default} {base_tar()} {texts}"
        shutil.copytree(cached(STACK, key, lock_and_sync) / "artifacts", folder / "artifacts")
        yield place


@pytest.fixture(scope="module")
def site(office: Place) -> Iterator[Place]:
    """The site: the same folder, with an engine that has no route and no image."""
    with start_engine(offline=True, bridge=True, base=False) as engine:
        yield Place(office.folder, engine)


def _copy_presets_and_stack(folder: Path) -> None:
    (folder / "presets").mkdir()
    for name in PRESETS:
        shutil.copy2(ROOT / "presets" / f"{name}.json", folder / "presets")
    shutil.copytree(ROOT / "stacks" / STACK, folder / "stacks" / STACK)


def test_the_shipped_stack_at_a_site_without_a_route(office: Place, site: Place) -> None:
    assert not site.run("ip", "route", "show", "default")
    site.xaiva("stack", "up", STACK)
    before = site.containers()
    assert before.keys() == SERVICES
    assert site.steps() == []

    told = json.dumps({"value": "a welder, please"})
    site.fetch("/agent/memory/wish", "--request", "PUT", "--header", "Content-Type: application/json", "--data", told)
    assert site.fetch("/api/memory/wish") == {"key": "wish", "value": "a welder, please"}
    for path, low, high in (("/api/compute", 0.001, 0.1), ("/agent/compute", 0, 1), ("/video/compute", 0.01, 0.5)):
        values = site.fetch(path).values()
        assert all(low <= value <= high for value in values), (path, values)
        assert any(values)
    versions = {path: site.fetch(f"{path}/health")["numpy"] for path in ("/api", "/video")}
    assert {path: version[:2] for path, version in versions.items()} == {"/api": "2.", "/video": "1."}

    _require_idna(office.folder / "presets/agent-cpu.json")
    assert site.steps() == ["lock agent-cpu", "sync agent-cpu", "build agent-cpu", "build agent", "replace agent"]
    office.xaiva("lock", "agent-cpu")
    office.xaiva("sync", "agent-cpu")
    assert site.steps() == ["build agent-cpu", "build agent", "replace agent"]
    site.xaiva("stack", "up", STACK)
    after = site.containers()
    assert {name for name in SERVICES if after[name] != before[name]} == {"agent"}
    site.engine.docker("exec", after["agent"], "/opt/xaiva/bin/python", "-I", "-c", "import idna")
    assert site.fetch("/api/memory/wish")["value"] == "a welder, please"

    file = str(site.folder / "stacks" / STACK / "compose.yaml")
    site.engine.docker("compose", "--file", file, "up", "--detach", "--no-build", "--pull", "never")
    assert site.containers() == after
    assert site.steps() == []

    site.xaiva("stack", "down", STACK)
    assert site.containers() == {}
    assert site.engine.docker("ps", "--all", "--quiet") == ""
    assert site.engine.docker("network", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={STACK}") == ""
    unnamed = site.engine.docker("images", "--filter", "dangling=true", "--format", "{{.ID}}").split()
    assert len(unnamed) == 1  # the preset's image before, which `xaiva clean` keeps as its way back
    assert FINGERPRINT not in site.engine.docker("inspect", *unnamed)
    assert site.engine.docker("volume", "ls", "--quiet") == f"{STACK}_cache\n"


def _require_idna(preset: Path) -> None:
    """Add one requirement to the service's own layer."""
    text = preset.read_text()
    changed = text.replace('"requirements": ["fastapi', '"requirements": ["idna>=3", "fastapi')
    assert changed != text
    preset.write_text(changed)
