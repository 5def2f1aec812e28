"""The catalogue: keys, and models that a pool really loads by them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.api_schema import Detection
from core.errors import InputError
from core.inference.model_pool.pool import ModelPool
from core.inference.models import registry
from core.inference.models.detector import Sample
from core.inference.settings import ServiceSettings
from tests.support.onnx_model import write_mean

ONNX = Detection(detector="onnx", model="street/mean.onnx")


@pytest.fixture
def models(settings: ServiceSettings) -> ServiceSettings:
    folder = settings.models / "street"
    folder.mkdir()
    write_mean(folder / "mean.onnx", ("n", 3, 16, 24), (1, 2, 3))
    description = {"input": {"name": "x", "width": 24, "height": 16}, "output": {"name": "y"}}
    (folder / "mean.json").write_text(json.dumps(description))
    return settings


def test_cameras_of_one_kind_share_a_key() -> None:
    assert registry.model_key(Detection()) == "motion"
    assert registry.model_key(Detection(detector="memory")) == "memory"
    assert registry.model_key(Detection(detector="memory", product="bolt")) == "memory"
    assert registry.model_key(ONNX) == "onnx:street/mean.onnx"
    assert registry.model_key(ONNX.model_copy(update={"model": "street/./mean.onnx"})) == registry.model_key(ONNX)


@pytest.mark.parametrize(
    ("detection", "why"),
    [
        (Detection(detector="magic"), "use motion, memory, onnx"),
        (Detection(detector="motion", model="a.onnx"), "only onnx uses"),
        (Detection(detector="motion", product="bolt"), "only memory uses"),
        (ONNX.model_copy(update={"product": "bolt"}), "leave it empty, or use memory"),
        (Detection(detector="onnx"), "path under the models folder"),
        (Detection(detector="onnx", model="../a.onnx"), "path under the models folder"),
    ],
)
def test_what_cannot_be_a_detector_is_refused(detection: Detection, why: str) -> None:
    with pytest.raises(InputError, match=why):
        registry.model_key(detection)


@pytest.mark.parametrize("detection", [Detection(), Detection(detector="memory"), ONNX], ids=lambda one: one.detector)
def test_pool_loads_and_asks_every_type(pool: ModelPool, models: ServiceSettings, detection: Detection) -> None:
    with pool.lease(registry.model_key(detection), registry.detector_spec(detection, models)) as lease:
        shape = (lease.height, lease.width) if lease.pixel_format == "gray" else (lease.height, lease.width, 3)
        score = lease.submit(Sample("a", np.zeros(shape, np.uint8), 0.0)).result(30)
        assert score == 0


def test_types_are_those_a_spec_exists_for(models: ServiceSettings) -> None:
    for name in registry.detector_types():
        model = "street/mean.onnx" if name == "onnx" else ""
        assert registry.detector_spec(Detection(detector=name, model=model), models).declared > 0


def test_model_that_is_not_there_is_refused_before_it_is_leased(settings: ServiceSettings) -> None:
    with pytest.raises(InputError, match="no such file"):
        registry.detector_spec(ONNX, settings)


def test_persons_come_from_the_pool(pool: ModelPool, settings: ServiceSettings) -> None:
    with pool.lease(registry.PERSONS, registry.object_detector_spec(settings)) as lease:
        assert lease.model.detect(np.zeros((90, 160, 3), np.uint8)) == []
        assert pool.status().models[0].provider == "cpu"
