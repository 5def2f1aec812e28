"""Lock, sync and carry of small presets with the machine's own index and a real engine."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from urllib.parse import quote

import pytest

from core import labels
from core.artifacts import build_wheel, lock_store, service_wheel, sync, verify
from core.artifacts.lockfile import FileKind
from core.artifacts.resolve import ResolveRequest, resolve
from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX, sha256_file
from core.presets.compat.service_layer import engines
from core.presets.model import Preset
from core.progress import NullProgress
from core.site import Site
from tests.support import require
from tests.support.artifacts import RecordingProgress, random_file, wheel_file
from tests.support.disks import small_disk
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.index import serve
from tests.support.small_preset import NAME, PRESET, lock_bytes, run_lock, without_engine, write_preset


@pytest.fixture(autouse=True, scope="module")
def reachable_index() -> None:
    """A package index must answer, by the machine's own settings."""
    request = ResolveRequest("probe", [("common", ["idna"])], [], [], "3.11", "x86_64-manylinux_2_28")
    try:
        resolve(request, os.environ, {}, NullProgress())
    except XaivaError as error:
        require(False, f"a reachable package index: {error}")


@pytest.mark.index
@pytest.mark.engine
def test_the_whole_of_a_small_preset(engine_site: Site, engine: TestEngine) -> None:
    write_preset(engine_site, debs=["hello"])
    outcome = run_lock(engine_site)
    assert outcome["state"] == "complete"
    locked = lock_store.read_lock(engine_site, NAME)
    layers = {layer.name: {locked.by_path()[path].name for path in layer.wheels} for layer in locked.layers}
    assert layers["common"] == {"requests", "idna", "certifi", "charset-normalizer", "urllib3"}
    assert {"httpx", "numpy", "httpcore"} <= layers["extra"]
    assert not layers["common"] & layers["extra"]
    assert next(file.version for file in locked.files if file.name == "numpy") == "1.26.4"
    names = {file.name for file in locked.of_kind(FileKind.DEB)}
    assert {"hello", "python3.11", "python3.11-venv"} <= names
    assert "libc6" not in names  # the base image has it
    assert (locked.python_from, locked.platform) == ("debs", "x86_64-manylinux_2_36")
    sync.run(engine_site, NAME, {}, RecordingProgress())
    assert verify.verify(engine_site, NAME) == []
    install_in_container(engine, engine_site)
    first = lock_bytes(engine_site)
    assert run_lock(without_engine(engine_site))["changed"] is False
    assert lock_bytes(engine_site) == first
    shutil.rmtree(lock_store.artifacts_folder(engine_site, NAME) / "images")
    sync.run(engine_site, NAME, {}, RecordingProgress())  # the engine still has the image: its blobs come out the same
    assert verify.verify(engine_site, NAME) == []


def install_in_container(engine: TestEngine, site: Site) -> None:
    """The locked files install without a network: with apt from `Packages`, and with pip and hashes."""
    folder = lock_store.artifacts_folder(site, NAME)
    base = lock_store.read_lock(site, NAME).base_image
    layout = subprocess.run(["tar", "-C", folder / base.folder, "-c", "."], capture_output=True, check=True).stdout
    engine.docker("load", input=layout)
    script = (
        "set -e; rm -rf /etc/apt/sources.list*; echo 'deb [trusted=yes] file:/a/debs ./' > /etc/apt/sources.list; "
        "apt-get update -q; apt-get install -y -q --no-install-recommends hello python3.11 python3.11-venv; hello; "
        "python3.11 -m venv /v; for l in common extra; do /v/bin/pip install -q --no-index --no-deps --require-hashes "
        "--find-links /a/layers/$l/wheels -r /a/layers/$l/requirements.txt; done; "
        "/v/bin/pip check; /v/bin/python -c 'import httpx, numpy, requests; print(numpy.__version__)'"
    )
    output = engine.docker("run", "--rm", "--network=none", "-v", f"{folder}:/a:ro", base.tag, "sh", "-c", script)
    assert "Hello, world!" in output
    assert output.strip().endswith("1.26.4")


@pytest.mark.engine
def test_a_ready_made_image_is_locked_as_it_is(engine_site: Site) -> None:
    content = {"base_image": BASE_IMAGE, "inference_service": False}
    (engine_site.presets / f"{NAME}.json").write_text(json.dumps(content))
    assert run_lock(engine_site)["state"] == "complete"
    locked = lock_store.read_lock(engine_site, NAME)
    assert {file.kind for file in locked.files} == {FileKind.IMAGE}
    sync.run(engine_site, NAME, {}, RecordingProgress())
    assert verify.verify(engine_site, NAME) == []


