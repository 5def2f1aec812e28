"""A storage that hangs: its job reports nothing meanwhile, so that the supervisor finds it silent and kills it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from core.errors import Cancelled
from core.inference.storage import fetch, transfer_stage
from core.inference.storage.fetch import Mirror
from core.inference.storage.folder import Folder
from core.inference.storage.model import NameFinding, ObjectInfo
from core.inference.storage.signed_urls import UrlSigner
from core.progress import Stage

LOOKS = 200
HANGING = "1 objects listed"


class HangingFolder(Folder):
    """A folder whose listing hangs after its first object, as that of a share whose server is gone."""

    hung = threading.Event()

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo | NameFinding]:
        yield from islice(super().list_objects(prefix), 1)
        self.hung.wait()


class Impatient:
    """A `Progress` that keeps the stages, and cancels at the last of many looks after the listing hangs."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.looks = 0

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)

    def log(self, line: str, stage: str = "") -> None: ...

    def cancelled(self) -> bool:
        self.looks += any(stage.detail == HANGING for stage in self.stages[-1:])
        return self.looks == LOOKS


def test_a_listing_that_hangs_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_stage, "REPORT_SECONDS", -1.0)  # every change is reported
    monkeypatch.setattr(fetch, "POLL_SECONDS", 0.001)
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"x")
    progress = Impatient()
    try:
        with pytest.raises(Cancelled):
            list(Mirror(HangingFolder(tmp_path, UrlSigner(tmp_path)), tmp_path / "m").fetch("", progress, "f", "Fetch"))
    finally:
        HangingFolder.hung.set()
    details = [stage.detail for stage in progress.stages]
    assert details[-1] == HANGING
    assert len(details) == len({(stage.state, stage.detail) for stage in progress.stages})
