"""The checks: each finding with a preset that causes it and one that does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.findings import Finding, Level, has_errors
from core.presets import store
from core.presets.compat import check, load_facts, named_target
from core.presets.compat.checks import CODES
from core.presets.compat.machine import TargetMachine
from core.presets.model import Preset
from core.site import Site

from .conftest import CHECKOUT, SHIPPED

FACTS = load_facts()
INDEX = {"name": "ours", "url": "https://host/simple"}


def preset(*requirements: str, tensorrt: str = "", **fields: object) -> Preset:
    if requirements:
        fields["layers"] = [{"name": "common", "requirements": list(requirements)}]
    if tensorrt:
        fields["tensorrt"] = {"enabled": True, "version": tensorrt}
    return Preset.model_validate({"base_image": "ubuntu:22.04", "python_version": "3.10", **fields})


def torch(version: str, *requirements: str, **fields: Any) -> Preset:
    return preset(*requirements, pytorch={"version": version, "components": ["torch", "torchvision"]}, **fields)


def built(**options: object) -> Preset:
    return preset(build_options=options)


def nvidia(tag: str) -> str:
    return f"nvidia/cuda:{tag}-ubuntu22.04"


def opencv(version: str) -> dict[str, object]:
    return {"opencv_version": version, "opencv_cmake": ["-DWITH_CUDA=ON"]}


def source(name: str) -> list[dict[str, str]]:
    return [{"name": name, "path": "a.tar"}]


def machine(gpu: str = "", driver: str = "") -> TargetMachine:
    return named_target([gpu] if gpu else [], driver)


def findings(checked: Preset, code: str, target: TargetMachine | None = None) -> list[Finding]:
    assert code in CODES
    results = check(checked, target or machine("RTX 3090", "580.65.06"))
    return [finding for finding in results if finding.code == code]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_preset_passes_for_its_own_target(path: Path) -> None:
    results = check(store.load(path), site=Site.open(CHECKOUT))
    assert [finding.what for finding in results if finding.level is Level.ERROR] == []


@pytest.mark.parametrize("tag", ["cu128", "cu130"])
def test_a_gtx_1060_with_new_wheels_is_an_error_that_names_what_works(tag: str) -> None:
    version = {"cu128": "2.7.1+cu128", "cu130": "2.9.1+cu130"}[tag]
    (finding,) = findings(torch(version), "gpu-architecture", machine("GTX 1060", "580.65.06"))
    assert finding.level is Level.ERROR
    assert "no kernel image" in finding.why
    assert "cu126 up to torch 2.14.0" in finding.remedy
    assert findings(torch("2.7.1+cu126"), "gpu-architecture", machine("GTX 1060", "580.65.06")) == []


def test_what_works_is_named_for_the_presets_python_and_the_sites_driver() -> None:
    python_39 = torch("2.7.1+cu128", python_version="3.9")
    (finding,) = findings(python_39, "gpu-architecture", machine("GTX 1060", "470.57.02"))
    assert "cu118 up to torch 2.7.1" in finding.remedy
    assert "cu126" not in finding.remedy


def test_a_gtx_1060_with_tensorrt_10_is_an_error_that_names_8_6() -> None:
    too_new = torch("2.7.1+cu126", tensorrt="10.9.0")
    (finding,) = findings(too_new, "tensorrt-gpu", machine("GTX 1060", "560.35.05"))
    assert finding.level is Level.ERROR
    assert "8.6.1" in finding.remedy
    assert findings(torch("2.2.2+cu121", tensorrt="8.6.1"), "tensorrt-gpu", machine("GTX 1060")) == []


OPENCV = "opencv-python-headless"
DEVEL = nvidia("12.6.3-devel")
# A finding, a preset that causes it and one that does not; and the machine, if it matters.
CASES: list[tuple[Any, ...]] = [
    ("error torch-tag", torch("2.8.0+cu118"), torch("2.7.1+cu118")),
    ("error torch-tag", torch("2.1.0+cu130"), torch("2.9.1+cu130")),
    ("warning torch-tag-unknown", torch("2.8.0+cu140"), torch("2.8.0+cu128")),
    ("note torch-tag-experimental", torch("2.8.0+cu129"), torch("2.8.0+cu128")),
    ("warning torch-unknown", torch("3.0.0+cu130"), torch("2.14.0+cu130")),
    ("error torch-python", torch("2.9.1", python_version="3.9"), torch("2.8.0", python_version="3.9")),
    ("error torch-python", torch("2.1.0", python_version="3.12"), torch("2.4.0", python_version="3.12")),
    ("warning torch-python", torch("2.2.0", python_version="3.12"), torch("2.2.0")),
    ("error torch-pair", torch("2.7.1", "torchvision==0.21.0"), torch("2.7.1", "torchvision==0.22.1")),
    ("error torch-twice", torch("2.7.1+cu126", "torch>=2.8"), torch("2.7.1+cu126", "torch>=2.5")),
    ("note python-base", preset(python_version="3.11"), preset()),
    ("note index-unbound", preset(indexes=[INDEX]), preset(indexes=[{**INDEX, "packages": ["ours-*"]}])),
    ("note python-base", preset(python_version="3.11"), preset(python_version="3.11", sources=source("python"))),
    ("warning base-floating", preset(base_image="ubuntu:latest"), preset()),
    ("warning base-floating", preset(base_image="ubuntu"), preset(base_image="ubuntu@sha256:" + "0" * 64)),
    (
        "warning base-cuda",
        torch("2.9.1+cu130", base_image=nvidia("11.8.0-base")),
        torch("2.7.1+cu118", base_image=nvidia("11.8.0-base")),
    ),
    ("note base-cuda", torch("2.7.1+cu128", base_image=nvidia("12.4.1-base")), torch("2.7.1+cu128")),
    ("note base-size", torch("2.7.1", base_image=DEVEL), torch("2.7.1", base_image=nvidia("12.6.3-base"))),
    ("error tensorrt-cuda", torch("2.7.1+cu118", tensorrt="10.14.1"), torch("2.7.1+cu118", tensorrt="10.13.0")),
    (
        "error tensorrt-python",
        torch("2.4.0", python_version="3.12", tensorrt="8.6.1"),
        torch("2.4.0", tensorrt="8.6.1"),
    ),
    ("warning tensorrt-unknown", preset(tensorrt="12.0"), preset(tensorrt="10.9.0.34")),
    ("warning tensorrt-origin", preset(tensorrt="10.9.0"), preset(tensorrt="10.9.0", sources=source("tensorrt"))),
    (
        "note tensorrt-torch",
        torch("2.7.1", "torch-tensorrt==2.7.0", tensorrt="10.9.0"),
        torch("2.7.1", tensorrt="10.9.0"),
    ),
    ("error driver-floor", torch("2.9.1+cu130"), torch("2.7.1+cu126"), machine("T4", "570.124.06")),
    ("note driver-minor", torch("2.7.1+cu128"), torch("2.4.0+cu121"), machine("T4", "535.183.01")),
    ("note driver-unknown", torch("2.7.1"), preset(), machine("T4")),
    ("warning gpu-unknown", torch("2.7.1"), torch("2.7.1"), machine("GTX 1O60")),
    ("error tensorflow-python", preset("tensorflow==2.15.1", python_version="3.12"), preset("tensorflow==2.15.1")),
    ("error tensorflow-cuda", preset("tensorflow==2.15.1"), preset("numpy"), machine("T4", "470.57.02")),
    ("warning tensorflow-unknown", preset("tensorflow>=3"), preset()),
    (
        "error onnxruntime-gpu",
        torch("2.7.1+cu126", "onnxruntime-gpu", python_version="3.11"),
        torch("2.7.1+cu126", "onnxruntime-gpu>=1.22,<1.27", "nvidia-cudnn-cu12<9.11"),
        machine("GTX 1060", "560.35.05"),
    ),
    (
        "warning onnxruntime-gpu",
        torch("2.7.1+cu126", "onnxruntime-gpu", python_version="3.11"),
        torch("2.7.1+cu126", "onnxruntime-gpu", pins=["onnxruntime-gpu<1.27"]),
    ),
    (
        "warning package-conflict",
        torch("2.11.0", "whisperx>=3.7,<3.8", pins=["numpy<2"]),
        torch("2.11.0", "whisperx>=3.7,<3.8", pins=["numpy>=2"]),
    ),
    (
        "error nvenc-driver",
        built(nv_codec_headers_version="13.0.19.0"),
        built(nv_codec_headers_version="n12.1.14.0"),
        machine("T4", "535.183.01"),
    ),
    (
        "warning nvenc-headers",
        built(ffmpeg_version="7.1", ffmpeg_configure=["--enable-nvenc"]),
        built(ffmpeg_version="7.1", ffmpeg_configure=["--enable-gpl"]),
    ),
    ("warning nvenc-gpu", built(nv_codec_headers_version="12.1.14.0"), preset(), machine("H100", "580.65.06")),
    ("note ffmpeg-note", built(ffmpeg_version="4.2"), built(ffmpeg_version="7.1.1")),
    ("note ffmpeg-unknown", built(ffmpeg_version="3.4"), preset()),
    (
        "warning opencv-cuda",
        preset(base_image=DEVEL, build_options=opencv("4.9.0")),
        preset(base_image=DEVEL, build_options=opencv("4.13.0")),
    ),
    ("warning opencv-contrib", built(**opencv("4.13.0")), built(opencv_version="4.13.0")),
    ("note opencv-five", preset(OPENCV), preset(OPENCV, pins=[f"{OPENCV}<5"])),
    (
        "warning vram",
        torch("2.7.1+cu126", "whisperx", "faster-whisper"),
        torch("2.7.1+cu126", "numpy"),
        machine("GTX 1060", "560.35.05"),
    ),
    ("warning override-unknown", preset(overrides=["torch-tagg"]), preset(overrides=["torch-tag"])),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_one_check(case: tuple[Any, ...]) -> None:
    expected, bad, good, *target = case
    level, code = expected.split()
    results = findings(bad, code, *target)
    assert results
    assert results[0].level.value == level
    if code != "gpu-unknown":
        assert findings(good, code, *target) == []
    else:
        assert "GTX 1060" in results[0].remedy


@pytest.mark.parametrize(
    ("gpu", "driver", "base", "refused"),
    [
        ("RTX 3060", "550.144.03", nvidia("12.8.1-base"), True),
        ("RTX 3060", "570.124.06", nvidia("12.8.1-base"), False),
        ("T4", "550.144.03", nvidia("12.8.1-base"), False),
        ("T4", "545.23.08", nvidia("12.8.1-base"), True),
        ("GTX 1060", "535.183.01", nvidia("12.4.1-base"), False),
        ("GTX 1060", "535.183.01", nvidia("12.6.3-base"), True),
        ("RTX 3060", "550.144.03", "ubuntu:22.04", False),
    ],
)
def test_the_gate_of_the_nvidia_images(gpu: str, driver: str, base: str, refused: bool) -> None:
    results = findings(torch("2.4.0+cu124", base_image=base), "require-cuda", machine(gpu, driver))
    assert [finding.level for finding in results] == ([Level.ERROR] if refused else [])


def test_the_gate_can_be_lifted_by_its_own_variable_or_a_runtime_base() -> None:
    base, target = nvidia("12.8.1-base"), machine("RTX 3060", "550.144.03")
    lifted = torch("2.7.1+cu128", base_image=base, run={"environment": {"NVIDIA_DISABLE_REQUIRE": "1"}})
    assert findings(lifted, "require-cuda", target) == []
    smaller = torch("2.7.1+cu128", base_image=base, runtime_base_image="ubuntu:22.04")
    assert findings(smaller, "require-cuda", target) == []
    older = torch("2.4.0+cu124", base_image=base, runtime_base_image=nvidia("12.4.1-base"))
    assert findings(older, "require-cuda", target) == []
    newer = torch("2.4.0+cu124", base_image=nvidia("12.4.1-devel"), runtime_base_image=base)
    (finding,) = findings(newer, "require-cuda", target)
    assert finding.where == "runtime_base_image"
    assert "cuda>=12.8" in finding.what


def test_an_override_makes_an_error_a_note_and_errors_come_first() -> None:
    target = machine("GTX 1060", "535.183")
    bad = torch("2.9.1+cu130", tensorrt="10.14.1")
    order = [finding.level for finding in check(bad, target)]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    accepted = torch("2.9.1+cu130", tensorrt="10.14.1", overrides=["gpu-architecture"])
    (finding,) = findings(accepted, "gpu-architecture", target)
    assert finding.level is Level.NOTE
    assert "accepted" in finding.why
    assert has_errors(check(accepted, target))


def test_without_a_machine_only_what_needs_none_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.presets.compat.checking.host_target", lambda facts=None: None)
    assert [finding.code for finding in check(torch("2.7.1"))] == ["gpu-none"]
    assert check(preset()) == []


def test_a_driver_by_hand_has_to_be_a_version() -> None:
    with pytest.raises(InputError, match="driver version"):
        named_target(["T4"], "latest")


def test_the_source_of_xaiva_media_must_be_named(tmp_path: Path) -> None:
    with_branch = built(xaiva_media_branch="master")

    def media_findings(checked: Preset, env: str) -> list[Finding]:
        (tmp_path / ".env").write_text(env)
        return [finding for finding in check(checked, site=Site.open(tmp_path)) if finding.code == "media-source"]

    (finding,) = media_findings(with_branch, "")
    assert finding.level is Level.WARNING
    assert "XAIVA_SOURCE_PATH" in finding.remedy
    assert "xaiva-media" in finding.remedy
    (finding,) = media_findings(with_branch, "XAIVA_SOURCE_PATH=gone\n")
    assert "gone, which does not exist" in finding.why
    (tmp_path / "media").mkdir()
    assert not media_findings(with_branch, "XAIVA_SOURCE_PATH=media\n")
    with_source = {"sources": [{"name": "xaiva-media", "path": "elsewhere"}]}
    assert not media_findings(preset(build_options={"xaiva_media_branch": "master"}, **with_source), "")
    assert not media_findings(built(ffmpeg_version="7.1", opencv_version="4.13.0"), "")
