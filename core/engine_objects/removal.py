"""Removes one image of the engine, never one that a container uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.engine import EngineError, engine_errors
from core.engine_objects.listing import read_inventory
from core.engine_objects.model import Image, Inventory
from core.errors import InputError

if TYPE_CHECKING:
    import docker


def find_image(inventory: Inventory, reference: str) -> Image:
    """The image with that tag, that id, or an id that begins so. Raises InputError for none and for several."""
    digits = reference.removeprefix("sha256:")
    images = [image for image in inventory.images if {reference, f"{reference}:latest"} & set(image.tags)]
    images = images or [
        image for image in inventory.images if digits and image.id.removeprefix("sha256:").startswith(digits)
    ]
    if len(images) == 1:
        return images[0]
    why = f"{len(images)} images have ids that begin so" if images else "the engine has no such image"
    raise InputError(f"Image {reference}", why, "list them with: xaiva engine images")


def remove_image(client: docker.DockerClient, image: Image) -> None:
    """Remove an image with all the tags that it had when it was listed; without force, and nothing else with it.

    Raises EngineError when a container uses it, or when it has got another tag meanwhile.
    """
    what = f"Removal of image {image.name}"
    now = next((other for other in read_inventory(client).images if other.id == image.id), None)
    if now is None:
        return
    if now.used_by:
        use = now.used_by[0].container
        raise EngineError(what, f"the container {use} uses it", f"remove that container first: xaiva rm {use}")
    if now.tags != image.tags:
        raise EngineError(what, f"its tags have changed: {', '.join(now.tags) or 'it has none'}")
    api: Any = client.api  # the SDK's types leave the options out
    with engine_errors(what):
        for tag in now.tags[:-1]:
            api.remove_image(tag, force=False, noprune=True)
        api.remove_image(now.id, force=False, noprune=True)
