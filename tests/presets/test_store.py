"""Saving, copying, renaming and hashing presets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from core.errors import InputError, XaivaError
from core.presets import store
from core.presets.compat.facts import load_facts
from core.presets.layers import PYTORCH_INDEX, PYTORCH_PACKAGES, expand_preset
from core.presets.model import Preset
from core.presets.serialization import dump
from core.site import Site

from .conftest import SHIPPED

ODD = """{
    "run": {"restart": "no", "ports": ["8600:8600"],
            "health_check": {"command": ["true"], "interval": 30}},
    "python_version": "3.11",
    "layers": [
        {"requirements": ["numpy"], "name": "b"}, {"name": "a", "requirements": ["pillow"]}
    ],
    "base_image": "debian:bookworm-slim"
}
"""


def changed(text: str, **fields: JsonValue) -> Preset:
    return Preset.model_validate({**json.loads(text), **fields})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_an_untouched_preset_is_written_byte_for_byte(path: Path) -> None:
    assert dump(store.load(path), path.read_text()) == path.read_text()


def test_odd_order_and_layout_stay_where_nothing_changed(site: Site) -> None:
    path = store.save(site, "odd", ODD)
    assert dump(store.load(path), ODD) == ODD
    store.save(site, "odd", changed(ODD, python_version="3.12"))
    text = path.read_text()
    assert list(json.loads(text)) == list(json.loads(ODD))
    assert '{"requirements": ["numpy"], "name": "b"}' in text
    assert '"interval": 30}' in text
    assert store.load(path).python_version == "3.12"


def test_new_fields_come_last_and_removed_ones_go(site: Site) -> None:
    path = store.save(site, "odd", ODD)
    store.save(site, "odd", changed(ODD, pytorch={"version": "2.7.1"}))
    assert list(json.loads(path.read_text()))[-1] == "pytorch"
    store.save(site, "odd", changed(path.read_text(), pytorch=None))
    assert json.loads(path.read_text()) == json.loads(ODD)


def test_a_layer_that_moves_keeps_its_own_order_of_keys() -> None:
    layers = [*reversed(json.loads(ODD)["layers"]), {"name": "c", "requirements": ["av"]}]
    text = dump(changed(ODD, layers=layers), ODD)
    assert [list(layer) for layer in json.loads(text)["layers"]] == [
        ["name", "requirements"],
        ["requirements", "name"],
        ["name", "requirements"],
    ]
    assert json.loads(text)["layers"] == layers


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_dump_without_a_file_reads_back_the_same(path: Path, site: Site) -> None:
    preset = store.load(path)
    store.save(site, "copy", dump(preset))
    assert store.load_named(site, "copy") == preset.model_copy(update={"json_schema": "./preset.schema.json"})


def test_a_bad_text_is_not_saved(site: Site) -> None:
    path = store.save(site, "one", ODD)
    with pytest.raises(InputError):
        store.save(site, "one", "{")
    assert path.read_text() == ODD
    assert [file.name for file in site.presets.iterdir()] == ["one.json"]


def test_duplicate_rename_delete(site: Site) -> None:
    store.save(site, "one", ODD)
    assert store.duplicate(site, "one", "two").read_text() == ODD
    with pytest.raises(InputError, match="already"):
        store.duplicate(site, "one", "two")
    with pytest.raises(InputError, match="already"):
        store.rename(site, "one", "two")
    (site.artifacts / "one").mkdir(parents=True)
    remains = store.rename(site, "one", "three")
    assert remains.artifacts == site.artifacts / "one"
    assert remains.image == "xaiva/one:latest"
    assert store.delete(site, "two").artifacts is None
    assert [entry.name for entry in store.list_presets(site)] == ["three"]
    with pytest.raises(InputError, match="no such preset"):
        store.delete(site, "two")


def test_a_file_that_cannot_be_changed_is_named(site: Site) -> None:
    store.save(site, "one", ODD)
    (site.presets / "folder.json").mkdir()
    for change in (lambda: store.save(site, "folder", ODD), lambda: store.delete(site, "folder")):
        with pytest.raises(XaivaError, match=r"folder\.json: (it is a folder|Is a directory)"):
            change()
    assert sorted(path.name for path in site.presets.iterdir()) == ["folder.json", "one.json"]


@pytest.mark.parametrize(
    "fields",
    [
        {"run": {"ports": ["1:1"]}},
        {"metadata": {"description": "x"}},
        {"target": {"gpu": "T4"}},
        {"overrides": ["vram"]},
        {"$schema": "x"},
        {"tensorrt": {"enabled": False}},
    ],
)
def test_what_the_image_does_not_hold_is_not_in_the_hash(fields: dict[str, JsonValue]) -> None:
    assert store.preset_sha256(changed(ODD, **fields)) == store.preset_sha256(changed(ODD))


@pytest.mark.parametrize(
    "fields",
    [
        {"python_version": "3.12"},
        {"base_image": "debian:bookworm"},
        {"pins": ["numpy<2"]},
        {"inference_service": False},
        {"layers": list(reversed(json.loads(ODD)["layers"]))},
    ],
)
def test_what_the_image_holds_is_in_the_hash(fields: dict[str, JsonValue]) -> None:
    assert store.preset_sha256(changed(ODD, **fields)) != store.preset_sha256(changed(ODD))


def test_a_requirement_file_counts_by_its_content(site: Site) -> None:
    (site.presets / "r.txt").write_text("numpy\n")
    in_file = changed(ODD, layers=[{"name": "a", "file": "r.txt"}])
    inline = changed(ODD, layers=[{"name": "a", "requirements": ["numpy"]}])
    first = store.preset_sha256(in_file, site.presets)
    assert first == store.preset_sha256(inline)
    (site.presets / "r.txt").write_text("numpy<2\n")
    assert store.preset_sha256(in_file, site.presets) != first
    with pytest.raises(InputError, match="folder"):
        store.preset_sha256(in_file)


def test_expanding_adds_pytorch_and_tensorrt_in_matching_versions(site: Site) -> None:
    (site.presets / "r.txt").write_text("# comment\nav>=14\n")
    preset = changed(
        ODD,
        pytorch={"version": "2.7.1+cu126", "components": ["torch", "torchvision", "torchaudio"]},
        tensorrt={"enabled": True, "version": "10.9.0"},
        layers=[{"name": "video", "file": "r.txt"}],
        pins=["numpy<2"],
    )
    expanded = expand_preset(preset, site.presets, load_facts())
    assert expanded.layers == [
        ("pytorch", ["torch==2.7.1+cu126", "torchvision==0.22.1+cu126", "torchaudio==2.7.1+cu126"]),
        ("tensorrt", ["tensorrt-cu12==10.9.0.*"]),
        ("video", ["av>=14"]),
    ]
    (index,) = expanded.indexes
    assert index.url == PYTORCH_INDEX.format(tag="cu126")
    assert index.packages == ["torch", "torchvision", "torchaudio", "pytorch-triton*"]
    assert expanded.pins == ["numpy<2"]


@pytest.mark.parametrize(
    ("index", "packages"),
    [
        ({"name": "pytorch", "url": "https://mirror.example/whl/cu126"}, PYTORCH_PACKAGES),
        ({"name": "x", "url": PYTORCH_INDEX.format(tag="cu126/")}, PYTORCH_PACKAGES),
        ({"name": "pytorch", "url": "https://mirror.example/whl/cu126", "packages": ["torch*"]}, ["torch*"]),
    ],
)
def test_an_index_of_the_preset_replaces_pytorchs(site: Site, index: dict[str, object], packages: list[str]) -> None:
    preset = changed(ODD, pytorch={"version": "2.7.1+cu126"}, layers=[], indexes=[index])
    (only,) = expand_preset(preset, site.presets, load_facts()).indexes
    assert (only.url, only.packages) == (index["url"], packages)


def test_expanding_plain_torch_asks_no_other_index_and_a_tensorrt_source_no_wheel(site: Site) -> None:
    preset = changed(
        ODD,
        pytorch={"version": "2.7.1"},
        tensorrt={"enabled": True, "version": "8.6.1"},
        sources=[{"name": "tensorrt", "path": "TensorRT.tar.gz"}],
        layers=[],
    )
    expanded = expand_preset(preset, site.presets, load_facts())
    assert expanded.layers == [("pytorch", ["torch==2.7.1"])]
    assert expanded.indexes == []


def test_companions_of_an_unknown_torch_are_left_to_the_resolver(site: Site) -> None:
    preset = changed(ODD, pytorch={"version": "9.0.0", "components": ["torch", "torchvision"]}, layers=[])
    assert expand_preset(preset, site.presets, load_facts()).layers == [("pytorch", ["torch==9.0.0", "torchvision"])]
