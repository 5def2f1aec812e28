"""Where pictures lie: the folders of the layout, and what a key says about its picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InputError
from core.inference.inspection.layout import DEFECT, NORMAL, Layout, PictureKey, is_ignored
from core.inference.inspection.product_folders import product_folders
from core.inference.settings import ServiceSettings, read_settings
from core.inference.storage.folder import Folder
from core.inference.storage.signed_urls import UrlSigner


def test_a_key_tells_product_and_label() -> None:
    layout = Layout()
    assert layout.parse_key("normal/bolt m8/2026/a.jpg") == PictureKey("bolt m8", NORMAL, "normal/bolt m8/2026/a.jpg")
    assert layout.parse_key("defect/나사/긁힘/b.png") == PictureKey("나사", "긁힘", "defect/나사/긁힘/b.png")


@pytest.mark.parametrize(
    "key", ["normal/a.jpg", "defect/bolt/a.jpg", "other/bolt/a.jpg", "normalbolt/a.jpg", "normal//a.jpg", "normal/b/"]
)
def test_a_key_outside_of_the_layout_has_neither(key: str) -> None:
    assert Layout().parse_key(key) is None


@pytest.mark.parametrize("folder", ["bolt ", " bolt", "bolt"])
def test_a_blank_that_nobody_sees_makes_no_other_product(folder: str, tmp_path: Path) -> None:
    assert Layout().parse_key(f"normal/{folder}/a.jpg") == PictureKey("bolt", NORMAL, f"normal/{folder}/a.jpg")
    found = Layout().parse_key(f"defect/bolt/ dent /{folder}.jpg")
    assert found is not None
    assert found.label == "dent"
    (tmp_path / "normal" / folder).mkdir(parents=True)
    (tmp_path / "normal" / "bolt m8").mkdir()
    storage = Folder(tmp_path, UrlSigner(tmp_path))
    assert f"normal/{folder}/" in product_folders(storage, "normal/", "bolt")
    assert "normal/bolt m8/" not in product_folders(storage, "normal/", "bolt")


@pytest.mark.parametrize("folder", ["x" * 101, "a\\b", "turned \u202e", " "])
def test_a_folder_whose_name_no_product_can_have_is_outside_of_the_layout(folder: str) -> None:
    assert Layout().parse_key(f"normal/{folder}/a.jpg") is None


def test_prefixes_lead_to_keys_of_the_same_product() -> None:
    layout = Layout.of(ServiceSettings(data=Path("/data"), normal_prefix="line 1/good", defect_prefix="line 1/bad"))
    assert layout.parse_key(layout.normal_prefix("bolt") + "a.jpg") == PictureKey(
        "bolt", NORMAL, "line 1/good/bolt/a.jpg"
    )
    found = layout.parse_key(layout.defect_prefix("bolt", "scratch") + "a.jpg")
    assert found is not None
    assert (found.product, found.label) == ("bolt", "scratch")
    assert layout.defect_prefix("bolt", "scratch").startswith(layout.prefix(DEFECT))
    assert layout.normal_prefix("bolt").startswith(layout.prefix(NORMAL))


@pytest.mark.parametrize("prefix", ["/normal", "normal/", "a//b", "../normal", ".", ".good", "line/.good"])
def test_a_prefix_that_leads_elsewhere_is_refused(prefix: str) -> None:
    with pytest.raises(InputError, match="XAIVA_NORMAL_PREFIX"):
        read_settings({"XAIVA_NORMAL_PREFIX": prefix}, Path("/data"))


@pytest.mark.parametrize(
    "variables",
    [
        {"XAIVA_NORMAL_PREFIX": "defect"},
        {"XAIVA_DEFECT_PREFIX": "normal/bad"},
        {"XAIVA_NORMAL_PREFIX": "line 1/good", "XAIVA_DEFECT_PREFIX": "line 1"},
    ],
)
def test_defects_cannot_lie_among_normal_pictures(variables: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"XAIVA_DEFECT_PREFIX: .* defects would count as normal pictures"):
        read_settings(variables, Path("/data"))
    read_settings({"XAIVA_NORMAL_PREFIX": "line/good", "XAIVA_DEFECT_PREFIX": "line/goods"}, Path("/data"))


def test_what_systems_leave_in_folders_is_ignored() -> None:
    assert all(
        is_ignored(key) for key in ("normal/bolt/", "normal/bolt/.DS_Store", "normal/.trash/a.jpg", "a/Thumbs.db")
    )
    assert not is_ignored("normal/bolt/notes.txt")
