"""Built images travel on a medium: from one engine into another, only what is new, and without an engine not at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.carry import pack, signing, unpack
from core.carry.medium_check import run as check
from core.carry.trust_store import add_signer
from core.site import Site
from tests.carry.conftest import empty_site
from tests.images.stores import STORES, store_engine
from tests.support.artifacts import RecordingProgress, write_preset
from tests.support.engine import TestEngine
from tests.support.shipments import tree

pytestmark = pytest.mark.engine
NAME = "carried"
TAG = f"xaiva/{NAME}:latest"
LAYER_BYTES = 3_000_000


@pytest.fixture(params=STORES)
def engines(request: pytest.FixtureRequest) -> Iterator[tuple[TestEngine, TestEngine]]:
    """The engine that builds the image, with each image store, and one with the other store, which knows no image."""
    [other] = set(STORES) - {request.param}
    with store_engine(request.param) as office, store_engine(other) as site:
        yield office, site


@pytest.fixture(autouse=True)
def _no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.carry.preparation.console_files", lambda _site: [])


def build(engine: TestEngine, folder: Path, *layers: str) -> None:
    """Build the image; a layer's name decides its content."""
    lines = ["FROM scratch", *(f"COPY {name} /{name}" for name in layers), 'CMD ["/none"]']
    for name in layers:
        (folder / name).write_bytes(random.Random(name).randbytes(LAYER_BYTES))
    (folder / "Dockerfile").write_text("\n".join(lines))
    engine.docker("buildx", "build", "--builder", "default", "--provenance=false", "--tag", TAG, f"{folder}")


def image_id(engine: TestEngine) -> str:
    """What tells the content of the image, in either store; empty when there is no image."""
    return engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", TAG, check=False).strip()


def test_an_image_goes_from_engine_to_engine_and_then_only_its_new_layer(
    office: Site, engines: tuple[TestEngine, TestEngine], medium: Path, tmp_path: Path
) -> None:
    office_engine, site_engine = engines
    folder = tmp_path / "context"
    folder.mkdir()
    sending = Site(office.root, office.settings, office_engine.env)
    write_preset(sending, NAME)
    receiving = empty_site(tmp_path / "receiving")
    add_signer(receiving, signing.public_key(office))
    without = Site(receiving.root, receiving.settings, {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"})
    receiving = Site(receiving.root, receiving.settings, site_engine.env)

    build(office_engine, folder, "a", "b")
    first = run_pack(sending, medium)
    assert first["images"] == [TAG]
    assert first["written_bytes"] > 2 * LAYER_BYTES
    assert check(receiving, f"{medium}", {}, RecordingProgress())

    [finding] = run_unpack(without, medium)["findings"]
    assert (finding["code"], finding["what"]) == ("images-not-delivered", f"{TAG} was not brought into the engine")
    assert "then unpack again" in finding["remedy"]
    assert tree(receiving.root) == tree(sending.root)

    result = run_unpack(receiving, medium)
    assert (result["new"], result["bytes"], result["findings"]) == (0, 0, [])
    assert image_id(site_engine) == image_id(office_engine) != ""
    assert run_unpack(receiving, medium)["images"] == [f"{TAG}: already in the engine"]

    build(office_engine, folder, "a", "b", "c")
    second = run_pack(sending, medium)
    assert LAYER_BYTES < second["written_bytes"] < 1.5 * LAYER_BYTES
    [line] = run_unpack(receiving, medium)["images"]
    assert line == f"{TAG}: 3.0 MB moved to the engine"
    assert image_id(site_engine) == image_id(office_engine)


def run_pack(site: Site, medium: Path) -> dict[str, Any]:
    return pack.run(site, f"{medium}", {"presets": [NAME], "images": True}, RecordingProgress())


def run_unpack(site: Site, medium: Path) -> dict[str, Any]:
    return unpack.run(site, f"{medium}", {}, RecordingProgress())
