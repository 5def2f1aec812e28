"""The findings of the smoke test, and its probe run by a real Python."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest

from core.artifacts.lockfile import FileKind
from core.findings import Level
from core.images.smoke_probe import modules_of
from core.images.smoke_test import OUTPUT_MARKER, PROBE_SCRIPT, SERVICE_MODULE, probe_findings
from core.presets.compat.machine import GpuModel, TargetMachine
from core.presets.model import Preset
from tests.images.support import preset_of
from tests.images.test_render import lock_of, locked

WELL = {"code": 0, "output": ""}


def answer(**changes: Any) -> dict[str, Any]:
    """What the probe says of a good image."""
    return {"python": "3.11.2", "versions": {"a": "1"}, "imports": {"a": WELL}, "commands": [], **changes}


def codes(preset: Preset, said: dict[str, Any], machine: TargetMachine | None = None, **lock: Any) -> list[str]:
    """The findings' codes."""
    findings = list(probe_findings(said, preset, lock_of(preset, "a", **lock), "runtime", machine))
    assert all(finding.why for finding in findings)
    return [finding.code for finding in findings]


def test_a_good_image_has_no_findings() -> None:
    assert codes(preset_of(), answer()) == []
    assert codes(preset_of(), answer(versions={"a": "1.0", "not-locked": "2"})) == []


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"python": "3.10.1"}, "smoke-python"),
        ({"versions": {}}, "smoke-version"),
        ({"versions": {"a": "2"}}, "smoke-version"),
        ({"imports": {"a": {"code": 1, "output": "Traceback\nImportError: libGL.so.1: no such file"}}}, "smoke-import"),
        ({"imports": {"a": {"code": -11, "output": ""}}}, "smoke-import"),
        ({"imports": {"a": {"code": 1, "output": "ImportError: libcuda.so.1: cannot open"}}}, "smoke-needs-driver"),
        ({"commands": [{"code": 127, "output": "not found"}]}, "smoke-ffmpeg"),
        ({"commands": [{"code": 0, "output": "ffmpeg version n4.4 Copyright"}]}, "smoke-ffmpeg"),
    ],
)
def test_each_fault_is_found(said: dict[str, Any], code: str) -> None:
    assert codes(preset_of(build_options={"ffmpeg_version": "4.2"}), answer(**said)) == [code]


def test_versions_of_media_may_be_short() -> None:
    preset = preset_of(build_options={"ffmpeg_version": "4.2", "opencv_version": "4.9.0"})
    sources = [locked("sources/opencv-1.tar", FileKind.SOURCE, "opencv")]
    said = answer(commands=[{"code": 0, "output": "ffmpeg version n4.2.9-1 Copyright"}])
    assert codes(preset, {**said, "imports": {"cv2": {"code": 0, "output": "4.9.0\n"}}}, files=sources) == []
    other = {**said, "imports": {"cv2": {"code": 0, "output": "4.10.0\n"}}}
    assert codes(preset, other, files=sources) == ["smoke-opencv"]


def test_torch_without_code_for_the_gpu() -> None:
    flags = {"code": 0, "output": json.dumps({"arch": "sm_75 sm_86 compute_90", "cuda": "12.8"})}
    said = answer(torch=flags)
    pascal, ampere, newer = (TargetMachine((GpuModel("a GPU", sm),)) for sm in ("6.1", "8.9", "12.0"))
    assert codes(preset_of(), said, pascal) == ["smoke-gpu"]
    assert codes(preset_of(), said, ampere) == []
    assert codes(preset_of(), said, newer) == []
    assert codes(preset_of(), answer(torch={"code": 0, "output": json.dumps({"arch": "", "cuda": None})}), pascal) == []


def test_a_missing_driver_is_only_a_note() -> None:
    said = answer(imports={"tensorrt": {"code": 1, "output": "ImportError: libnvidia-ml.so.1"}})
    preset = preset_of()
    assert [f.level for f in probe_findings(said, preset, lock_of(preset, "a"))] == [Level.NOTE]


def test_the_probe_tells_what_a_python_has() -> None:
    modules = ["json", "no_such_module", SERVICE_MODULE]
    request = {"imports": ["click", "absent"], "modules": modules, "commands": [["echo", "hi"], ["/no"]]}
    words = [sys.executable, "-I", "-c", PROBE_SCRIPT.read_text(), json.dumps(request)]
    done = subprocess.run(words, capture_output=True, text=True)
    said = json.loads(done.stdout.rpartition(OUTPUT_MARKER)[2])
    assert said["versions"]["click"]
    assert said["imports"]["click"]["code"] == said["imports"]["json"]["code"] == 0
    assert said["imports"]["no_such_module"]["code"] == 1
    assert said["imports"][SERVICE_MODULE]["code"] == 0
    assert [command["code"] for command in said["commands"]] == [0, -1]


def test_only_modules_that_a_distribution_installs_are_imported(tmp_path: Path) -> None:
    info = tmp_path / "thing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1\n")
    (info / "top_level.txt").write_text("thing\nthird_party\nsingle\n_private\n")
    (info / "RECORD").write_text(
        "thing/__init__.py,,\nsingle.py,,\n_private/__init__.py,,\nthing-1.dist-info/METADATA,,\n"
    )
    assert modules_of(PathDistribution(info)) == ["single", "thing"]
