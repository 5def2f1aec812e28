"""Which known values of a field can work on a target, and why others cannot."""

from __future__ import annotations

import pytest

from core.findings import Level
from core.presets.compat import choices, named_target, rate_choices
from core.presets.model import Preset

PRESET = Preset.model_validate(
    {
        "base_image": "nvidia/cuda:13.0.2-base-ubuntu24.04",
        "python_version": "3.11",
        "pytorch": {"version": "2.7.1+cu126"},
        "layers": [{"name": "common", "requirements": ["numpy"]}],
    }
)
PASCAL = named_target(["GTX 1060"], "535.183")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("base_image", "ubuntu:24.04", ""),
        ("base_image", "nvidia/cuda:13.0.2-base-ubuntu24.04", "too old for CUDA 13.0"),
        ("pytorch.version", "2.7.1+cu126", ""),
        ("pytorch.version", "2.7.1+cu128", "cannot run torch wheels with cu128"),
        ("tensorrt.version", "10.9.0", "does not run on GTX 1060"),
        ("python_version", "3.8", "has no wheel"),
        ("build_options.ffmpeg_version", "7.1", ""),
    ],
)
def test_only_what_a_value_brings_speaks_against_it(field: str, value: str, reason: str) -> None:
    """The base image is wrong in all of them, and that is not a fault of any PyTorch."""
    rated = rate_choices(PRESET, field, choices().of_field(field, PRESET.python_version), PASCAL)
    problem = {choice.value: choice.problem for choice in rated}[value]
    if not reason:
        assert problem is None or problem.level is not Level.ERROR, problem
    else:
        assert problem is not None
        assert problem.level is Level.ERROR
        assert reason in problem.summary


def test_a_value_that_no_preset_may_have_is_rated_and_not_raised() -> None:
    good, bad = rate_choices(PRESET, "python_version", ["3.12", "three"], PASCAL)
    assert good.problem is None
    assert bad.problem is not None
    assert bad.problem.code == "preset-invalid"
