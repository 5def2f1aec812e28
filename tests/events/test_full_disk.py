"""A service that is started on a disk that is full already: it watches, says so, and makes room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.inference.events.media_store import MediaStore
from tests.events.support import id_of
from tests.support import until
from tests.support.disks import fill, small_disk
from tests.support.service import ServiceProcess


@contextmanager
def running(data: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(data)
    try:
        yield service.ready()
        assert service.stop() == 0
    finally:
        service.process.kill()


def test_a_service_starts_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "128m") as disk:
        media = MediaStore(disk / "data" / "media")
        with running(disk / "data"):
            pass
        old = id_of(1)
        media.prepare_clip(old).write_bytes(b"c" * (1 << 20))
        os.utime(media.clip_path(old), (0, 0))
        fill(disk)
        with running(disk / "data") as service:
            assert service.client.status().storage.state == "full"
            until(lambda: not media.clip_path(old).exists())