@pytest.mark.index
@pytest.mark.engine
def test_one_changed_layer_changes_nothing_else(engine_site: Site) -> None:
    write_preset(engine_site)
    run_lock(engine_site)
    before = lock_store.read_lock(engine_site, NAME)
    changed = [PRESET["layers"][0], {"name": "extra", "requirements": ["httpx", "numpy", "attrs"]}]  # type: ignore[index]
    write_preset(engine_site, layers=changed)
    outcome = run_lock(without_engine(engine_site))
    assert [line.split()[:3] for line in outcome["diff"]] == [["+", "wheel", "attrs"]]  # type: ignore[attr-defined]
    after = lock_store.read_lock(engine_site, NAME)
    assert after.debs == before.debs
    assert after.layers[0] == before.layers[0]


@pytest.mark.index
def test_what_cannot_be_reached_is_named_and_the_rest_is_locked(site: Site) -> None:
    pytorch = {"version": "2.1.0+cu118", "components": ["torch"]}
    index = {"name": "private", "url": "http://127.0.0.1:9/simple", "packages": ["ours-*"]}
    index["token_variable"] = "OUR_TOKEN"
    write_preset(
        site,
        pytorch=pytorch,
        indexes=[{"name": "pytorch", "url": "http://127.0.0.1:9/whl/cu118"}, {"name": "private", **index}],
        layers=[{"name": "common", "requirements": ["idna", "docopt==0.6.2", "ours-tool"]}],
        pins=[],
        build_options={"xaiva_media_branch": "master"},
    )
    env = {**without_engine(site).env, "XAIVA_SOURCE_PATH": "", "UV_HTTP_RETRIES": "0"}
    outcome = run_lock(Site(site.root, site.settings, env))
    assert outcome["state"] == "partial"
    locked = lock_store.read_lock(site, NAME)
    unlocked = {part.what: part for part in locked.unlocked}
    assert f"base image {BASE_IMAGE}" in unlocked
    assert "source xaiva-media" in unlocked
    torch = unlocked["torch==2.1.0+cu118 (layer pytorch)"]
    assert torch.why.startswith("index pytorch (http://127.0.0.1:9/whl/cu118) cannot be used: ")
    assert "OUR_TOKEN is not set" in unlocked["ours-tool (layer common)"].why
    sdist = next(part for part in locked.unlocked if part.what.startswith("docopt"))
    assert "layer common" in sdist.what
    assert f"xaiva wheel {NAME} docopt" in sdist.remedy
    assert {file.name for file in locked.of_kind(FileKind.WHEEL)} == {"idna"}
    assert [finding.code for finding in verify.lock_findings(site, NAME, locked)] == ["lock-partial"] * len(unlocked)


@pytest.mark.index
def test_a_conflict_names_layers_and_keeps_the_old_lock(site: Site) -> None:
    site = without_engine(site)
    write_preset(site)
    run_lock(site)
    first = lock_bytes(site)
    layers = [{"name": "one", "requirements": ["urllib3<2"]}, {"name": "two", "requirements": ["urllib3>=2"]}]
    write_preset(site, layers=layers)
    with pytest.raises(XaivaError) as caught:
        run_lock(site)
    assert "layer one, layer two" in caught.value.what
    assert "urllib3<2" in caught.value.why
    fix = "change urllib3<2 in layer one: without its version limits everything resolves, with url"
    assert caught.value.remedy.startswith(fix)
    assert lock_bytes(site) == first


@pytest.mark.index
def test_versions_stay_until_an_upgrade_is_asked_for(site: Site) -> None:
    site = without_engine(site)
    write_preset(site, layers=[{"name": "common", "requirements": ["idna==3.6"]}], pins=[])
    run_lock(site)
    write_preset(site, layers=[{"name": "common", "requirements": ["idna>=3.6", "attrs"]}], pins=[])
    run_lock(site)
    assert [file.version for file in lock_store.read_lock(site, NAME).files if file.name == "idna"] == ["3.6"]
    outcome = run_lock(site, upgrade=True)
    changes = [line for line in outcome["diff"] if "idna" in line]  # type: ignore[attr-defined]
    assert changes[0].startswith("~ wheel idna 3.6 → 3.")


