"""The checks: each finding with a preset that causes it and one that does not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from packaging.version import Version

from core.errors import InputError
from core.findings import Finding, Level, has_errors
from core.presets import store
from core.presets.compat import check, host_target, load_facts, named_target, site_facts
from core.presets.compat.checks import CODES
from core.presets.compat.facts import _TABLES, DATA
from core.presets.compat.machine import TargetMachine, driver_cuda, has_code_for
from core.presets.compat.rows import VersionedRow
from core.presets.model import Preset
from core.site import Site

from .conftest import CHECKOUT, SHIPPED

FACTS = load_facts()
INDEX = {"name": "ours", "url": "https://host/simple"}


def preset(**fields: object) -> Preset:
    base = {"base_image": "ubuntu:22.04", "python_version": "3.10"}
    return Preset.model_validate({**base, **fields})


def torch(version: str, **fields: object) -> Preset:
    return preset(pytorch={"version": version, "components": ["torch", "torchvision"]}, **fields)


def trt(version: str) -> dict[str, object]:
    return {"enabled": True, "version": version}


def layer(*requirements: str) -> list[dict[str, object]]:
    return [{"name": "common", "requirements": list(requirements)}]


def machine(gpu: str = "", driver: str = "") -> TargetMachine:
    return named_target([gpu] if gpu else [], driver)


def findings(checked: Preset, code: str, target: TargetMachine | None = None) -> list[Finding]:
    matching = [
        finding for finding in check(checked, target or machine("RTX 3090", "580.65.06")) if finding.code == code
    ]
    assert all(finding.code in CODES for finding in matching)
    return matching


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
    (finding,) = findings(
        torch("2.7.1+cu126", tensorrt=trt("10.9.0")), "tensorrt-gpu", machine("GTX 1060", "560.35.05")
    )
    assert finding.level is Level.ERROR
    assert "8.6.1" in finding.remedy
    assert findings(torch("2.2.2+cu121", tensorrt=trt("8.6.1")), "tensorrt-gpu", machine("GTX 1060")) == []


@pytest.mark.parametrize(
    ("code", "level", "bad", "good", "target"),
    [
        ("torch-tag", "error", torch("2.8.0+cu118"), torch("2.7.1+cu118"), None),
        ("torch-tag", "error", torch("2.1.0+cu130"), torch("2.9.1+cu130"), None),
        ("torch-tag-unknown", "warning", torch("2.8.0+cu140"), torch("2.8.0+cu128"), None),
        ("torch-tag-experimental", "note", torch("2.8.0+cu129"), torch("2.8.0+cu128"), None),
        ("torch-unknown", "warning", torch("3.0.0+cu130"), torch("2.14.0+cu130"), None),
        ("torch-python", "error", torch("2.9.1", python_version="3.9"), torch("2.8.0", python_version="3.9"), None),
        ("torch-python", "error", torch("2.1.0", python_version="3.12"), torch("2.4.0", python_version="3.12"), None),
        ("torch-python", "warning", torch("2.2.0", python_version="3.12"), torch("2.2.0"), None),
        (
            "torch-pair",
            "error",
            torch("2.7.1", layers=layer("torchvision==0.21.0")),
            torch("2.7.1", layers=layer("torchvision==0.22.1")),
            None,
        ),
        (
            "torch-twice",
            "error",
            torch("2.7.1+cu126", layers=layer("torch>=2.8")),
            torch("2.7.1+cu126", layers=layer("torch>=2.5")),
            None,
        ),
        ("python-base", "note", preset(python_version="3.11"), preset(), None),
        ("index-unbound", "note", preset(indexes=[INDEX]), preset(indexes=[{**INDEX, "packages": ["ours-*"]}]), None),
        (
            "python-base",
            "note",
            preset(python_version="3.11"),
            preset(python_version="3.11", sources=[{"name": "python", "path": "p.tar"}]),
            None,
        ),
        ("base-floating", "warning", preset(base_image="ubuntu:latest"), preset(), None),
        ("base-floating", "warning", preset(base_image="ubuntu"), preset(base_image="ubuntu@sha256:" + "0" * 64), None),
        (
            "base-cuda",
            "warning",
            torch("2.9.1+cu130", base_image="nvidia/cuda:11.8.0-base-ubuntu22.04"),
            torch("2.7.1+cu118", base_image="nvidia/cuda:11.8.0-base-ubuntu22.04"),
            None,
        ),
        (
            "base-cuda",
            "note",
            torch("2.7.1+cu128", base_image="nvidia/cuda:12.4.1-base-ubuntu22.04"),
            torch("2.7.1+cu128"),
            None,
        ),
        (
            "base-size",
            "note",
            torch("2.7.1", base_image="nvidia/cuda:12.6.3-devel-ubuntu22.04"),
            torch("2.7.1", base_image="nvidia/cuda:12.6.3-base-ubuntu22.04"),
            None,
        ),
        (
            "tensorrt-cuda",
            "error",
            torch("2.7.1+cu118", tensorrt=trt("10.14.1")),
            torch("2.7.1+cu118", tensorrt=trt("10.13.0")),
            None,
        ),
        (
            "tensorrt-python",
            "error",
            torch("2.4.0", python_version="3.12", tensorrt=trt("8.6.1")),
            torch("2.4.0", tensorrt=trt("8.6.1")),
            None,
        ),
        ("tensorrt-unknown", "warning", preset(tensorrt=trt("12.0")), preset(tensorrt=trt("10.9.0.34")), None),
        (
            "tensorrt-origin",
            "warning",
            preset(tensorrt=trt("10.9.0")),
            preset(tensorrt=trt("10.9.0"), sources=[{"name": "tensorrt", "path": "t.tar"}]),
            None,
        ),
        (
            "tensorrt-torch",
            "note",
            torch("2.7.1", tensorrt=trt("10.9.0"), layers=layer("torch-tensorrt==2.7.0")),
            torch("2.7.1", tensorrt=trt("10.9.0")),
            None,
        ),
        ("driver-floor", "error", torch("2.9.1+cu130"), torch("2.7.1+cu126"), machine("T4", "570.124.06")),
        ("driver-minor", "note", torch("2.7.1+cu128"), torch("2.4.0+cu121"), machine("T4", "535.183.01")),
        ("driver-unknown", "note", torch("2.7.1"), preset(), machine("T4")),
        ("gpu-unknown", "warning", torch("2.7.1"), torch("2.7.1"), machine("GTX 1O60")),
        (
            "tensorflow-python",
            "error",
            preset(python_version="3.12", layers=layer("tensorflow==2.15.1")),
            preset(layers=layer("tensorflow==2.15.1")),
            None,
        ),
        (
            "tensorflow-cuda",
            "error",
            preset(layers=layer("tensorflow==2.15.1")),
            preset(layers=layer("numpy")),
            machine("T4", "470.57.02"),
        ),
        ("tensorflow-unknown", "warning", preset(layers=layer("tensorflow>=3")), preset(), None),
        (
            "onnxruntime-gpu",
            "error",
            torch("2.7.1+cu126", python_version="3.11", layers=layer("onnxruntime-gpu")),
            torch("2.7.1+cu126", layers=layer("onnxruntime-gpu>=1.22,<1.27", "nvidia-cudnn-cu12<9.11")),
            machine("GTX 1060", "560.35.05"),
        ),
        (
            "onnxruntime-gpu",
            "warning",
            torch("2.7.1+cu126", python_version="3.11", layers=layer("onnxruntime-gpu")),
            torch("2.7.1+cu126", layers=layer("onnxruntime-gpu"), pins=["onnxruntime-gpu<1.27"]),
            None,
        ),
        (
            "package-conflict",
            "warning",
            torch("2.11.0", layers=layer("whisperx>=3.7,<3.8"), pins=["numpy<2"]),
            torch("2.11.0", layers=layer("whisperx>=3.7,<3.8"), pins=["numpy>=2"]),
            None,
        ),
        (
            "nvenc-driver",
            "error",
            preset(build_options={"nv_codec_headers_version": "13.0.19.0"}),
            preset(build_options={"nv_codec_headers_version": "n12.1.14.0"}),
            machine("T4", "535.183.01"),
        ),
        (
            "nvenc-headers",
            "warning",
            preset(build_options={"ffmpeg_version": "7.1", "ffmpeg_configure": ["--enable-nvenc"]}),
            preset(build_options={"ffmpeg_version": "7.1", "ffmpeg_configure": ["--enable-gpl"]}),
            None,
        ),
        (
            "nvenc-gpu",
            "warning",
            preset(build_options={"nv_codec_headers_version": "12.1.14.0"}),
            preset(),
            machine("H100", "580.65.06"),
        ),
        (
            "ffmpeg-note",
            "note",
            preset(build_options={"ffmpeg_version": "4.2"}),
            preset(build_options={"ffmpeg_version": "7.1.1"}),
            None,
        ),
        ("ffmpeg-unknown", "note", preset(build_options={"ffmpeg_version": "3.4"}), preset(), None),
        (
            "opencv-cuda",
            "warning",
            preset(
                base_image="nvidia/cuda:12.6.3-devel-ubuntu22.04",
                build_options={"opencv_version": "4.9.0", "opencv_cmake": ["-DWITH_CUDA=ON"]},
            ),
            preset(
                base_image="nvidia/cuda:12.6.3-devel-ubuntu22.04",
                build_options={"opencv_version": "4.13.0", "opencv_cmake": ["-DWITH_CUDA=ON"]},
            ),
            None,
        ),
        (
            "opencv-contrib",
            "warning",
            preset(build_options={"opencv_version": "4.13.0", "opencv_cmake": ["-DWITH_CUDA=ON"]}),
            preset(build_options={"opencv_version": "4.13.0"}),
            None,
        ),
        (
            "opencv-five",
            "note",
            preset(layers=layer("opencv-python-headless")),
            preset(layers=layer("opencv-python-headless"), pins=["opencv-python-headless<5"]),
            None,
        ),
        (
            "vram",
            "warning",
            torch("2.7.1+cu126", layers=layer("whisperx", "faster-whisper")),
            torch("2.7.1+cu126", layers=layer("numpy")),
            machine("GTX 1060", "560.35.05"),
        ),
        ("override-unknown", "warning", preset(overrides=["torch-tagg"]), preset(overrides=["torch-tag"]), None),
    ],
)
def test_one_check(code: str, level: str, bad: Preset, good: Preset, target: TargetMachine | None) -> None:
    results = findings(bad, code, target)
    assert results
    assert results[0].level.value == level
    if code != "gpu-unknown":
        assert findings(good, code, target) == []
    else:
        assert "GTX 1060" in results[0].remedy


@pytest.mark.parametrize(
    ("gpu", "driver", "base", "refused"),
    [
        ("RTX 3060", "550.144.03", "nvidia/cuda:12.8.1-base-ubuntu22.04", True),
        ("RTX 3060", "570.124.06", "nvidia/cuda:12.8.1-base-ubuntu22.04", False),
        ("T4", "550.144.03", "nvidia/cuda:12.8.1-base-ubuntu22.04", False),
        ("T4", "545.23.08", "nvidia/cuda:12.8.1-base-ubuntu22.04", True),
        ("GTX 1060", "535.183.01", "nvidia/cuda:12.4.1-base-ubuntu22.04", False),
        ("GTX 1060", "535.183.01", "nvidia/cuda:12.6.3-base-ubuntu22.04", True),
        ("RTX 3060", "550.144.03", "ubuntu:22.04", False),
    ],
)
def test_the_gate_of_the_nvidia_images(gpu: str, driver: str, base: str, refused: bool) -> None:
    results = findings(torch("2.4.0+cu124", base_image=base), "require-cuda", machine(gpu, driver))
    assert [finding.level for finding in results] == ([Level.ERROR] if refused else [])


def test_the_gate_can_be_lifted_by_its_own_variable_or_a_runtime_base() -> None:
    base, target = "nvidia/cuda:12.8.1-base-ubuntu22.04", machine("RTX 3060", "550.144.03")
    lifted = torch("2.7.1+cu128", base_image=base, run={"environment": {"NVIDIA_DISABLE_REQUIRE": "1"}})
    assert findings(lifted, "require-cuda", target) == []
    smaller = torch("2.7.1+cu128", base_image=base, runtime_base_image="ubuntu:22.04")
    assert findings(smaller, "require-cuda", target) == []
    older = torch("2.4.0+cu124", base_image=base, runtime_base_image="nvidia/cuda:12.4.1-base-ubuntu22.04")
    assert findings(older, "require-cuda", target) == []
    newer = torch("2.4.0+cu124", base_image="nvidia/cuda:12.4.1-devel-ubuntu22.04", runtime_base_image=base)
    (finding,) = findings(newer, "require-cuda", target)
    assert finding.where == "runtime_base_image"
    assert "cuda>=12.8" in finding.what


def test_an_override_makes_an_error_a_note_and_errors_come_first() -> None:
    target = machine("GTX 1060", "535.183")
    bad = torch("2.9.1+cu130", tensorrt=trt("10.14.1"))
    order = [finding.level for finding in check(bad, target)]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    accepted = torch("2.9.1+cu130", tensorrt=trt("10.14.1"), overrides=["gpu-architecture"])
    (finding,) = findings(accepted, "gpu-architecture", target)
    assert finding.level is Level.NOTE
    assert "accepted" in finding.why
    assert has_errors(check(accepted, target))


def test_without_a_machine_only_what_needs_none_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.presets.compat.checking.host_target", lambda facts=None: None)
    assert [finding.code for finding in check(torch("2.7.1"))] == ["gpu-none"]
    assert check(preset()) == []


def test_a_sites_rows_win_over_shipped_ones(site: Site) -> None:
    folder = site.docker / "compat"
    folder.mkdir(parents=True)
    row = json.loads((DATA / "wheel_tags.json").read_text())["rows"][-2]
    assert row["key"] == "cu130"
    row["sm"] = ["6.1", *row["sm"]]
    (folder / "wheel_tags.json").write_text(json.dumps({"rows": [row, {**row, "key": "cu140", "cuda": "14.0"}]}))
    target = machine("GTX 1060", "580.65.06")
    ours = {finding.code for finding in check(torch("2.9.1+cu130"), target, site=site)}
    assert "gpu-architecture" not in ours
    assert "cu140" in site_facts(site).wheel_tags
    assert "gpu-architecture" in {finding.code for finding in check(torch("2.9.1+cu130"), target)}


def test_a_sites_older_row_does_not_become_the_newest(site: Site) -> None:
    folder = site.docker / "compat"
    folder.mkdir(parents=True)
    old = {**json.loads((DATA / "onnxruntime.json").read_text())["rows"][0], "key": "1.18", "first": "1.18.0"}
    (folder / "onnxruntime.json").write_text(json.dumps({"rows": [{**old, "last": "1.19.99"}]}))
    assert list(site_facts(site).onnxruntime) == ["1.18", *FACTS.onnxruntime]


def test_the_shipped_tables_are_in_order() -> None:
    for name, kind in _TABLES.items():
        keys = list(getattr(FACTS, name))
        assert not issubclass(kind, VersionedRow) or keys == sorted(keys, key=Version), name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("torch.json", "{"),
        ("torch.json", "[]"),
        ("torch.json", '{"rows": [{"key": "9.9"}]}'),
        ("torches.json", '{"rows": []}'),
        (
            "cuda.json",
            '{"rows": [{"key": "14.0", "min_driver": "new", "native_driver": "600", "source": "", "verified_on": ""}]}',
        ),
        (
            "packages.json",
            '{"rows": [{"key": "x", "package": "x", "versions": "<2", "needs": [], "source": "", "verified_on": ""}]}',
        ),
    ],
)
def test_a_broken_overlay_is_named_and_changes_nothing(site: Site, name: str, text: str) -> None:
    folder = site.docker / "compat"
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    (problem,) = [finding for finding in check(preset(), site=site) if finding.code == "overlay-unusable"]
    assert name in problem.what
    assert list(site_facts(site).torch) == list(FACTS.torch)


def test_every_row_has_a_source_and_a_date_or_says_that_nobody_looked() -> None:
    for path in DATA.glob("*.json"):
        rows = getattr(FACTS, path.stem).values()
        assert rows, path
        for row in rows:
            assert row.source.strip(), (path, row.key)
            assert bool(row.verified_on) == ("not looked up" not in row.source), (path, row.key)
            assert not row.verified_on or date.fromisoformat(row.verified_on), (path, row.key)


def test_tables_agree_with_each_other() -> None:
    for row in FACTS.torch.values():
        for tag in (*row.tags, *row.experimental_tags, row.default_tag):
            assert FACTS.wheel_tags[tag].cuda in FACTS.cuda
        assert set(row.cudnn) <= {*row.tags, *row.experimental_tags}
    for image in FACTS.base_images.values():
        assert FACTS.systems[image.os].python == image.python


def test_code_runs_on_the_same_major_version_and_not_on_an_older_minor() -> None:
    assert has_code_for("8.9", ["8.6"], [])
    assert not has_code_for("8.0", ["8.6"], [])
    assert not has_code_for("12.0", ["9.0"], [])
    assert has_code_for("12.0", ["9.0"], ["9.0"])
    assert not has_code_for("8.0", [], ["9.0"])


def test_what_cuda_a_driver_knows() -> None:
    assert driver_cuda("535.183.01", FACTS) == "12.2"
    assert driver_cuda("570.124", FACTS) == "12.8"
    assert driver_cuda("580.65", FACTS) == "13.0"
    assert driver_cuda("390.10", FACTS) == ""


def test_this_host_as_the_drivers_files_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n")
    card = tmp_path / "gpus" / "0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA GeForce GTX 1060 6GB\nIRQ:   \t\t 33\n")
    monkeypatch.setattr("core.presets.compat.machine._VERSION_FILES", (tmp_path / "none", version))
    monkeypatch.setattr("core.presets.compat.machine._GPU_FOLDER", tmp_path / "gpus")
    monkeypatch.setattr("core.presets.compat.machine._nvml_gpus", lambda facts: ())
    host = host_target(FACTS)
    assert host is not None
    assert host.driver == "535.183.01"
    assert [(gpu.name, gpu.sm) for gpu in host.gpus] == [("NVIDIA GeForce GTX 1060 6GB", "")]


def test_a_driver_by_hand_has_to_be_a_version() -> None:
    with pytest.raises(InputError, match="driver version"):
        named_target(["T4"], "latest")


def test_the_source_of_xaiva_media_must_be_named(tmp_path: Path) -> None:
    with_branch = preset(build_options={"xaiva_media_branch": "master"})

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
    assert not media_findings(preset(build_options={"ffmpeg_version": "7.1", "opencv_version": "4.13.0"}), "")
