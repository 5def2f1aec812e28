"""GPUs by CDI on a real engine that has the feature: its device is a made-up one, the injection is real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import labels
from core.containers.launch import launch, preflight
from core.containers.listing import inspect
from core.containers.manage import remove
from core.engine import EngineError, connect
from core.site import Site
from tests.containers.conftest import NAME, preset, until
from tests.support import require
from tests.support.engine import base_tar

pytestmark = pytest.mark.engine

SPECIFICATION = {
    "cdiVersion": "0.6.0",
    "kind": "nvidia.com/gpu",
    "devices": [{"name": name, "containerEdits": {"env": [f"SEEN_GPU={name}"]}} for name in ("0", "all")],
}


@pytest.fixture(scope="module")
def cdi_host() -> Iterator[str]:
    """An engine with CDI and nothing else: no bridge, no second storage."""
    require(os.geteuid() == 0 and shutil.which("dockerd"), "root and dockerd")
    folder = Path(tempfile.mkdtemp(prefix="xaiva-engine-"))
    (folder / "cdi").mkdir()
    (folder / "cdi/nvidia.json").write_text(json.dumps(SPECIFICATION))
    settings = {"features": {"cdi": True}, "cdi-spec-dirs": [str(folder / "cdi")], "bridge": "none", "iptables": False}
    (folder / "daemon.json").write_text(json.dumps(settings))
    command = [
        "dockerd",
        f"--config-file={folder}/daemon.json",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--host=unix://{folder}/docker.sock",
        f"--pidfile={folder}/pid",
        "--ip6tables=false",
    ]
    with open(folder / "dockerd.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    host = f"unix://{folder}/docker.sock"
    env = {**os.environ, "DOCKER_HOST": host}
    try:
        until(lambda: subprocess.run(["docker", "version"], env=env, capture_output=True).returncode == 0, 60)
        with open(base_tar(), "rb") as tar:
            import_base = ["docker", "import", "-", labels.image_tag(NAME)]
            subprocess.run(import_base, env=env, stdin=tar, check=True, capture_output=True)
        yield host
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def test_devices_are_injected(cdi_host: str, site: Site) -> None:
    there = Site(site.root, site.settings, {**os.environ, "DOCKER_HOST": cdi_host})
    client = connect(there)
    for gpus, seen in {"all": "all", "0": "0", "nvidia.com/gpu=0": "0"}.items():
        chosen = preset(gpus=gpus, command=["sh", "-c", "echo saw $SEEN_GPU; exec sleep 1000"])
        assert preflight(there, NAME, chosen) == []
        container = launch(there, NAME, chosen)
        until(lambda: client.api.logs(container.id))  # noqa: B023 - called before the next round
        assert client.api.logs(container.id).strip() == f"saw {seen}".encode()
        assert inspect(client, container.id)["HostConfig"]["DeviceRequests"][0]["Driver"] == "cdi"
        remove(client, container.id, force=True)


def test_unknown_device_is_explained(cdi_host: str, site: Site) -> None:
    there = Site(site.root, site.settings, {**os.environ, "DOCKER_HOST": cdi_host})
    with pytest.raises(EngineError, match="does not know that CDI device") as caught:
        launch(there, NAME, preset(gpus="7"))
    assert "nvidia-ctk cdi generate" in caught.value.remedy
