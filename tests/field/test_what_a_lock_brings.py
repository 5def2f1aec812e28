"""Kind: the check judges one spelling of a requirement, not what will be installed: a lock and what it brought.

`test_what_is_installed.py` has the same for the preset itself.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path

import pytest

from core import doctor
from core.artifacts import lock, lock_store
from core.artifacts.lock_check import check_preset, resolved_of_lock
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer
from core.errors import ChecksFailed
from core.findings import Finding, Level
from core.images.build_checks import check_compatibility
from core.presets.compat import check, named_target
from core.presets.store import load, load_named, preset_sha256
from core.site import Site
from tests.support.artifacts import RecordingProgress
from tests.support.checks import DRIVER, PASCAL, check_fields, locked
from tests.support.index import serve

# What a lock holds beside what the preset names; the finding that must come.
LOCKED: dict[str, tuple[list[str], list[str], str]] = {
    "torch with ultralytics": (
        ["ultralytics"],
        ["ultralytics==8.3.0", "torch==2.8.0"],
        "error gpu-architecture: lock: layer speech, brought by ultralytics",
    ),
    "torch with a stranger": (["ours"], ["ours==1.0", "torch==2.8.0"], "error gpu-architecture: lock: layer speech"),
    "torch of the range": (["torch>=2.5"], ["torch==2.8.0"], "error gpu-architecture: layers: speech"),
    "torch with a tag": (["ours"], ["torch==2.8.0+cu128"], "error gpu-architecture: cu128"),
    "CUDA alone known": (["torch"], ["torch==2.99.0", "nvidia-cuda-runtime==13.0.96"], "error gpu-architecture: cu130"),
    "torch unknown": (["torch"], ["torch==2.99.0"], "warning torch-unknown: 2.99.0"),
    "another torchvision": (["ours"], ["torch==2.7.1", "torchvision==0.21.0"], "error torch-pair: torchvision 0.21.0"),
    "TensorRT": (["ours"], ["tensorrt-cu12-libs==10.9.0.34"], "error tensorrt-gpu: lock: layer speech"),
    "CUDA for Python": (["ours"], ["cuda-bindings==13.0.1"], "warning cuda-gpu: cuda-bindings 13.0.1"),
    "JAX's plugin": (["jax[cuda13]"], ["jax-cuda13-plugin==0.8.0"], "error package-gpu: jax-cuda13-plugin 0.8.0"),
    "two ONNX Runtimes": (
        ["onnxruntime-gpu", "faster-whisper"],
        ["onnxruntime-gpu==1.22.0", "onnxruntime==1.22.0"],
        "error same-import: brought by faster-whisper",
    ),
    "NumPy 2": (["torch==2.2.2"], ["torch==2.2.2", "numpy==2.2.6"], "error numpy-one: numpy 2.2.6"),
    "not all of it": (["ultralytics"], ["ultralytics==8.3.0"], "warning version-unlocked: torch comes with"),
}


@pytest.mark.parametrize(("layers", "packages", "expected"), LOCKED.values(), ids=LOCKED)
def test_after_a_lock_what_was_resolved_counts(layers: list[str], packages: list[str], expected: str) -> None:
    level, code, words = re.split(r":? ", expected, maxsplit=2)
    resolved = locked(*packages, complete=code != "version-unlocked")
    findings = [finding for finding in check_fields(layers, resolved=resolved) if finding.code == code]
    assert [finding.level.value for finding in findings] == [level]
    assert any(words in f"{finding.where} {finding.what} {finding.why}" for finding in findings)


def test_a_complete_lock_leaves_nothing_open() -> None:
    fields = {"layers": ["torch", "opencv-python"], "base_image": "ours.example.org/app:1"}
    before = {finding.code for finding in check_fields(fields)}
    assert {"version-unlocked", "not-locked", "base-unknown"} <= before
    resolved = locked("torch==2.7.1", "opencv-python==4.11.0.86")
    after = {finding.code for finding in check_fields(fields, resolved=resolved)}
    assert not after & {"version-unlocked", "not-locked", "base-unknown", "gpu-architecture"}


def test_without_numpy_in_a_complete_lock_nothing_meets_it() -> None:
    findings = check_fields(["torch==2.2.2"], resolved=locked("torch==2.2.2"))
    assert "numpy-one" not in {finding.code for finding in findings}


def test_a_pin_of_what_is_not_in_the_lock_says_nothing() -> None:
    fields = {"layers": ["six"], "pins": ["torch==2.8.0"]}
    findings = check_fields(fields, resolved=locked("six==1.16.0"))
    assert "gpu-architecture" not in {finding.code for finding in findings}


# -- every door, with a lock on disk ---------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with a preset for a GTX 1050 whose layer brings torch, from a file."""
    (tmp_path / "presets" / "layers").mkdir(parents=True)
    (tmp_path / "presets" / "layers" / "speech.txt").write_text("# ours\nultralytics  # brings torch\n")
    fields = {
        "base_image": "debian:bookworm-slim",
        "python_version": "3.11",
        "layers": [{"name": "speech", "file": "layers/speech.txt"}],
        "inference_service": False,
        "target": {"gpu": PASCAL, "driver": DRIVER},
    }
    (tmp_path / "presets" / "vision.json").write_text(json.dumps(fields))
    return Site.open(tmp_path, environ={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"})


def lock_with(site: Site, *packages: str) -> Lock:
    """Write a lock of these wheels."""
    pairs = [package.split("==") for package in packages]
    paths = {f"layers/speech/wheels/{name}-{version}-py3-none-any.whl": (name, version) for name, version in pairs}
    base = LockedImage(reference="debian:bookworm-slim", tag="x", config_digest="sha256:0", os_release="debian 12")
    same = {"size": 1, "sha256": "0" * 64, "kind": FileKind.WHEEL, "url": "file:x"}
    lock = Lock(
        preset="vision",
        preset_sha256=preset_sha256(load_named(site, "vision"), site.presets),
        python_version="3.11",
        base_image=base,
        layers=[LockedLayer(name="speech", requirements="layers/speech/requirements.txt", wheels=sorted(paths))],
        files=[LockedFile(path=path, name=n, version=v, **same) for path, (n, v) in sorted(paths.items())],
    )
    lock_store.write_lock(site, "vision", lock)
    return lock


def errors(site: Site) -> list[str]:
    findings = check_preset(site, "vision", load_named(site, "vision"))
    return [finding.code for finding in findings if finding.level is Level.ERROR]


def test_the_lock_on_disk_counts_until_the_preset_changes(site: Site) -> None:
    assert errors(site) == []
    lock_with(site, "ultralytics==8.3.0", "torch==2.8.0")
    assert errors(site) == ["gpu-architecture"]
    (site.presets / "layers" / "speech.txt").write_text("ultralytics\ntorch<2.8\n")
    assert errors(site) == []
    assert "not-locked" in {finding.code for finding in check_preset(site, "vision", load_named(site, "vision"))}


def test_a_build_refuses_what_will_not_work_and_takes_what_is_accepted(site: Site) -> None:
    lock = lock_with(site, "ultralytics==8.3.0", "torch==2.8.0")
    preset = load_named(site, "vision")
    with pytest.raises(ChecksFailed, match="GTX 1050") as refused:
        check_compatibility(lock_store.LockedPreset(site, "vision", preset, lock))
    assert "gpu-architecture" in refused.value.remedy
    accepted = preset.model_copy(update={"overrides": ["gpu-architecture"]})
    check_compatibility(lock_store.LockedPreset(site, "vision", accepted, lock))
    anywhere = preset.model_copy(update={"target": None})  # this host is not the site's machine
    check_compatibility(lock_store.LockedPreset(site, "vision", anywhere, lock))


def test_the_doctor_names_presets_that_will_not_work(site: Site) -> None:
    lock_with(site, "ultralytics==8.3.0", "torch==2.8.0")
    assert ["vision" in finding.what for finding in doctor.examine(site) if finding.code == "preset"] == [True]


def test_wheels_are_read_from_a_lock_with_their_layer(site: Site) -> None:
    (package,) = resolved_of_lock(lock_with(site, "torch==2.8.0"), lock_store.artifacts_folder(site, "vision")).packages
    assert (package.name, package.version, package.layer) == ("torch", "2.8.0", "speech")


@pytest.mark.parametrize(
    ("variables", "codes"),
    [
        (["CUDA_VERSION=13.0.2", "NVIDIA_REQUIRE_CUDA=cuda>=13.0 brand=tesla"], {"driver-floor", "require-cuda"}),
        (["CUDA_VERSION=13.0.2"], {"driver-floor"}),
        (["PATH=/bin"], set()),
    ],
    ids=["asks for a driver", "has CUDA", "has none"],
)
def test_the_cuda_of_a_base_image_is_that_of_its_variables(site: Site, variables: list[str], codes: set[str]) -> None:
    """Its name says nothing: before the lock that is a warning, after it the image counts."""
    preset = load_named(site, "vision").model_copy(update={"base_image": "ours.example.org/cuda-app:1"})
    target = named_target(["T4"], "535.183.01")
    before = {finding.code for finding in check(preset, target)}
    assert {"base-unknown", "base-cuda-unknown"} <= before
    lock = lock_with(site, "six==1.16.0")
    image = lock.base_image.model_copy(update={"folder": "images/base", "config_digest": "sha256:00"})
    blobs = lock_store.artifacts_folder(site, "vision") / image.folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    (blobs / "00").write_text(json.dumps({"config": {"Env": variables}}))
    lock = lock.model_copy(update={"base_image": image})
    resolved = resolved_of_lock(lock, lock_store.artifacts_folder(site, "vision"))
    after = {finding.code for finding in check(preset, target, resolved=resolved)}
    assert after & {"driver-floor", "require-cuda", "base-cuda-unknown", "base-unknown"} == codes


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """A wheel of that name with nothing in it."""
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_real_lock_says_what_it_brought(site: Site, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    wheel(served, "ultralytics", "8.3.0", "torch>=1.8")
    wheel(served, "torch", "2.8.0")
    with serve(served) as index:
        online = Site(site.root, site.settings, {**site.env, "UV_DEFAULT_INDEX": f"{index.url}/simple"})
        outcome = lock.run(online, "vision", {}, RecordingProgress())
    findings = [Finding.model_validate(finding) for finding in outcome["findings"]]  # type: ignore[union-attr]
    (error,) = [finding for finding in findings if finding.level is Level.ERROR]
    assert (error.code, error.where) == ("gpu-architecture", "lock: layer speech, brought by ultralytics")


FOLDER = Path(__file__).parents[2] / "presets"
SHIPPED = {path.stem: path for path in sorted(FOLDER.glob("*.json")) if "schema" not in path.name}
KNOWN = {"dubbing-cuda13.0": {"package-conflict"}, "ubuntu22.04-cuda11.8": {"media-source", "tensorrt-origin"}}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_presets_give_no_false_alarm(name: str) -> None:
    """docs/presets.md explains what is known of them; anything else would be wrong."""
    findings = check(load(SHIPPED[name]), site=Site.open(SHIPPED[name].parents[1], environ={}))
    assert {finding.code for finding in findings if finding.level is not Level.NOTE} == KNOWN.get(name, set())
