"""Any ONNX model with its JSON file: what goes in, what comes out, and what is said when the two do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InputError, XaivaError
from core.inference.models.detector import Sample
from core.inference.models.execution_providers import select_provider
from core.inference.models.onnx_detector import OnnxDetector
from core.inference.models.onnx_input import model_path
from tests.support.onnx_model import FLOAT, UINT8, write_mean

Make = Callable[..., OnnxDetector]

CHANNEL_MEANS: dict[str, Any] = {"shape": ("n", 3, 16, 24), "axes": (2, 3)}
RED = (200, 40, 20)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A detector over the means of a picture's channels, described as given."""

    def one(
        output: dict[str, Any] | None = None,
        *,
        shape: tuple[int | str, ...] = CHANNEL_MEANS["shape"],
        axes: tuple[int, ...] = CHANNEL_MEANS["axes"],
        kind: int = FLOAT,
        **given: Any,
    ) -> OnnxDetector:
        path = write_mean(tmp_path / "mean.onnx", shape, axes, kind=kind)
        description = {
            "input": {"name": "x", "width": 24, "height": 16, **given},
            "output": {"name": "y", **(output or {})},
        }
        path.with_suffix(".json").write_text(json.dumps(description))
        return OnnxDetector(path, select_provider("cpu"))

    return one


def picture(*colour: int) -> Sample:
    return Sample("a", np.full((16, 24, len(colour)), colour, np.uint8), 0.0)


def score(detector: OnnxDetector, *samples: Sample) -> list[float]:
    detector.load()
    try:
        return detector.score(samples)
    finally:
        detector.close()


def test_number_at_the_index_is_the_score(make: Make) -> None:
    assert score(make({"index": 0}), picture(*RED)) == pytest.approx([200 / 255])
    assert score(make({"index": 2}), picture(*RED)) == pytest.approx([20 / 255])


def test_without_an_index_the_largest_number_is_the_score(make: Make) -> None:
    assert score(make(), picture(10, 90, 51)) == pytest.approx([90 / 255])


def test_pixels_are_scaled_less_mean_over_std_each_channel(make: Make) -> None:
    detector = make({"index": 1, "low": -1, "high": 1}, scale=100, mean=[0, 0.2, 0], std=[1, 0.5, 1])
    assert score(detector, picture(*RED)) == pytest.approx([((0.4 - 0.2) / 0.5 + 1) / 2], abs=1e-5)


@pytest.mark.parametrize(("activation", "expected"), [("sigmoid", 1 / (1 + np.exp(-4))), ("softmax", 0.7214)])
def test_activations(make: Make, activation: str, expected: float) -> None:
    detector = make({"index": 0, "activation": activation}, scale=1)
    assert score(detector, picture(4, 3, 0)) == pytest.approx([expected], abs=1e-3)


def test_small_numbers_are_the_anomaly_when_low_is_above_high(make: Make) -> None:
    detector = make({"index": 0, "low": 1, "high": 0})
    assert score(detector, picture(255, 0, 0), picture(0, 0, 0)) == pytest.approx([0, 1])


def test_scores_stay_between_0_and_1(make: Make) -> None:
    assert score(make({"index": 0, "low": 0.5, "high": 0.6}), picture(0, 0, 0), picture(255, 0, 0)) == [0, 1]


def test_more_samples_than_a_batch_come_back_in_order(make: Make) -> None:
    samples = [picture(value, 0, 0) for value in range(0, 250, 13)]
    assert score(make({"index": 0}), *samples) == pytest.approx([value / 255 for value in range(0, 250, 13)])


def test_model_for_one_picture_gets_one_at_a_time(make: Make) -> None:
    detector = make({"index": 0}, shape=(1, 3, 16, 24))
    assert score(detector, picture(51, 0, 0), picture(102, 0, 0)) == pytest.approx([0.2, 0.4])


def test_uint8_picture_goes_in_as_it_is_with_the_channels_last(make: Make) -> None:
    detector = make(
        {"index": 0, "high": 255}, shape=("n", 16, 24, 3), axes=(1, 2), kind=UINT8, layout="nhwc", type="uint8"
    )
    assert score(detector, picture(51, 0, 0)) == pytest.approx([0.2])


