"""What the engine says of one image, and of its image store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.engine import engine_errors

if TYPE_CHECKING:
    import docker


def inspect_image(client: docker.DockerClient, tag: str) -> dict[str, Any] | None:
    """The engine's description of an image; None when the engine does not have it. Raises EngineError."""
    import docker.errors

    api: Any = client.api  # the SDK's types leave this call out
    with engine_errors(f"Image {tag}"):
        try:
            return dict(api.inspect_image(tag))
        except docker.errors.NotFound:
            return None


def image_labels(description: dict[str, Any]) -> dict[str, str]:
    """The labels in the description of an image."""
    return dict((description.get("Config") or {}).get("Labels") or {})


def image_store(info: Mapping[str, Any]) -> str:
    """Which image store an engine has, from its description: `classic`, `containerd` or `unknown`."""
    status = info.get("DriverStatus")
    if not isinstance(status, list):
        return "unknown"
    return "containerd" if ["driver-type", "io.containerd.snapshotter.v1"] in status else "classic"