@pytest.mark.index
def test_of_a_package_with_a_wheel_of_some_release_that_release_is_taken(site: Site, tmp_path: Path) -> None:
    """uv names it together with the package that really has no wheel."""
    source_distribution(tmp_path, "stubborndemo", "1.0")
    source_distribution(tmp_path, "mixeddemo", "1.1")
    wheel_file(tmp_path / "mixeddemo-1.0-py3-none-any.whl", "mixeddemo", "1.0", "", "Requires-Dist: stubborndemo\n")
    with serve(tmp_path) as index:
        layers = [{"name": "common", "requirements": ["mixeddemo"]}]
        write_preset(site, layers=layers, pins=[], indexes=[{"name": "private", "url": f"{index.url}/simple"}])
        run_lock(without_engine(site))
    locked = lock_store.read_lock(site, NAME)
    assert [(file.name, file.version) for file in locked.of_kind(FileKind.WHEEL)] == [("mixeddemo", "1.0")]
    assert "stubborndemo (a dependency)" in {part.what for part in locked.unlocked}


@pytest.mark.index
def test_a_wheel_that_was_built_again_is_locked_again(site: Site) -> None:
    write_preset(site, layers=[{"name": "common", "requirements": ["owndemo"]}], pins=[])
    path = lock_store.artifacts_folder(site, NAME) / lock_store.LOCAL_WHEELS / "owndemo-1.0-py3-none-any.whl"
    hashes = []
    for content in ("a = 1", "a = 2"):
        wheel_file(path, "owndemo", "1.0", content)
        run_lock(without_engine(site))
        (file,) = lock_store.read_lock(site, NAME).of_kind(FileKind.WHEEL)
        hashes.append(file.sha256)
    assert hashes[1] == sha256_file(path) != hashes[0]


@pytest.mark.index
def test_an_upgrade_that_would_lose_something_changes_nothing(site: Site, tmp_path: Path) -> None:
    random_file(tmp_path / "tool-1.0.tar.gz", 100)
    with serve(tmp_path) as index:
        source = {"url": index.file_url("tool-1.0.tar.gz"), "sha256": sha256_file(tmp_path / "tool-1.0.tar.gz")}
        write_preset(site, layers=[], pins=[], sources=[{"name": "tool", **source}])
        run_lock(without_engine(site))
    first = lock_bytes(site)
    assert run_lock(without_engine(site))["changed"] is False
    with pytest.raises(XaivaError, match="source tool") as caught:
        run_lock(without_engine(site), upgrade=True)
    assert "the old lock stays" in caught.value.remedy
    assert lock_bytes(site) == first


@pytest.mark.index
@pytest.mark.engine
@pytest.mark.slow
def test_a_wheel_is_built_and_the_next_lock_takes_it(engine_site: Site, engine: TestEngine, tmp_path: Path) -> None:
    """From a private index, whose token is visible neither in the container nor in the log."""
    token = "s3cret/t+ken"
    served = tmp_path / "served"
    served.mkdir()
    source_distribution(served, "privatedemo", "1.0")
    with serve(served) as index:
        index.login = f"reader:{token}"
        named = {"url": f"{index.url}/simple", "token_variable": "DEMO_KEY", "username_variable": "DEMO_USER"}
        layers = [{"name": "common", "requirements": ["privatedemo==1.0"]}]
        indexes = [{"name": "private", **named, "packages": ["privatedemo"]}]
        write_preset(engine_site, layers=layers, pins=[], indexes=indexes)
        env = {**engine_site.env, "DEMO_KEY": token, "DEMO_USER": "reader"}
        site = Site(engine_site.root, engine_site.settings, env)
        assert run_lock(site)["state"] == "partial"
        looker = Looker(engine)
        built = build_wheel.run(site, NAME, {"requirement": "privatedemo"}, looker)
    assert built["wheel"] == "local-wheels/privatedemo-1.0-py3-none-any.whl"
    assert "privatedemo" in looker.text()
    assert labels.HELPER_OWNER in looker.inspected
    for secret in (token, quote(token, safe="")):
        assert secret not in looker.text() + looker.inspected
    assert engine.docker("ps", "-aq", "--filter", f"label={labels.HELPER_OWNER}") == ""
    assert run_lock(site)["state"] == "complete"
    sync.run(site, NAME, {}, RecordingProgress())
    assert verify.verify(site, NAME) == []


