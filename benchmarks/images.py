"""How an image gets into an engine: xaiva's registry on loopback against `docker save | docker load`, on both stores.

The image has three layers of random bytes, the second image one more. Both ways get an engine of their own, which is
empty at first; the archive of `docker save` is made beforehand, as a stick would carry it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.images.delivery import deliver_images
from core.images.image_blobs import DeliveredImage, FolderSource
from core.progress import NullProgress
from tests.images.layouts import Layout
from tests.images.stores import STORES, random_name, site_for, store_engine
from tests.support.engine import TestEngine

MB = 1 << 20
LAYER = 150 * MB
NEW_LAYER = 10 * MB
OVERHEAD = 1 * MB  # that a second delivery may move beside its new layer


@dataclass(frozen=True)
class _Row:
    way: str
    seconds: float
    moved: int

    def __str__(self) -> str:
        return f"{self.way:<44} {self.seconds:7.2f} s {self.moved / MB:9.1f} MB"


def main() -> int:
    """Measure; returns 0 if a second delivery moves nothing but its new layer."""
    within_budget = True
    for store in STORES:
        with tempfile.TemporaryDirectory() as scratch:
            layout = Layout(Path(scratch) / "blobs")
            names = [random_name() for _ in range(4)]
            layers = [(name, LAYER) for name in names[:3]]
            first = layout.image("bench/first:1", layers)
            second = layout.image("bench/second:1", [*layers, (names[3], NEW_LAYER)])
            rows = _deliver(store, layout, Path(scratch), first, second)
            archives = _archives(store, layout, Path(scratch), [first, second])
            rows += _load(store, archives)
        print(f"{store} store: {3 * LAYER // MB} MB, then {NEW_LAYER // MB} MB more")
        for row in rows:
            print(f"  {row}")
        within_budget &= rows[1].moved <= NEW_LAYER + OVERHEAD
    print(f"a second delivery moves its new layer and at most 1 MB: {'ok' if within_budget else 'MISSED'}")
    return 0 if within_budget else 1


def _deliver(store: str, layout: Layout, scratch: Path, *images: DeliveredImage) -> list[_Row]:
    rows = []
    with store_engine(store) as engine:
        site = site_for(scratch / "site", engine)
        for image in images:
            began = time.monotonic()
            [delivery] = deliver_images(site, [image], FolderSource(layout.folder), NullProgress())
            rows.append(_Row(f"xaiva delivers {image.tag}", time.monotonic() - began, delivery.moved))
    return rows


def _archives(store: str, layout: Layout, scratch: Path, images: list[DeliveredImage]) -> list[Path]:
    """What `docker save` writes of each image."""
    archives = []
    with store_engine(store) as engine:
        site = site_for(scratch / "office", engine)
        deliver_images(site, images, FolderSource(layout.folder), NullProgress())
        for image in images:
            archives.append(scratch / f"{image.config}.tar")
            engine.docker("save", "--output", str(archives[-1]), image.tag)
    return archives


def _load(store: str, archives: list[Path]) -> list[_Row]:
    with store_engine(store) as engine:
        return [
            _Row(f"docker load of archive {number}", _seconds(_loading(engine, archive)), archive.stat().st_size)
            for number, archive in enumerate(archives, 1)
        ]


def _loading(engine: TestEngine, archive: Path) -> Callable[[], object]:
    def load() -> None:
        with open(archive, "rb") as file:
            subprocess.run(["docker", "load"], env=engine.env, stdin=file, check=True, capture_output=True)

    return load


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