def test_grey_pictures_have_one_channel(make: Make) -> None:
    detector = make(shape=("n", 1, 16, 24), colour="gray")
    assert detector.pixel_format == "gray"
    grey = Sample("a", np.full((16, 24), 51, np.uint8), 0.0)
    assert score(detector, grey) == pytest.approx([0.2])


def test_bgr_is_what_the_camera_is_asked_for(make: Make) -> None:
    assert make(colour="bgr").pixel_format == "bgr24"


def test_whole_picture_as_one_number(make: Make) -> None:
    assert score(make(axes=(1, 2, 3)), picture(51, 51, 51)) == pytest.approx([0.2], abs=1e-5)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"name": "pixels"}, "input.name.*the model has no 'pixels'; it has x"),
        ({"width": 32}, "input.width.*n x 3 x 16 x 24"),
        ({"layout": "nhwc"}, "input.layout"),
        ({"type": "float16"}, "input.type.*tensor"),
        ({"colour": "gray"}, "input.colour.*1 x 16 x 24 is declared"),
        ({"width": "wide"}, "input.width: .*is not a whole number"),
        ({"mean": [1, 2]}, "input.*mean needs 3 numbers"),
        ({"std": [1, 0, 1]}, r"input.std\[1\]: 0 is too small"),
        ({"colour": "yuv"}, "input.colour"),
        ({"type": "uint8", "mean": [0, 0, 0]}, "input.*leave scale, mean and std out"),
        ({"size": 3}, "input.size: there is no such key"),
        ({"shape": (2, 3, 16, 24)}, "input.*2 pictures at once"),
        ({"shape": ("n", 48, 24), "axes": (1,)}, "input.layout.*not a batch of pictures"),
    ],
)
def test_wrong_input_names_file_and_field(make: Make, given: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)mean\.json: {named}"):
        make(**given).load()


@pytest.mark.parametrize(
    ("output", "named"),
    [
        ({"name": "z"}, "output.name.*the model has no 'z'; it has y"),
        ({"index": 3}, "output.index is 3, but y has 3 numbers"),
        ({"low": 1, "high": 1}, "output.*low and high must differ"),
        ({"activation": "tanh"}, "output.activation"),
    ],
)
def test_wrong_output_names_file_and_field(make: Make, output: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)mean\.json: {named}"):
        make(output).load()


def test_output_without_the_pictures_is_refused(make: Make) -> None:
    with pytest.raises(InputError, match=r"output\.name"):
        make(axes=(0, 2, 3)).load()


@pytest.mark.parametrize(
    ("text", "why"), [("{", "line 1.*not valid JSON"), ("[]", "not an object"), ("{}", "input: it is missing")]
)
def test_description_that_is_none_is_refused(make: Make, tmp_path: Path, text: str, why: str) -> None:
    make()
    (tmp_path / "mean.json").write_text(text)
    with pytest.raises(InputError, match=rf"(?s)mean\.json.*{why}"):
        OnnxDetector(tmp_path / "mean.onnx")


def test_missing_description_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lonely\.json.*no such file beside the model"):
        OnnxDetector(tmp_path / "lonely.onnx")


def test_file_that_is_no_model_is_told(make: Make, tmp_path: Path) -> None:
    detector = make()
    (tmp_path / "mean.onnx").write_bytes(b"nonsense")
    with pytest.raises(XaivaError, match=r"mean\.onnx.*not a valid ONNX model"):
        detector.load()


@pytest.mark.filterwarnings("ignore:overflow")
def test_model_that_gives_no_number_is_an_error_not_a_score(make: Make) -> None:
    with pytest.raises(XaivaError, match="no finite number"):
        score(make({"index": 0}, std=[1e-40, 1, 1]), picture(255, 0, 0))


@pytest.mark.parametrize(
    "name", ["/etc/passwd.onnx", "../outside.onnx", "a/../../outside.onnx", "link.onnx", "", "a.pt"]
)
def test_models_are_only_taken_from_their_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "outside.onnx").write_bytes(b"")
    (folder / "link.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(InputError):
        model_path(folder, name)


def test_model_in_a_folder_of_the_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "street").mkdir()
    (tmp_path / "street" / "doors.onnx").write_bytes(b"")
    assert model_path(tmp_path, "street/doors.onnx") == tmp_path / "street" / "doors.onnx"
    with pytest.raises(InputError, match="no such file"):
        model_path(tmp_path, "street/windows.onnx")
