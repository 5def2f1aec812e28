"""Finds out how an engine gives GPUs to a container: NVIDIA's runtime (device requests) or CDI (device names)."""

from __future__ import annotations

import shutil
from enum import Enum
from pathlib import Path
from typing import Any

from core.findings import Finding

# dockerd looks for this program on a device request, even when no runtime is registered
_HOOK = "nvidia-container-runtime-hook"
_CDI_KIND = "nvidia.com/gpu"
TOOLKIT_REMEDY = (
    "install the nvidia-container-toolkit on the engine's machine, then: "
    "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
)
CDI_REMEDY = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml, then restart the engine"


class GpuAccess(str, Enum):
    """How the engine gives GPUs to a container. UNKNOWN: a remote engine reports neither; try a device request."""

    DEVICE_REQUEST = "device-request"
    CDI = "cdi"
    UNKNOWN = "unknown"
    NONE = "none"


def gpu_access(info: dict[str, Any], *, local: bool) -> GpuAccess:
    """The access that the engine's `info` reports; for a `local` engine this machine's files are checked too."""
    if "nvidia" in (info.get("Runtimes") or {}) or (local and shutil.which(_HOOK)):
        return GpuAccess.DEVICE_REQUEST
    discovered = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or []]
    if any(identity.startswith(_CDI_KIND) for identity in discovered):
        return GpuAccess.CDI
    folders = [Path(folder) for folder in info.get("CDISpecDirs") or []]
    if local and any(_describes_nvidia(path) for folder in folders for path in _cdi_files(folder)):
        return GpuAccess.CDI
    return GpuAccess.NONE if local else GpuAccess.UNKNOWN


def device_request(access: GpuAccess, gpus: tuple[str, ...]) -> dict[str, Any]:
    """The API's DeviceRequest for `gpus`: `all`, indices, UUIDs, or CDI names such as `nvidia.com/gpu=0`."""
    has_cdi_names = any("=" in gpu for gpu in gpus)
    if access is GpuAccess.CDI or has_cdi_names:
        return {"Driver": "cdi", "DeviceIDs": [gpu if "=" in gpu else f"{_CDI_KIND}={gpu}" for gpu in gpus]}
    if gpus == ("all",):
        return {"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}
    return {"Driver": "", "DeviceIDs": list(gpus), "Capabilities": [["gpu"]]}


def missing_toolkit_finding(location: str) -> Finding:
    """The finding for an engine that cannot give GPUs to containers."""
    return Finding.error(
        code="gpu-toolkit",
        what="GPUs for the container",
        why="the engine has neither NVIDIA's runtime nor CDI devices of NVIDIA",
        remedy=TOOLKIT_REMEDY,
        where=location,
    )


def _cdi_files(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if path.suffix in (".yaml", ".yml", ".json")]
    except OSError:
        return []


def _describes_nvidia(path: Path) -> bool:
    try:
        return _CDI_KIND in path.read_text(errors="replace")
    except OSError:
        return False
