"""GPUs by device request or CDI, and the table of the engine's errors, tested without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.containers import gpu_access as module
from core.containers.engine_error_table import explain_engine_error
from core.containers.gpu_access import GpuAccess, device_request, gpu_access
from core.engine import EngineError


@pytest.fixture(autouse=True)
def no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name: None)


LISTED = {"DiscoveredDevices": [{"ID": "nvidia.com/gpu=0"}]}


@pytest.mark.parametrize(
    ("info", "local", "expected"),
    [
        ({"Runtimes": {"runc": {}, "nvidia": {}}}, True, GpuAccess.DEVICE_REQUEST),
        ({"Runtimes": {"nvidia": {}}, **LISTED}, False, GpuAccess.DEVICE_REQUEST),
        ({"Runtimes": {"runc": {}}, **LISTED}, False, GpuAccess.CDI),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": [{"ID": "vendor.com/net=0"}]}, True, GpuAccess.NONE),
        ({"Runtimes": {"runc": {}}}, False, GpuAccess.UNKNOWN),
        ({}, True, GpuAccess.NONE),
    ],
)
def test_what_the_engine_says(info: dict[str, Any], local: bool, expected: GpuAccess) -> None:
    assert gpu_access(info, local=local) is expected


def test_hook_without_a_registered_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert gpu_access({"Runtimes": {"runc": {}}}, local=True) is GpuAccess.DEVICE_REQUEST
    assert gpu_access({"Runtimes": {"runc": {}}}, local=False) is GpuAccess.UNKNOWN


def test_cdi_files_of_an_engine_that_does_not_list_devices(tmp_path: Path) -> None:
    info = {"CDISpecDirs": [str(tmp_path / "absent"), str(tmp_path)]}
    (tmp_path / "notes.txt").write_text("kind: nvidia.com/gpu")
    assert gpu_access(info, local=True) is GpuAccess.NONE
    (tmp_path / "nvidia.yaml").write_text("cdiVersion: 0.6.0\nkind: nvidia.com/gpu\n")
    assert gpu_access(info, local=True) is GpuAccess.CDI


def test_requests() -> None:
    by_request = GpuAccess.DEVICE_REQUEST
    assert device_request(by_request, ("all",)) == {"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}
    assert device_request(by_request, ("0", "1"))["DeviceIDs"] == ["0", "1"]
    assert device_request(GpuAccess.CDI, ("all",)) == {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}
    assert device_request(GpuAccess.CDI, ("0", "GPU-12"))["DeviceIDs"] == ["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-12"]
    named = device_request(by_request, ("nvidia.com/gpu=1:0",))
    assert named == {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=1:0"]}


@pytest.mark.parametrize(
    ("message", "why", "remedy"),
    [
        ('could not select device driver "" with capabilities: [[gpu]]', "no NVIDIA container toolkit", "nvidia-ctk"),
        (
            "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.6, please update your driver",
            "the image needs cuda>=12.6; the machine's NVIDIA driver is too old",
            "xaiva preset suggest",
        ),
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded", "is not loaded", "nvidia-smi"),
        ("nvidia-container-cli: device error: 7: unknown device: unknown", "no such GPU", "xaiva gpu"),
        (
            "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all",
            "does not know that CDI device",
            "nvidia-ctk cdi generate",
        ),
        ("Bind for 0.0.0.0:8600 failed: port is already allocated", "port 0.0.0.0:8600 is taken", "run.ports"),
        (
            "Error starting userland proxy: listen tcp4 127.0.0.1:8600: bind: address already in use",
            "port 127.0.0.1:8600 is taken",
            "run.ports",
        ),
        (
            "failed to bind host port for 0.0.0.0:8600:172.17.0.2:8600/tcp: address already in use",
            "port 0.0.0.0:8600 is taken",
            "run.ports",
        ),
        (
            'invalid mount config for type "bind": bind source path does not exist: /srv/models',
            "no folder /srv/models",
            "run.volumes",
        ),
        (
            'exec: "docker-init": executable file not found in $PATH',
            "the engine cannot run docker-init",
            "install docker-init",
        ),
        (
            'error mounting "/opt/docker-init" to rootfs at "/sbin/docker-init": no such file or directory',
            "the engine cannot run docker-init",
            "install docker-init",
        ),
        (
            'runc create failed: exec: "serve": executable file not found in $PATH: unknown',
            "the image has no program serve",
            "run.command",
        ),
        ("write /var/lib/docker/x: no space left on device", "disk is full", "docker system df"),
    ],
)
def test_refusals_are_explained(message: str, why: str, remedy: str) -> None:
    error = explain_engine_error(EngineError("Launch of container x", message))
    assert why in error.why
    assert message in error.why  # the engine's own words are kept
    assert remedy in error.remedy


def test_unknown_refusal_is_passed_on() -> None:
    error = EngineError("Launch of container x", "something new")
    assert explain_engine_error(error) is error
