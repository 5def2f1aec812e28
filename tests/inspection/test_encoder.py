"""Image encoders: the shipped one, any ONNX model with a description, and what makes two of them different."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.errors import InputError, TransientError, XaivaError
from core.inference.inspection.encoder import (
    SHIPPED,
    EncoderFiles,
    ImageEncoder,
    encoder_spec,
    find_encoder,
    find_encoder_of,
)
from core.inference.settings import ServiceSettings
from tests.inspection.pictures import part, scratched
from tests.support.onnx_model import UINT8, write_mean

Describe = Callable[..., EncoderFiles]


@pytest.fixture
def describe(settings: ServiceSettings) -> Describe:
    """An encoder in the models folder: the mean colour of a picture."""

    def one(
        output: dict[str, Any] | None = None, resize: str = "stretch", model: Any = None, **picture: Any
    ) -> EncoderFiles:
        settings.models.mkdir(exist_ok=True)
        shape = {"shape": ("n", 3, 8, 16), "axes": (2, 3), **(model or {})}
        write_mean(settings.models / "means.onnx", **shape)
        content = {
            "input": {"name": "x", "width": 16, "height": 8, **picture},
            "resize": resize,
            "output": {"name": "y", **(output or {})},
        }
        (settings.models / "means.json").write_text(json.dumps(content))
        return find_encoder(settings, "means.onnx")

    return one


def _load(files: EncoderFiles) -> ImageEncoder:
    encoder = ImageEncoder(files)
    encoder.load()
    return encoder


def _halves(left: int, right: int, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """A picture whose left half is all red of that strength, and its right half all green."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[:, : size[1] // 2, 0] = left
    picture[:, size[1] // 2 :, 1] = right
    return picture


def test_the_shipped_encoder_needs_no_file_and_gives_unit_vectors(settings: ServiceSettings) -> None:
    encoder = _load(find_encoder(settings))
    vectors = encoder.embed([np.asarray(part("bolt", number)) for number in range(11)])
    assert encoder.identity.name == SHIPPED
    assert vectors.shape == (11, encoder.identity.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert encoder.embed([]).shape == (0, encoder.identity.dimension)


def test_the_shipped_encoder_tells_products_and_defects_apart(settings: ServiceSettings) -> None:
    encoder = _load(find_encoder(settings))
    parts = [
        part("bolt", 1),
        part("bolt", 2),
        part("lid", 3),
        scratched(part("bolt", 4)),
        scratched(part("bolt", 5), 9),
    ]
    bolt, same, lid, scratch, other_scratch = encoder.embed([np.asarray(picture) for picture in parts])
    assert bolt @ same > max(bolt @ scratch, bolt @ lid)
    assert scratch @ other_scratch > scratch @ bolt


def test_a_described_model_gives_its_output_as_unit_vectors(describe: Describe) -> None:
    encoder = _load(describe())
    assert encoder.identity.dimension == 3
    assert encoder.embed([_halves(255, 255)])[0] == pytest.approx([0.5**0.5, 0.5**0.5, 0], abs=1e-3)
    assert encoder.embed([_halves(200, 0)])[0] == pytest.approx([1, 0, 0], abs=1e-3)


def test_mean_and_deviation_layout_and_colours_are_applied(describe: Describe) -> None:
    shifted = _load(describe(mean=[0, 0, 0.5], std=[1, 1, 0.5]))
    assert shifted.embed([_halves(255, 255)])[0] == pytest.approx(np.array([0.5, 0.5, -1]) / 1.5**0.5, abs=1e-3)
    bytes_last = {"shape": ("n", 8, 16, 3), "axes": (1, 2), "kind": UINT8}
    swapped = _load(describe(model=bytes_last, layout="nhwc", type="uint8", colour="bgr"))
    assert swapped.embed([_halves(255, 0)])[0] == pytest.approx([0, 0, 1], abs=1e-3)


def test_the_resize_rules_see_all_of_a_picture_its_middle_or_a_border(describe: Describe) -> None:
    tall = np.zeros((160, 32, 3), np.uint8)  # red, but blue in the middle tenth
    tall[..., 0] = 255
    tall[72:88] = (0, 0, 255)
    stretched = _load(describe(resize="stretch")).embed([tall])[0]
    assert stretched[0] > 3 * stretched[2] > 0
    middle = _load(describe(resize="shorter")).embed([tall])[0]
    assert middle == pytest.approx([0, 0, 1], abs=0.1)
    padded = _load(describe(resize="pad", mean=[0, 0, 0], std=[1, 1, 1]))
    assert padded.prepare(tall)[:, :6].max() == padded.prepare(tall)[:, -6:].max() == 0


@pytest.mark.parametrize("rule", ["shorter", "stretch", "pad"])
def test_pictures_of_any_shape_are_resized(describe: Describe, rule: str) -> None:
    encoder = ImageEncoder(describe(resize=rule))
    random = np.random.default_rng(5)
    sizes = [(8, 40_000), (40_000, 8), *random.integers(8, 700, (200, 2))]
    for height, width in sizes:
        assert encoder.prepare(np.zeros((int(height), int(width), 3), np.uint8)).shape == (8, 16, 3)


def test_patches_are_pooled_to_mean_largest_and_smallest(describe: Describe) -> None:
    files = describe({"pool": "mean_max_min"}, model={"axes": (1,)})  # n x 8 x 16: rows as patches, columns as channels
    encoder = _load(files)
    assert encoder.identity.dimension == 48
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[0] = 255
    vector = encoder.embed([picture])[0]
    assert vector[:16] == pytest.approx(vector[16:32] / 8, abs=1e-4)
    assert vector[32:] == pytest.approx(0, abs=1e-6)


def test_vectors_of_a_model_that_normalises_are_checked(describe: Describe) -> None:
    with pytest.raises(InputError, match="normalise") as caught:
        _load(describe({"normalise": False}))
    assert "set it to true" in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"output": {"name": "z"}}, "output.name"),
        ({"output": {"pool": "mean_max_min"}}, "output.name"),
        ({"width": 32}, "input.width"),
        ({"type": "uint8"}, "input.type"),
        ({"model": {"axes": (3,)}}, "output.name"),
    ],
)
def test_a_wrong_description_names_its_field(describe: Describe, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        _load(describe(**changes))
    assert f"means.json: {field}" in caught.value.what


def test_a_picture_without_a_usable_vector_is_an_error_and_not_a_match(describe: Describe) -> None:
    encoder = _load(describe())
    with pytest.raises(XaivaError, match="no usable vector"):
        encoder.embed([np.zeros((20, 20, 3), np.uint8)])


@pytest.mark.parametrize("name", ["missing.onnx", "../means.onnx", "means.pt", "/etc/passwd"])
def test_a_name_that_is_no_model_in_the_folder_is_refused(settings: ServiceSettings, name: str) -> None:
    settings.models.mkdir()
    with pytest.raises(InputError):
        find_encoder(settings.model_copy(update={"encoder": name}))


def test_file_weights_and_description_are_its_identity(describe: Describe, settings: ServiceSettings) -> None:
    first = describe()
    assert find_encoder(settings, "means.onnx") == first
    others = [describe(resize="pad"), describe(mean=[0, 0, 0]), describe({"pool": "mean_max_min"})]
    model = settings.models / "means.onnx"
    model.with_name("means.onnx.data").write_bytes(b"weights")
    others.append(describe())
    model.with_name("means.onnx.data").unlink()
    shutil.copyfile(model, settings.models / "other.onnx")
    shutil.copyfile(settings.models / "means.json", settings.models / "other.json")
    assert len({files.sha256 for files in others} | {first.sha256}) == 5
    assert find_encoder(settings, "other.onnx").sha256 == first.sha256
    assert len({files.key for files in others}) == 4


def test_weights_beside_the_model_count_as_its_memory(describe: Describe, settings: ServiceSettings) -> None:
    alone = describe()
    (settings.models / "means.onnx.data").write_bytes(bytes(1000))
    assert describe().memory >= alone.memory + 1000


def test_an_index_finds_the_encoder_that_it_was_made_with_until_that_changes(
    describe: Describe, settings: ServiceSettings
) -> None:
    made_with = _load(describe()).identity
    assert find_encoder_of(settings, made_with).sha256 == made_with.sha256  # the settings name the shipped one
    describe(mean=[0, 0, 0])
    with pytest.raises(InputError, match="has changed since the index was built"):
        find_encoder_of(settings, made_with)
    (settings.models / "means.onnx").unlink()
    with pytest.raises(InputError, match="no such file"):
        find_encoder_of(settings, made_with)


def test_a_model_that_is_replaced_while_it_is_loaded_is_tried_again(describe: Describe) -> None:
    files = describe()
    describe(model={"shape": ("n", 3, 8, 16), "axes": (2, 3), "name": "x"})
    os.utime(files.path, (1e9, 1e9))  # the clock of a file system may not have ticked since
    with pytest.raises(TransientError, match="replaced"):
        _load(files)


def test_the_pool_loads_it_as_any_model(settings: ServiceSettings) -> None:
    files = find_encoder(settings)
    spec = encoder_spec(files, settings)
    model = spec.make()
    model.load()
    assert model.provider == "cpu"
    assert spec.declared > files.path.stat().st_size
    model.close()
