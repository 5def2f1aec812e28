"""Small parts: wheel choice, service wheel, lock differences, cancelled children, generated files."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import Pylock

from core.artifacts import base_image, lock_diff, service_wheel
from core.artifacts.generated_files import pylock_text
from core.artifacts.lock import expanded_layers
from core.artifacts.lock_store import lock_text, read_lock, write_lock
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer
from core.artifacts.os_releases import guess_os_release, wheel_platform
from core.artifacts.wheel_choice import best_wheel, tag_ranks
from core.errors import Cancelled, InputError
from core.presets.compat.facts import load_facts
from core.presets.compat.service_layer import engine_choices
from core.presets.model import Preset
from core.site import Site
from core.subprocesses import run_child
from core.toml import tomllib
from tests.support.artifacts import RecordingProgress

IMAGE = LockedImage(reference="debian:12", tag="xaiva-base/debian:0", config_digest="sha256:0")


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["n-1-py3-none-any.whl", "n-1-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"], 1),
        (["n-1-cp310-cp310-manylinux_2_28_x86_64.whl", "n-1-cp310-cp310-manylinux_2_39_x86_64.whl"], 0),
        (["n-1-cp311-cp311-manylinux_2_28_x86_64.whl", "n-1-cp39-abi3-manylinux_2_28_x86_64.whl"], 1),
        (["n-1-cp310-cp310-win_amd64.whl", "n-1.tar.gz"], None),
        (["n-1-cp310-cp310-linux_x86_64.whl"], 0),
    ],
)
def test_the_wheel_that_fits_best(names: list[str], best: int | None) -> None:
    assert best_wheel(names, tag_ranks("3.10", "x86_64-manylinux_2_35")) == best


def test_the_platform_follows_from_the_distribution() -> None:
    assert guess_os_release("nvidia/cuda:11.8.0-cudnn8-devel-ubuntu22.04") == "ubuntu 22.04"
    assert wheel_platform("ubuntu 22.04") == "x86_64-manylinux_2_35"
    assert guess_os_release("registry.lan/own:1") == ""
    assert wheel_platform("") == "x86_64-manylinux_2_28"


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("nvidia/cuda:11.8.0-devel", "nvidia/cuda"),
        ("debian:bookworm-slim", "debian"),
        ("registry.lan:5000/team/base:1", "team/base"),
        ("debian@sha256:" + "0" * 64, "debian"),
    ],
)
def test_the_repository_of_a_reference(reference: str, repository: str) -> None:
    assert base_image.image_repository(reference) == repository


def test_the_service_wheel_is_the_same_every_time_and_holds_what_an_image_runs() -> None:
    content = service_wheel.build()
    assert content == service_wheel.build()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    weights = {name.rpartition("/")[2] for name in names if name.startswith("core/inference/models/weights/")}
    assert {"features_lite0.onnx", "things_nanodet.onnx", "NOTICE.md", "LICENSE.Apache-2.0.txt"} <= weights
    assert not [name for name in names if "__pycache__" in name]


def test_the_service_runs_from_its_wheel_which_holds_nothing_of_the_console(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(service_wheel.build())) as archive:
        archive.extractall(tmp_path)
    root = Path(service_wheel.__file__).parents[2]
    code = f"""
import importlib, pathlib, pkgutil, re, sys
sys.path[:] = [{os.fspath(tmp_path)!r}, *(path for path in sys.path if path != {os.fspath(root)!r})]
import core
modules = [module.name for module in pkgutil.walk_packages(core.__path__, "core.")]
for name in modules:
    if not name.endswith((".migrations.env", ".__main__")):
        importlib.import_module(name)
for path in pathlib.Path({os.fspath(tmp_path)!r}, "core").rglob("*.py"):  # what is run by its path
    for script in re.findall(r'with_name\\("(\\w+\\.py)"\\)', path.read_text()):
        assert path.with_name(script).is_file(), script
