"""Whether an index and a memory bank tell that their pictures have changed since the storage was listed for them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.inference.inspection import bank_job, index_job, rollback_job
from core.inference.inspection.banks import BankShelf
from core.inference.inspection.indexes import IndexReader
from core.inference.inspection.layout import Layout
from core.inference.inspection.listed_pictures import listing_trouble
from core.inference.inspection.picture_counts import PictureCounts
from core.inference.jobs.context import JobContext
from core.inference.models.bank_files import bank_generations
from core.inference.settings import ServiceSettings
from core.inference.storage import open_storage
from tests.inspection.conftest import Recorder
from tests.inspection.pictures import fill, put
from tests.support.parts import plates, store

SIZE = (384, 224)  # of the network: pictures that need no scaling


def _rebuild_index(settings: ServiceSettings, subject: str = "normal") -> Any:
    return index_job.run(JobContext(settings), subject, {}, Recorder())


def _rebuild_bank(context: JobContext) -> Any:
    return bank_job.run(context, "", {}, Recorder())


def _bank_trouble(context: JobContext) -> list[str]:
    now = PictureCounts(open_storage(context.settings), Layout()).count().product("plate")
    assert now is not None
    return list(
        listing_trouble("normal", "its memory bank", BankShelf(context.settings).status("plate").listed, now.normal)
    )


def test_a_bank_knows_which_pictures_the_storage_listed_for_it(context: JobContext, images: Path) -> None:
    changed = ["normal pictures have changed since its memory bank was built: rebuild it"]
    picture, *_ = store(plates(12, 0, size=SIZE), images / "normal/plate")
    store(plates(2, 7, size=SIZE, defect="scratch"), images / "defect/plate/scratch")
    (images / "normal/plate/broken.jpg").write_bytes(b"no picture")
    _rebuild_bank(context)
    assert _bank_trouble(context) == []
    shutil.rmtree(images / "defect/plate")
    assert _bank_trouble(context) == []  # they only measure a bank
    os.utime(picture, ns=(1, 1))  # the same picture is copied again, by a machine whose clock is slow
    assert _bank_trouble(context) == changed
    assert _rebuild_bank(context)["products"]["plate"]["published"] is True  # without defects
    assert _bank_trouble(context) == []
    os.utime(picture, ns=(2, 2))
    assert _rebuild_bank(context)["products"]["plate"]["published"] is False
    assert _bank_trouble(context) == []
    bank_generations(context.settings, "plate").roll_back()
    assert _bank_trouble(context) == changed


def _index_trouble(settings: ServiceSettings, subject: str = "normal") -> list[str]:
    counted = PictureCounts(open_storage(settings), Layout()).count()
    return IndexReader(settings, subject).status(listed=counted.listed(subject)).trouble


def test_an_index_knows_which_pictures_the_storage_listed_for_it(colours: ServiceSettings, images: Path) -> None:
    changed = ["normal pictures have changed since the index was built: rebuild it"]
    fill(images)
    put(images, "normal/bolt/broken.jpg", b"no picture")
    put(images, "normal/Thumbs.db", b"made by a desktop")
    put(images, "normal/of no product.jpg", b"no picture")
    for subject in ("normal", "defect"):
        _rebuild_index(colours, subject)
        assert _index_trouble(colours, subject) == []
    picture = images / "normal/bolt/0.jpg"
    content = picture.read_bytes()
    picture.unlink()
    assert _index_trouble(colours) == changed
    assert _index_trouble(colours, "defect") == []
    assert _rebuild_index(colours)["generation"] == 2
    assert _index_trouble(colours) == []
    picture.write_bytes(content)
    assert _index_trouble(colours) == changed
    rollback_job.run(JobContext(colours), "index:normal", {}, Recorder())
    assert _index_trouble(colours) == changed  # another file than the first one


def test_a_rebuild_that_publishes_nothing_knows_the_new_listing(colours: ServiceSettings, images: Path) -> None:
    fill(images)
    _rebuild_index(colours)
    put(images, "normal/bolt/broken.jpg", b"no picture")
    assert _index_trouble(colours) == ["normal pictures have changed since the index was built: rebuild it"]
    assert _rebuild_index(colours)["generation"] == 1
    assert _index_trouble(colours) == []


def test_a_rebuild_that_is_refused_leaves_the_sign(colours: ServiceSettings, images: Path) -> None:
    fill(images)
    _rebuild_index(colours)
    shutil.rmtree(images / "normal/bolt")
    shutil.rmtree(images / "normal/나사")
    with pytest.raises(InputError):
        _rebuild_index(colours)
    assert _index_trouble(colours) == ["the normal pictures that the index was built from are no longer in the storage"]
