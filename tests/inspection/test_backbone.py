"""Memory banks of a backbone in the models folder: from pictures to verdicts, its description, and another network."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError, XaivaError
from core.inference.inspection import bank_job
from core.inference.inspection.banks import BankShelf, NoBank
from core.inference.inspection.index_pair import IndexPair
from core.inference.inspection.inspector import Inspector
from core.inference.jobs.context import JobContext
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool
from core.inference.models.camera_product_banks import ProductBanks
from core.inference.models.onnx_backbone import OnnxBackbone, find_backbone
from core.inference.settings import ServiceSettings
from tests.inspection.conftest import Recorder
from tests.model_pool.fakes import FakeCostStore
from tests.support.inspected import encoded
from tests.support.onnx_model import write_mean, write_pools
from tests.support.parts import plates, store

SIZE = (192, 112)
LAYERS = {"fine": ("AveragePool", 8), "peaks": ("MaxPool", 8), "coarse": ("AveragePool", 16)}

Describe = Callable[..., ServiceSettings]


@pytest.fixture
def describe(settings: ServiceSettings) -> Describe:
    """Settings with a backbone in the models folder; its layers are brightness at two scales."""
    settings.models.mkdir()
    write_pools(settings.models / "pools.onnx", ("n", 3, SIZE[1], SIZE[0]), LAYERS)

    def one(layers: Any = tuple(LAYERS), model: str = "pools.onnx", **fields: Any) -> ServiceSettings:
        content = {"input": {"name": "x", "width": SIZE[0], "height": SIZE[1]}, "layers": layers, **fields}
        (settings.models / model).with_suffix(".json").write_text(json.dumps(content))
        return settings.model_copy(update={"backbone": model})

    return one


def _load(settings: ServiceSettings) -> OnnxBackbone:
    backbone = find_backbone(settings).make()
    backbone.load()
    assert isinstance(backbone, OnnxBackbone)
    return backbone


def _rebuild(settings: ServiceSettings) -> Any:
    return bank_job.run(JobContext(settings), "plate", {}, Recorder())["products"]["plate"]  # type: ignore[index,call-overload]


def _score(settings: ServiceSettings, pool: ModelPool, picture: bytes) -> float:
    return Inspector(settings, pool, BankShelf(settings), IndexPair(settings)).measure("plate", picture, 0).score


def test_layers_of_different_grids_become_one_vector_for_each_place(describe: Describe) -> None:
    backbone = _load(describe(average=1))
    assert (backbone.columns, backbone.rows, backbone.channels) == (24, 14, 9)
    pictures = np.random.default_rng(0).integers(0, 256, (11, SIZE[1], SIZE[0], 3), np.uint8)
    features = backbone.extract(list(pictures)).reshape(11, 14, 24, 9)
    blocks = pictures.astype(np.float32).reshape(11, 14, 8, 24, 8, 3) / 255
    assert features[..., :3] == pytest.approx(blocks.mean(axis=(2, 4)), abs=1e-5)
    assert features[..., 3:6] == pytest.approx(blocks.max(axis=(2, 4)), abs=1e-5)
    coarse = pictures.astype(np.float32).reshape(11, 7, 16, 12, 16, 3).mean(axis=(2, 4)) / 255
    assert features[:, 0, 0, 6:] == pytest.approx(coarse[:, 0, 0], abs=1e-5)  # nothing lies beyond a corner
    between = (coarse[:, :2, :2] * np.array([[9, 3], [3, 1]])[..., None]).sum(axis=(1, 2)) / 16
    assert features[:, 1, 1, 6:] == pytest.approx(between, abs=1e-5)  # a quarter of the way to each neighbour


def test_each_place_is_averaged_with_its_neighbours(describe: Describe) -> None:
    plain, averaged = _load(describe(["fine"], average=1)), _load(describe(["fine"]))
    picture = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    before, after = (one.extract([picture]).reshape(14, 24, 3) for one in (plain, averaged))
    assert after[5, 7] == pytest.approx(before[4:7, 6:9].mean(axis=(0, 1)), abs=1e-5)
    assert after[0, 0] == pytest.approx(before[:2, :2].mean(axis=(0, 1)), abs=1e-5)
    weights = averaged.weights.reshape(14, 24, 3)
    assert (weights[5, 7] == 1).all()
    assert weights[0, 7] == pytest.approx((2 / 3) ** 0.7)
    assert weights[13, 23] == pytest.approx((4 / 9) ** 0.7)
    assert (plain.weights == 1).all()


def test_a_layer_without_a_middle_counts_in_full(describe: Describe, settings: ServiceSettings) -> None:
    grids = {"fine": ("AveragePool", 8), "two rows": ("AveragePool", 56), "one place": ("AveragePool", 112)}
    described = describe(list(grids))
    write_pools(settings.models / "pools.onnx", ("n", 3, SIZE[1], SIZE[0]), grids)
    weights = _load(described).weights.reshape(14, 24, 3, 3)
    assert weights[0, 7, 0] == pytest.approx((2 / 3) ** 0.7)
    assert weights[:, 12, 1] == pytest.approx(1, rel=0.02)  # of two rows, each is averaged over both
    assert weights[..., 2, :] == pytest.approx(1)


@pytest.mark.parametrize("colour", ["bgr", "gray"])
def test_pictures_come_in_the_colours_of_the_description(settings: ServiceSettings, colour: str) -> None:
    settings.models.mkdir()
    channels = 1 if colour == "gray" else 3
    write_pools(settings.models / "one.onnx", (1, channels, 16, 16), {"y": ("AveragePool", 8)})
    content = {"input": {"name": "x", "width": 16, "height": 16, "colour": colour, "scale": 1}, "layers": ["y"]}
    (settings.models / "one.json").write_text(json.dumps(content))
    red = np.full((16, 16, 3), (200, 0, 0), np.uint8)
    values = _load(settings.model_copy(update={"backbone": "one.onnx"})).extract([red])[0, 0]
    assert values == pytest.approx([60] if colour == "gray" else [0, 0, 200])


def test_a_bank_of_a_described_backbone_finds_the_defect_and_another_network_refuses_it_until_it_is_rebuilt(
    describe: Describe, settings: ServiceSettings, images: Path
) -> None:
    other = describe()
    store(plates(12, 1, size=SIZE), images / "normal/plate")
    store(plates(5, 2, size=SIZE, defect="scratch"), images / "defect/plate/scratch")
    good, spoilt = (encoded(plates(1, 99, size=SIZE, defect=defect)[0], "PNG") for defect in ("", "scratch"))
    with closing(ModelPool(DeviceBudget(HostMemory(), 0), costs=FakeCostStore())) as pool:
        built = _rebuild(other)
        assert (built["generation"], built["pictures"], built["auroc"]) == (1, 12, 1)
        assert _score(other, pool, spoilt) > 0.6 > 0.5 > _score(other, pool, good)
        status = BankShelf(other).status("plate")
        assert status.current is not None
        assert status.current.model.startswith("pools.onnx ")
        assert status.trouble == ""

        why = "built with the network pools.onnx, not with features_lite0"
        with pytest.raises(NoBank, match=why) as refused:
            _score(settings, pool, spoilt)
        assert refused.value.remedy == "rebuild it: xaiva product rebuild plate"
        assert why in BankShelf(settings).status("plate").trouble
        again = _rebuild(settings)
        assert (again["generation"], again["published"], again["computed"]) == (2, True, 17)
        assert _score(settings, pool, spoilt) > 0.6
        with pytest.raises(NoBank, match=r"built with the network features_lite0, not with pools\.onnx"):
            _score(other, pool, spoilt)


def test_a_changed_backbone_is_another_one(describe: Describe, images: Path) -> None:
    store(plates(8, 1, size=SIZE), images / "normal/plate")
    settings = describe()
    _rebuild(settings)
    shelf = BankShelf(settings)
    assert shelf.load("plate").manifest.number == 1
    describe(["fine", "coarse"])
    with pytest.raises(NoBank, match=r"with another version of the network pools\.onnx"):
        shelf.load("plate")
    assert _rebuild(settings)["computed"] == 8
    assert shelf.load("plate").manifest.number == 2
    (settings.models / "pools.json").unlink()
    with pytest.raises(NoBank, match="no such file beside the model"):
        shelf.load("plate")
    assert "no such file beside the model" in shelf.status("plate").trouble


def test_a_camera_uses_no_bank_of_a_described_backbone(describe: Describe, images: Path) -> None:
    store(plates(8, 1, size=SIZE), images / "normal/plate")
    settings = describe()
    _rebuild(settings)
    why = ProductBanks(settings).why_unusable("plate")
    assert "built with the network pools.onnx, not with features_lite0" in why
    assert "cameras do not use the network of XAIVA_BACKBONE" in why


def test_layers_that_are_too_large_for_the_memory_of_a_bank_are_refused(
    describe: Describe, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(plates(9, 1, size=SIZE), images / "normal/plate")
    monkeypatch.setattr(bank_job, "MAX_NUMBERS", 7 * 14 * 24 * 9)
    with pytest.raises(InputError, match=r"room for 7 pictures .* and 8 are needed"):
        _rebuild(describe())


@pytest.mark.parametrize(
    ("layers", "fields", "field", "why"),
    [
        (["fine", "fine"], {}, "layers", "name each output once"),
        ([], {}, "layers", "it is empty"),
        (["fine", "absent"], {}, "layers", "the model has no 'absent'; it has fine, peaks, coarse"),
        (["fine"], {"average": 2}, "average", "write 1, 3 or 5"),
        (["fine"], {"resize": "pad"}, "resize", "there is no such key"),
        (["fine"], {"input": {"name": "x", "width": 64, "height": SIZE[1]}}, "input.width", "64 is declared|3 x 112 x"),
    ],
)
def test_a_wrong_description_is_refused_with_file_and_field(
    describe: Describe, layers: list[str], fields: dict[str, Any], field: str, why: str
) -> None:
    with pytest.raises(InputError, match=why) as refused:
        _load(describe(layers, **fields))
    assert refused.value.what == f"{describe(layers, **fields).models / 'pools.json'}: {field}"


@pytest.mark.parametrize(
    ("axes", "shape", "why"),
    [
        ((2, 3), ("n", 3, 112, 192), r"y gives \(1, 3\) for a picture, and 1 x channels x height x width is needed"),
        ((), ("n", 3, 112, 192), "192 x 112 patches, and 3 to 4096 can be used"),
    ],
)
def test_an_output_that_is_no_feature_map_is_refused(
    describe: Describe, settings: ServiceSettings, axes: tuple[int, ...], shape: tuple[Any, ...], why: str
) -> None:
    if axes:
        write_mean(settings.models / "means.onnx", shape, axes)
    else:
        write_pools(settings.models / "means.onnx", shape, {"y": ("AveragePool", 1)})
    with pytest.raises(InputError, match=why):
        _load(describe(["y"], model="means.onnx"))


def test_numbers_that_cannot_be_stored_are_refused(describe: Describe) -> None:
    backbone = _load(describe(input={"name": "x", "width": SIZE[0], "height": SIZE[1], "scale": 1e-4}))
    white = np.full((SIZE[1], SIZE[0], 3), 255, np.uint8)
    with pytest.raises(XaivaError, match="not finite, or larger than 65504"):
        backbone.extract([white])