print(*sorted({{name.split(".")[1] for name in modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    console = {"artifacts", "cli", "containers", "doctor", "engine", "images", "presets", "service_client", "site"}
    assert not console & set(done.stdout.split())
    assert "inference" in done.stdout.split()


CPU: list[list[str]] = [["onnxruntime>=1.20"], []]
GPU = "onnxruntime-gpu[cuda,cudnn]>=1.22,<1.27"


@pytest.mark.parametrize(
    ("base", "layers", "choices"),
    [
        ("debian:bookworm-slim", [], CPU),
        ("nvidia/cuda:12.6.3-base-ubuntu22.04", [], [[GPU, "nvidia-cudnn-cu12<9.11"], [GPU], *CPU]),
        ("nvidia/cuda:12.6.3-cudnn-runtime-ubuntu22.04", [], [["onnxruntime-gpu>=1.22,<1.27"], *CPU]),
        ("nvidia/cuda:13.0.2-devel-ubuntu24.04", [], [["onnxruntime-gpu[cudnn]>=1.27"], *CPU]),
        ("nvidia/cuda:11.8.0-cudnn8-devel-ubuntu22.04", [], [["onnxruntime-gpu>=1.16,<1.19", "numpy<2"], *CPU]),
        ("nvidia/cuda:12.6.3-base-ubuntu22.04", [("own", ["numpy", "ONNXRuntime_GPU==1.22.0"])], [[]]),
    ],
)
def test_which_onnx_runtime_is_chosen(base: str, layers: list[tuple[str, list[str]]], choices: list[list[str]]) -> None:
    preset = Preset.model_validate({"base_image": base, "python_version": "3.11"})
    assert engine_choices(preset, layers, load_facts()) == choices
    without = preset.model_copy(update={"inference_service": False})
    assert engine_choices(without, layers, load_facts()) == [[]]


def test_a_bare_checkout_gives_the_same_wheel_as_an_installation(tmp_path: Path) -> None:
    """`./xaiva` runs from the folder with no installed metadata; an installed copy has no pyproject.toml."""
    ask = "from core.artifacts import service_wheel as o; print(o.version(), o.service_requirements())"
    root = Path(service_wheel.__file__).parents[2]
    installed = tmp_path / "installed"
    shutil.copytree(root / "core", installed / "core", ignore=shutil.ignore_patterns("__pycache__"))
    info = installed / f"xaiva_console-{service_wheel.version()}.dist-info"
    info.mkdir()
    lines = [f"Requires-Dist: {text}; extra == 'inference'" for text in reversed(service_wheel.service_requirements())]
    head = f"Metadata-Version: 2.1\nName: xaiva-console\nVersion: {service_wheel.version()}\nRequires-Dist: click"
    (info / "METADATA").write_text("\n".join([head, *lines]) + "\n")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    answers = []
    for folder in (root, installed):
        code = f"import sys; sys.path[:] = [p for p in sys.path if p != {str(root)!r}]; "
        code += f"sys.path.insert(0, {str(folder)!r}); {ask}"
        process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        answers.append(process.stdout)
    assert answers[0] == answers[1]
    assert "uvicorn" in answers[0]


def lock_with(*files: LockedFile, **more: object) -> Lock:
    wheels = [file.path for file in files if file.kind is FileKind.WHEEL]
    layer = LockedLayer(name="common", requirements="layers/common/requirements.txt", wheels=wheels)
    base = {"preset": "p", "preset_sha256": "0", "python_version": "3.11", "base_image": IMAGE, "layers": [layer]}
    return Lock.model_validate({**base, "files": list(files), **more})


def wheel(name: str, version: str, sha256: str = "a") -> LockedFile:
    path = f"layers/common/wheels/{name}-{version}-py3-none-any.whl"
    of = {"kind": FileKind.WHEEL, "url": "https://h/x", "name": name, "version": version}
    return LockedFile(path=path, size=1, sha256=sha256, **of)


def test_the_difference_of_two_locks_reads_well() -> None:
    old = lock_with(wheel("a", "1.0"), wheel("b", "1.0"), wheel("d", "1.0", "x"))
    new = lock_with(wheel("a", "2.0", "b"), wheel("c", "1.0"), wheel("d", "1.0", "y"))
    difference = ["~ wheel a 1.0 → 2.0", "- wheel b 1.0", "+ wheel c 1.0", "~ wheel d 1.0 (x) → 1.0 (y)"]
    assert lock_diff.diff_locks(old, new) == difference
    assert lock_diff.diff_locks(old, old) == []


def test_a_lock_is_written_once_and_read_back(site: Site) -> None:
    lock = lock_with(wheel("a", "1.0"))
    assert write_lock(site, "p", lock) is True
    assert write_lock(site, "p", lock) is False
    assert read_lock(site, "p") == lock
    assert '"version": 1' in lock_text(lock)


@pytest.mark.parametrize(
    ("before", "after", "error_text"),
    [('"preset":', '"new_key": 1, "preset":', "new_key"), ('"version": 1', '"version": 2', "version")],
)
def test_a_broken_or_newer_lock_is_not_half_understood(site: Site, before: str, after: str, error_text: str) -> None:
    write_lock(site, "p", lock_with())
    path = site.artifacts / "p/lock.json"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(InputError, match=rf"lock\.json: {error_text}"):
        read_lock(site, "p")


@pytest.mark.parametrize("leader", ["trap '' TERM", "true"])  # who stays, and who goes without its children
def test_a_stubborn_child_is_gone_within_a_second(tmp_path: Path, leader: str) -> None:
    progress = RecordingProgress()
    mark = tmp_path / "started"
    script = f"(trap '' TERM; exec sleep 600) & {leader}; sleep 0.1; echo $! > '{mark}'; wait; sleep 600"
    progress.cancelled = lambda: mark.exists() and mark.read_text() != ""  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        run_child(["sh", "-c", script], progress)
    grandchild = Path(f"/proc/{mark.read_text().strip()}")
    deadline = time.monotonic() + 5
    while grandchild.exists() and "Z" not in (grandchild / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lock_follows_the_tables_of_the_site(site: Site) -> None:
    fields = {"base_image": "debian:bookworm-slim", "python_version": "3.11", "inference_service": False}
    pytorch = {"version": "9.0.0", "components": ["torch", "torchvision"]}
    preset = Preset.model_validate({**fields, "pytorch": pytorch})
    assert expanded_layers(site, preset).layers == [("pytorch", ["torch==9.0.0", "torchvision"])]
    row = {"key": "9.0", "tags": ["cu126"], "experimental_tags": [], "default_tag": "cu126", "cudnn": {"cu126": "9"}}
    row |= {"python": ["3.11"], "experimental_python": [], "source": "seen at work", "verified_on": "2026-01-31"}
    row["versions"] = [{"torch": "9.0.0", "torchvision": "0.99.0", "torchaudio": "9.0.0"}]
    overlay = site.docker / "compat"
    overlay.mkdir(parents=True)
    (overlay / "torch.json").write_text(json.dumps({"rows": [row]}))
    assert expanded_layers(site, preset).layers == [("pytorch", ["torch==9.0.0", "torchvision==0.99.0"])]


def pylock_of(*wheels: LockedFile) -> dict[str, Any]:
    return tomllib.loads(pylock_text(lock_with(*wheels)))


@pytest.mark.parametrize("version", ['1.0"', "1\\0", "1\n0", "1\t\x00\x1f\x7f0", "1.0é"], ids=range(5))
def test_any_text_of_a_lock_is_good_toml(version: str) -> None:
    (package,) = pylock_of(wheel("a", version))["packages"]
    assert package["version"] == version
    assert version in package["wheels"][0]["path"]


def test_the_wheels_of_a_lock_are_a_standard_lock_file() -> None:
    local = wheel("b", "2.0").model_copy(update={"url": "file:local-wheels/b.whl"})
    document = pylock_of(local, wheel("a", "1.0"))
    entries = {
        name: {"name": path.rpartition("/")[2], "path": path, "size": 1, "hashes": {"sha256": "a"}}
        for name, path in (("a", wheel("a", "1.0").path), ("b", local.path))
    }
    Pylock.from_dict(document).validate()
    assert document == {
        "lock-version": "1.0",
        "created-by": "xaiva",
        "requires-python": "==3.11.*",
        "environments": ["sys_platform == 'linux' and platform_machine == 'x86_64'"],
        "packages": [
            {"name": "a", "version": "1.0", "wheels": [{"url": "https://h/x", **entries["a"]}]},
            {"name": "b", "version": "2.0", "wheels": [entries["b"]]},
        ],
    }
