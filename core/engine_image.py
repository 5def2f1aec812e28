"""What the engine says of one image."""

from __future__ import annotations

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
