"""One preset, built once in an engine without a network, for tests that inspect and change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from core.artifacts.lockfile import Lock
from core.images import build
from core.images.build_history import BuildRecord, list_builds
from core.site import Site
from tests.images import support
from tests.support.engine import TestEngine

NAME = "demo"
DESCRIPTION = 'Prüfstand: "12" at $HOME\\'


@dataclass
class Demo:
    """A site with the preset `demo`, its artifacts, and the engine without a route that builds it."""

    site: Site
    engine: TestEngine
    artifacts: support.Artifacts
    lock: Lock
    first: BuildRecord
    progress: support.Recorder

    def build(self, **options: object) -> tuple[BuildRecord, support.Recorder]:
        """Build again, as it stands; raises what the build raises."""
        recorder = support.Recorder()
        build.run(self.site, NAME, options, recorder)
        return list_builds(self.site)[0], recorder

    def shell(self, script: str, *options: str, image: str = f"xaiva/{NAME}:latest") -> str:
        """What a shell of root's in the image prints."""
        words = ["run", "--rm", "--network", "none", "--user", "root", *options, "--entrypoint", "sh", image]
        return self.engine.docker(*words, "-c", script)


def new_site(root: Path, engine: TestEngine) -> Site:
    """An empty site that works with `engine`."""
    for folder in ("presets", "artifacts", "docker"):
        (root / folder).mkdir(parents=True)
    return Site.open(root, engine.env)


@pytest.fixture(scope="session")
def demo(engine: TestEngine, offline_engine: TestEngine, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Layers `common`, `extra` and `service`; built offline once."""
    site = new_site(tmp_path_factory.mktemp("images") / "site", offline_engine)
    layers = [{"name": "common", "requirements": ["click"]}, {"name": "extra", "requirements": ["idna"]}]
    preset = support.preset_of(layers=layers, metadata={"description": DESCRIPTION})
    artifacts = support.Artifacts(site, NAME, preset)
    artifacts.add_debs(support.debs(engine), build=False)
    artifacts.add_base(engine)
    artifacts.add_layer("common", support.wheels("click"))
    artifacts.add_layer("extra", support.wheels("idna==3.10"))
    taken = {path.name for path in [*support.wheels("click"), *support.wheels("idna==3.10")]}
    names = {name.partition("-")[0] for name in taken}
    service = support.service_wheels(tmp_path_factory.mktemp("own"))
    artifacts.add_layer("service", [path for path in service if path.name.partition("-")[0] not in names])
    lock = artifacts.write()
    recorder = support.Recorder()
    build.run(site, NAME, {}, recorder)
    return Demo(site, offline_engine, artifacts, lock, list_builds(site)[0], recorder)
