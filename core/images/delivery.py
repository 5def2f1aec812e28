"""Brings images into the site's engine: it pulls what it lacks from a registry here, or is given a `docker load`."""

from __future__ import annotations

import io
import itertools
import json
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.artifacts.engine_archive import EngineReader
from core.engine import EngineError, connect_with_long_timeout, docker_environment, engine_errors
from core.engine_image import inspect_image
from core.images.delivery_way import EngineWays, Reach, Unreachable, Way
from core.images.docker_load import docker_load, image_chunks
from core.images.image_blobs import (
    BlobSource,
    DeliveredImage,
    LayersMissing,
    absent_layers,
    diff_ids,
    present_size,
)
from core.images.registry import REPOSITORY, Registry
from core.progress import ByteCounter, Progress, stop_if_cancelled
from core.site import Site

if TYPE_CHECKING:
    import docker

_HELPER_TAG = re.compile(rf"127\.0\.0\.1:\d+/{REPOSITORY}/.+")
_ENGINE_REMEDY = "see what is wrong with the engine: xaiva doctor"
_SHORT_ID = 12  # digits of a layer in the engine's reports


@dataclass(frozen=True)
class Delivery:
    """What became of one image."""

    tag: str
    already_there: bool
    moved: int = 0
    """Bytes that went to the engine."""


def deliver_images(
    site: Site, images: Sequence[DeliveredImage], source: BlobSource, progress: Progress, stage: str = "images"
) -> list[Delivery]:
    """Give the site's engine the images that it lacks, and ask it at the end whether it has them.

    The source need not have layers that the engine has. Reports one stage with the name `stage`, if images are missing.
    Raises LayersMissing before anything moves, DamagedBlob naming the blob, EngineError, Cancelled.
    """
    with closing(connect_with_long_timeout(site)) as client:
        missing = [image for image in images if not _tag_present_image(client, image)]
        moved: dict[str, int] = {}
        if missing:
            total = sum(present_size(source, image.blobs) for image in missing)
            title = f"bring {', '.join(image.tag for image in missing)} into the engine"
            with ByteCounter(progress, stage, title, total) as transfer:
                moved = _Deliverer(site, client, source, progress, transfer, stage).deliver(missing)
    return [Delivery(image.tag, image.tag not in moved, moved.get(image.tag, 0)) for image in images]


