"""What the service knows of products, and what it says is wrong with them."""

from __future__ import annotations

import os
import shutil
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.api_schema import ProductSettings, Region
from core.inference.inspection.banks import NoBank
from core.inference.inspection.index_files import index_generations
from core.inference.inspection.layout import Layout
from core.inference.inspection.listed_pictures import LISTED, note_listed, read_listed
from core.inference.inspection.product_folders import product_folders
from core.inference.inspection.products import UnknownProduct
from core.inference.models.bank_files import bank_generations
from core.inference.storage import open_storage
from tests.inspection.inspected import Inspected, inspected
from tests.support.inspected import build_bank, good, note_listings, scratched

CHANGED = "pictures have changed since {} was built: rebuild it"
UNKNOWN = f"it is not known whether normal {CHANGED}"


def _troubles(here: Inspected) -> tuple[list[str], list[str], list[str]]:
    """Of the product plate, of the normal and of the defect index."""
    here.service.find("plate")
    found = here.service.catalogue.products()
    normal, defect = (index.trouble for index in found.indexes)
    return next(product.trouble for product in found.products if product.name == "plate"), normal, defect


def _count(here: Inspected) -> tuple[list[str], list[str], list[str]]:
    """The troubles after the storage was counted."""
    here.service._counts.count()
    return _troubles(here)


NORMAL_CHANGED = ([f"normal {CHANGED.format('its memory bank')}"], [f"normal {CHANGED.format('the index')}"], [])


def _add(images: Path) -> None:
    (images / "normal/plate/new.jpg").write_bytes(good())


def _remove(images: Path) -> None:
    (images / "normal/plate/0.jpg").unlink()


def _replace(images: Path) -> None:
    (images / "normal/plate/0.jpg").write_bytes(good())
    os.utime(images / "normal/plate/0.jpg", ns=(1, 1))  # the clock of the storage is slow


@pytest.mark.parametrize("change", [_add, _remove, _replace])
def test_pictures_that_have_changed_since_are_told_until_the_next_rebuild(
    here: Inspected, change: Callable[[Path], None]
) -> None:
    assert _count(here) == ([], [], [])
    change(here.settings.data / "images")
    assert _count(here) == NORMAL_CHANGED
    note_listings(here.settings, "plate")  # as a rebuild that changes nothing
    assert _troubles(here) == ([], [], [])  # also before the next count
    assert _count(here) == ([], [], [])


def test_pictures_that_are_all_gone_are_told_without_a_remedy_that_fails(here: Inspected) -> None:
    gone = "the {} pictures that {} was built from are no longer in the storage"
    shutil.rmtree(here.settings.data / "images/normal")
    assert _count(here) == ([gone.format("normal", "its memory bank")], [gone.format("normal", "the index")], [])


def test_a_defect_that_is_new_is_told_of_its_index_alone(here: Inspected) -> None:
    (here.settings.data / "images/defect/plate/hole/new.jpg").write_bytes(scratched())
    assert _count(here) == ([], [], [f"defect {CHANGED.format('the index')}"])


def test_files_that_are_no_pictures_of_a_product_change_nothing(here: Inspected) -> None:
    images = here.settings.data / "images"
    (images / "normal/plate/Thumbs.db").write_bytes(b"made by a desktop")
    (images / "normal/of no product.jpg").write_bytes(good())
    assert _count(here) == ([], [], [])


def test_a_storage_that_does_not_answer_is_neither_changed_nor_unchanged(here: Inspected) -> None:
    images = here.settings.data / "images"
    _add(images)
    with inspected(here.settings.data, storage_url=images.as_uri()) as there:
        assert _troubles(there) == ([], [], [])
        assert there.service.catalogue.products().counted is None  # the console shows that nothing was counted yet
        assert _count(there) == NORMAL_CHANGED
        images.rename(images.with_name("away"))
        assert _count(there) == ([], [], [])
        assert "is not there" in there.service.catalogue.products().storage_trouble
        assert there.service.catalogue.product("plate").normal is None
        images.with_name("away").rename(images)
        assert _count(there) == NORMAL_CHANGED


def test_what_was_built_without_a_note_of_the_listing_says_so(here: Inspected) -> None:
    for generations in (bank_generations(here.settings, "plate"), index_generations(here.settings, "normal")):
        (generations.folder / LISTED).write_text("3 1764567890.5\n")
    assert _troubles(here) == ([], [], [])
    assert _count(here) == ([UNKNOWN.format("its memory bank")], [UNKNOWN.format("the index")], [])


def test_a_clock_that_was_set_back_hides_no_change(here: Inspected) -> None:
    generations = index_generations(here.settings, "defect")
    listed = read_listed(generations, 1)
    assert listed is not None
    note_listed(generations, 1, replace(listed, begun=time.time() + 3600))
    assert _count(here) == ([], [], [])
    (here.settings.data / "images/defect/plate/hole/0.jpg").unlink()
    assert _count(here)[2] == [f"defect {CHANGED.format('the index')}"]


def test_a_product_is_known_as_soon_as_its_pictures_are_there(here: Inspected) -> None:
    with pytest.raises(UnknownProduct):
        here.service.set_settings("bolt", ProductSettings())
    folder = here.settings.data / "images/defect/bolt/dent"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(good())
    here.service.set_settings("bolt", ProductSettings(threshold=0.7))
    assert here.service.settings("bolt").threshold == 0.7


def test_a_name_is_the_same_composed_and_decomposed(here: Inspected) -> None:
    for spelling, number in (("NFD", 1), ("NFC", 2)):
        folder = here.settings.data / f"images/normal/{unicodedata.normalize(spelling, '나사')}"
        folder.mkdir()
        (folder / f"{number}.jpg").write_bytes(good())
    here.service.set_settings("나사", ProductSettings(threshold=0.7))
    assert here.service._counts.count().products["나사"].normal.count == 2
    folders = product_folders(open_storage(here.settings), "normal/", "나사")
    assert {unicodedata.normalize("NFC", folder) for folder in folders} == {"normal/나사/"}
    assert len(folders) == 2
    assert product_folders(open_storage(here.settings), "normal/", "plate") == ["normal/plate/"]
    key = Layout().parse_key(unicodedata.normalize("NFD", "defect/나사/긁힘/1.jpg"))
    assert key is not None
    assert (key.product, key.label) == ("나사", "긁힘")


def test_a_listing_reads_no_bank(here: Inspected) -> None:
    bank = bank_generations(here.settings, "plate").open().path / "bank.npz"
    bank.write_bytes(bytes(bank.stat().st_size))  # damaged, but as large as it should be
    product = here.service.catalogue.product("plate")
    assert (product.bank is not None, product.trouble) == (True, [])
    with pytest.raises(NoBank):
        here.inspect(good())
    product = here.service.catalogue.product("plate")
    assert product.bank is None
    assert "bank.npz is not what was written" in product.trouble[0]


def test_a_region_that_was_changed_since_the_bank_was_built_is_told(here: Inspected) -> None:
    settings = ProductSettings(region=Region(left=0.5), tiles=(2, 1))
    here.service.set_settings("plate", settings)
    product = here.service.catalogue.product("plate")
    assert product.trouble == ["its memory bank still has the old region and tiles: rebuild it"]
    build_bank(here.settings, "plate", settings.region, settings.tiles)
    assert here.service.catalogue.product("plate").trouble == []
