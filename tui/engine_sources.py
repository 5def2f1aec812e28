"""The sources of the Engine screen: what the engine holds, and what that takes on disk."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from core.site import Site

if TYPE_CHECKING:
    from core.engine_objects.model import DiskUsage, ImageLayer, Inventory

ENGINE_SECONDS = 3.0  # timeout of one call
USAGE_EVERY_SECONDS = 60.0  # the engine reads its disk to answer
USAGE_SECONDS = 300.0  # how long that may take


def engine_objects(site: Site) -> Inventory:
    """What the engine holds besides containers, without sizes on disk. Raises EngineError."""
    from core.engine import connect_engine
    from core.engine_objects.listing import read_inventory

    with closing(connect_engine(site, ENGINE_SECONDS)) as client:
        return read_inventory(client)


def disk_usage(site: Site) -> DiskUsage:
    """The sizes on disk, which may take minutes. Raises EngineError."""
    from core.engine import connect_engine
    from core.engine_objects.disk_usage import disk_usage

    connect_engine(site, ENGINE_SECONDS).close()  # an engine that hangs is known at once
    with closing(connect_engine(site, USAGE_SECONDS)) as client:
        return disk_usage(client)


def image_layers(site: Site, identity: str) -> list[ImageLayer]:
    """The layers of an image. Raises EngineError."""
    from core.engine import connect_engine
    from core.engine_objects.listing import image_layers

    with closing(connect_engine(site, ENGINE_SECONDS)) as client:
        return image_layers(client, identity)