@dataclass
class _Deliverer:
    """Delivers images to one engine."""

    site: Site
    client: docker.DockerClient
    source: BlobSource
    progress: Progress
    transfer: ByteCounter
    stage: str

    def deliver(self, images: Sequence[DeliveredImage]) -> dict[str, int]:
        """Returns tag → bytes that were moved."""
        for image in images:
            absent = absent_layers(self.source, image)
            if absent and (missing := absent - self._present_layers(image)):
                raise LayersMissing(image.tag, missing)
        self._env = docker_environment(self.site)
        with engine_errors("Engine's description"):
            ways = EngineWays(self.site, self.client.info())
        if ways.must_load:
            self.progress.log(f"Images are loaded, not pulled: {ways.why}", self.stage)
        else:
            with closing(Registry(images, self.source, self.transfer.add)) as registry:
                try:
                    with closing(Reach(self.site, self.client, registry, self._env)) as reach:
                        ways.remember(Way.PULL, "")
                        return self._each(images, lambda image: self._pull(image, registry, reach))
                except Unreachable as error:
                    ways.remember(Way.LOAD, error.summary)
                    self.progress.log(f"Images are loaded, not pulled: {error.summary}", self.stage)
        return self._each(images, self._load)

    def _each(self, images: Sequence[DeliveredImage], bring: Callable[[DeliveredImage], int]) -> dict[str, int]:
        moved: dict[str, int] = {}
        done = 0
        for image in images:
            stop_if_cancelled(self.progress)
            self.transfer.reach(done, image.tag)
            moved[image.tag] = 0 if _tag_present_image(self.client, image) else bring(image)
            if not _tag_present_image(self.client, image):
                why = "it took everything, but does not have the image afterwards"
                raise EngineError(f"Image {image.tag}", why, _ENGINE_REMEDY)
            done += present_size(self.source, image.blobs)
        return moved

    def _pull(self, image: DeliveredImage, registry: Registry, reach: Reach) -> int:
        """Let the engine pull; returns the bytes that it took."""
        layers_before = self._present_layers(image)
        sent_before = registry.sent.copy()
        try:
            self._pull_through_cuts(image, registry, reach)
        except EngineError:
            if damage := registry.find_damage():
                raise damage from None  # what the engine says of it names no file
            if not registry.lacking:
                raise
            why = f"The engine has layers of {image.tag} that it cannot reuse in a pull, so it is loaded"
            self.progress.log(why, self.stage)
            return self._load_without(image, layers_before)
        moved = registry.sent - sent_before
        if again := layers_before & moved.keys():
            self.progress.log(
                f"{len(again)} layers of {image.tag} were in the engine, but loaded or built there, not pulled. "
                "It fetched them again, this once; later deliveries move new layers alone.",
                self.stage,
            )
        return moved.total()

    def _pull_through_cuts(self, image: DeliveredImage, registry: Registry, reach: Reach) -> None:
        """Pull, and once more whenever ssh had to connect again: the engine keeps what it has."""
        while True:
            cuts = reach.cuts
            try:
                self._pull_once(image, registry, f"{reach.address}/{registry.repository}")
                return
            except EngineError:
                if registry.damage or not reach.cut_since(cuts) or not reach.wait(self.progress):
                    raise
                self.progress.log("The connection over ssh was cut; the transfer goes on", self.stage)

    def _pull_once(self, image: DeliveredImage, registry: Registry, repository: str) -> None:
        for event in self._pull_events(image, repository):
            if registry.damage:
                raise next(iter(registry.damage.values()))
            if event.get("status") == "Already exists":
                self._count_present(image, str(event.get("id")))
            if "error" in event:
                raise EngineError(f"Image {image.tag}", str(event["error"]), _ENGINE_REMEDY)

    def _pull_events(self, image: DeliveredImage, repository: str) -> Iterator[dict[str, Any]]:
        def start() -> Iterator[bytes]:
            # an empty login: the SDK would ask the credential helpers of this machine for one
            return self.client.api.pull(  # type: ignore[no-any-return]
                repository, image.config, stream=True, auth_config={}, platform=image.platform
            )

        with EngineReader(f"Image {image.tag}", start, self.progress) as stream:
            for line in io.BufferedReader(stream):
                if line.strip():
                    yield json.loads(line)

    def _count_present(self, image: DeliveredImage, short_id: str) -> None:
        for layer in set(image.layers):
            if layer[:_SHORT_ID] == short_id:
                self.transfer.add(present_size(self.source, [layer]))

    def _load(self, image: DeliveredImage) -> int:
        """Stream a `docker load` of the layers that the engine lacks, or of all if that does not work."""
        present = self._present_layers(image)
        if present:
            try:
                return self._load_without(image, present)
            except EngineError as error:
                if absent_layers(self.source, image):
                    raise
                self.progress.log(f"{error.summary}; the image is loaded whole", self.stage)
        return self._load_without(image, set())

    def _load_without(self, image: DeliveredImage, left_out: set[str]) -> int:
        self.transfer.add(present_size(self.source, left_out))
        moved = 0

        def count(size: int) -> None:
            nonlocal moved
            moved += size
            self.transfer.add(size)

        chunks = image_chunks(self.source, image, left_out)
        docker_load(image.tag, chunks, self._env, self.progress, count, self.stage)
        return moved

    def _present_layers(self, image: DeliveredImage) -> set[str]:
        """The lowest layers of the image that an image of the engine has, too."""
        wanted = diff_ids(self.source, image)
        longest = 0
        with engine_errors("Images of the engine"):
            identities = {str(entry["Id"]) for entry in self.client.api.images()}
        for identity in identities:
            description = inspect_image(self.client, identity) or {}
            layers = (description.get("RootFS") or {}).get("Layers") or []
            common = itertools.takewhile(operator.truth, map(operator.eq, layers, wanted))
            longest = max(longest, len(list(common)))
        return set(image.layers[:longest])


def _tag_present_image(client: docker.DockerClient, image: DeliveredImage) -> bool:
    """Whether the engine has the image, which then has its tag and none of a delivery's."""
    for reference in (image.tag, *sorted(image.ids)):
        description = inspect_image(client, reference)
        if description is None or description.get("Id") not in image.ids:
            continue
        with engine_errors(f"Image {image.tag}"):
            if reference != image.tag:
                repository, _, tag = image.tag.rpartition(":")
                client.api.tag(reference, repository, tag)
            for helper in filter(_HELPER_TAG.fullmatch, description.get("RepoTags") or []):
                client.api.remove_image(helper)
        return True
    return False
