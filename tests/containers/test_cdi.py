"""GPUs by CDI on a real engine with that feature. The device is fake, the injection is real."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from core import labels
from core.containers.launch import check_launch, launch
from core.containers.listing import inspect_container
from core.containers.manage import remove_container
from core.engine import EngineError, connect_engine
from core.site import Site
from tests.containers.conftest import NAME, preset
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine, start_engine

pytestmark = pytest.mark.engine

SPECIFICATION = {
    "cdiVersion": "0.6.0",
    "kind": "nvidia.com/gpu",
    "devices": [{"name": name, "containerEdits": {"env": [f"SEEN_GPU={name}"]}} for name in ("0", "all")],
}


@pytest.fixture(scope="module")
def cdi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestEngine]:
    """An engine with CDI."""
    folder = tmp_path_factory.mktemp("cdi")
    (folder / "nvidia.json").write_text(json.dumps(SPECIFICATION))
    settings = {"features": {"cdi": True}, "cdi-spec-dirs": [str(folder)]}
    with start_engine(bridge=False, settings=settings) as engine:
        engine.docker("tag", BASE_IMAGE, labels.image_tag(NAME))
        yield engine


def test_devices_are_injected(cdi: TestEngine, site: Site) -> None:
    there = Site(site.root, site.settings, cdi.env)
    client = connect_engine(there)
    for gpus, environment in {"all": "all", "0": "0", "nvidia.com/gpu=0": "0"}.items():
        chosen = preset(gpus=gpus, command=["sh", "-c", "echo saw $SEEN_GPU; exec sleep 1000"])
        assert check_launch(there, NAME, chosen) == []
        container = launch(there, NAME, chosen)
        until(lambda: client.api.logs(container.id))  # noqa: B023 - called before the next round
        assert client.api.logs(container.id).strip() == f"saw {environment}".encode()
        assert inspect_container(client, container.id)["HostConfig"]["DeviceRequests"][0]["Driver"] == "cdi"
        remove_container(client, container.id, force=True)


def test_unknown_device_is_explained(cdi: TestEngine, site: Site) -> None:
    there = Site(site.root, site.settings, cdi.env)
    with pytest.raises(EngineError, match="does not know that CDI device") as caught:
        launch(there, NAME, preset(gpus="7"))
    assert "nvidia-ctk cdi generate" in caught.value.remedy
