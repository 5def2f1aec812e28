"""What the service knows of products, and what it says is wrong with them."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest

from core.api_schema import ProductSettings, Region
from core.inference.inspection.bank_checked import mark_checked
from core.inference.inspection.banks import NoBank
from core.inference.inspection.layout import Layout
from core.inference.inspection.product_folders import product_folders
from core.inference.inspection.products import UnknownProduct
from core.inference.models.bank_files import bank_generations
from core.inference.storage import open_storage
from tests.inspection.inspected import Inspected
from tests.support import until
from tests.support.inspected import NORMALS, build_bank, good


def test_pictures_that_are_newer_than_the_bank_are_told(here: Inspected) -> None:
    service, bank = here.service, bank_generations(here.settings, "plate")
    pictures = here.settings.data / "images/normal/plate"
    listed = max(path.stat().st_ctime for path in pictures.iterdir())
    mark_checked(bank, 1, listed)
    service.start()
    try:
        until(lambda: service.catalogue.products().counted)
        assert service.catalogue.product("plate").trouble == []
        until(lambda: _touched(pictures / "0.jpg") > listed)
        service.count_pictures()
        until(lambda: service.catalogue.product("plate").trouble)
        assert service.catalogue.product("plate").trouble == [
            "normal pictures are newer than its memory bank: rebuild it"
        ]
        assert service.catalogue.product("plate").normal == NORMALS
        mark_checked(bank, 1, time.time() + 1)  # as a rebuild that changes nothing
        assert service.catalogue.product("plate").trouble == []
    finally:
        for stop in service.stops().values():
            stop()


def _touched(path: Path) -> float:
    """Write a file again; returns when that was."""
    path.touch()
    return path.stat().st_ctime


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
    assert here.service._counts.count().products["나사"].normal == 2
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