class Looker(RecordingProgress):
    """Inspects the container at its first line of output."""

    def __init__(self, engine: TestEngine) -> None:
        super().__init__()
        self.engine = engine
        self.inspected = ""

    def log(self, line: str, stage: str = "") -> None:
        super().log(line, stage)
        if not self.inspected:
            name = self.engine.docker("ps", "-q", "--filter", f"label={labels.HELPER_OWNER}").strip()
            self.inspected = self.engine.docker("inspect", name) if name else ""


def source_distribution(folder: Path, name: str, version: str) -> None:
    """A package without a wheel."""
    project = f'[project]\nname = "{name}"\nversion = "{version}"\n'
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {"pyproject.toml": project, f"{name}.py": "", "PKG-INFO": about}
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))


@pytest.mark.index
def test_the_service_layer_has_the_service_wheel(site: Site) -> None:
    site = without_engine(site)
    write_preset(site, layers=[], pins=[], inference_service=True)
    run_lock(site)
    locked = lock_store.read_lock(site, NAME)
    assert locked.layers[-1].name == "service"
    names = {locked.by_path()[path].name for path in locked.layers[-1].wheels}
    assert {"xaiva-inference", "fastapi", "uvicorn", "av", "pydantic", "onnxruntime"} <= names
    (file,) = [file for file in locked.files if file.name == "xaiva-inference"]
    service_wheel_path = file.under(lock_store.artifacts_folder(site, NAME))
    assert service_wheel_path.read_bytes() == service_wheel.build()
    service_wheel_path.unlink()
    sync.run(site, NAME, {}, RecordingProgress())
    assert service_wheel_path.read_bytes() == service_wheel.build()


@pytest.mark.engine
def test_a_full_disk_is_reported_and_the_old_lock_stays(engine_site: Site) -> None:
    require(os.geteuid() == 0, "root, to mount a small tmpfs")
    write_preset(engine_site, layers=[], pins=[])
    mount = engine_site.artifacts
    size = "size=100m"  # enough for a lock, not for the base image, whose size nobody knows before
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(mount)], check=True)
    try:
        with pytest.raises(OSError, match="No space left"):
            run_lock(engine_site)
        files = [path.name for path in mount.rglob("*") if path.is_file()]
        assert [name for name in files if name == lock_store.LOCK_NAME or name.startswith(TEMPORARY_PREFIX)] == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_disk_without_room_for_a_lock_is_refused_first(site: Site, tmp_path: Path) -> None:
    write_preset(site, layers=[], pins=[])
    site.artifacts.rmdir()
    with small_disk(tmp_path / "disk", "4m") as disk:
        site.artifacts.symlink_to(disk)
        with pytest.raises(XaivaError, match="Not enough space for the lock of small: 17 MB are needed"):
            run_lock(site)


@pytest.mark.parametrize(
    ("asked", "wanted"), [("Num_Py", "Num_Py<2,>=1.26.4"), ("numpy==1.26.0", "numpy==1.26.0"), ("docopt", "docopt")]
)
def test_a_wheel_is_built_of_the_version_that_layers_and_pins_allow(site: Site, asked: str, wanted: str) -> None:
    layers = [{"name": "common", "requirements": ["num-py", "httpx"]}]
    preset = Preset.model_validate({**PRESET, "layers": layers, "pins": ["num-py>=1.26.4,<2"]})
    assert build_wheel._complete_requirement(site, preset, asked) == wanted


@pytest.mark.index
def test_an_onnx_runtime_that_a_dependency_brings_stays_the_only_one(site: Site) -> None:
    """For CUDA: the build for old GPUs conflicts with cuDNN, the other would overwrite magika's ONNX Runtime."""
    layers = [{"name": "common", "requirements": ["magika<0.7", "nvidia-cudnn-cu12>=9.11"]}]
    write_preset(site, base_image="nvidia/cuda:12.6.3-base-ubuntu22.04", layers=layers, pins=[], inference_service=True)
    progress = RecordingProgress()
    run_lock(without_engine(site), progress)
    locked = lock_store.read_lock(site, NAME)
    assert engines(file.name for file in locked.files) == {"onnxruntime"}
    lines = [line for line in progress.lines if "is incompatible with the other layers" in line]
    assert ["<9.11" in line for line in lines] == [True, False]
    assert run_lock(without_engine(site))["changed"] is False
