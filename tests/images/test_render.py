"""The rendered Dockerfile, its companions, and the bill of materials: pure functions of preset and lock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.artifacts.lock_store import LockedPreset
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer
from core.errors import InputError, XaivaError
from core.files import sha256_bytes
from core.images import sbom
from core.images.build_checks import check_models
from core.images.dockerfile_lint import lint_dockerfile, parse_instructions
from core.images.render import render_dockerfile, stage_names, write_build_context
from core.presets.model import Preset
from core.site import Site
from tests.images.support import preset_of
from tests.support import require

BASE = LockedImage(reference="debian:bookworm-slim", tag="xaiva-base/debian:0123456789ab", config_digest="sha256:01")
SMALL = LockedImage(reference="debian:small", tag="xaiva-base/debian:ba9876543210", config_digest="sha256:02")


def locked(path: str, kind: FileKind, name: str, version: str = "1") -> LockedFile:
    """A locked file whose hash is made up."""
    return LockedFile(path=path, size=1, sha256="ab" * 32, kind=kind, url="file:x", name=name, version=version)


def lock_of(preset: Preset, *names: str, **fields: object) -> Lock:
    """A lock with a layer of one wheel each, and these files."""
    files = [locked(f"layers/{name}/wheels/{name}.whl", FileKind.WHEEL, name) for name in names]
    wheels = {name: [f"layers/{name}/wheels/{name}.whl"] for name in names}
    layers = [LockedLayer(name=n, requirements=f"layers/{n}/requirements.txt", wheels=wheels[n]) for n in names]
    extra = fields.pop("files", [])
    assert isinstance(extra, list)
    values = {"preset": "p", "preset_sha256": "cd" * 32, "python_version": preset.python_version, "base_image": BASE}
    return Lock.model_validate({**values, "layers": layers, "files": files + extra, **fields})


FULL = preset_of(
    build_options={
        "ffmpeg_configure": ["--extra-cflags=-O2"],
        "opencv_cmake": ["-DWITH_CUDA=ON"],
        "xaiva_media_cmake": ["-DX=(a)"],
    },
    build_secrets=["MEDIA_KEY"],
    tensorrt={"enabled": True, "version": "8.6.1"},
    models=[{"name": "face", "file": "face.onnx", "sha256": "ab" * 32, "destination": "/models/face/model.onnx"}],
)
SOURCES = [
    locked(f"sources/{name}-1.tar.gz", FileKind.SOURCE, name)
    for name in ("xaiva-media", "opencv", "opencv_contrib", "ffmpeg", "nv-codec-headers", "tensorrt", "notes", "python")
]


def full_lock() -> Lock:
    """Everything that a lock can hold."""
    files = [
        *SOURCES,
        locked("models/face.onnx", FileKind.MODEL, "face"),
        locked("debs/a_1_all.deb", FileKind.DEB, "libstdc++6", "1:12.2-1~deb"),
        locked("build-debs/b_1_all.deb", FileKind.DEB, "b"),
        locked("layers/x/wheels/numpy.whl", FileKind.WHEEL, "numpy"),
    ]
    fields = {"debs": ["debs/a_1_all.deb"], "build_debs": ["build-debs/b_1_all.deb"], "python_from": "source"}
    return lock_of(FULL, "common", "service", files=files, runtime_base_image=SMALL, **fields)


def stages(text: str) -> dict[str, str]:
    """Stage → the stage or image it stands on."""
    froms = [step.text.split() for step in parse_instructions(text) if step.word == "FROM"]
    return {words[2]: words[0] for words in froms}


def test_one_stage_a_layer_in_order() -> None:
    preset = preset_of(inference_service=False)
    text = render_dockerfile("p", preset, lock_of(preset, "common", "stt-whisperx", "extra"))
    names = ["base", "python", "common", "stt-whisperx", "extra", "runtime", "dev"]
    assert stages(text) == dict(zip(names, [BASE.tag, *names], strict=False))


def test_everything_at_once() -> None:
    lock = full_lock()
    text = render_dockerfile("p", FULL, lock)
    assert list(stages(text)) == stage_names(FULL, lock)
    assert stages(text)["runtime"] == SMALL.tag
    assert stages(text)["opencv"] == "ffmpeg"
    assert stages(text)["toolchain"] == "python", "a compiler must not depend on a layer"
    assert "/opt/python/bin/python3.11 -m venv" in text
    assert "--disable-doc --enable-ffnvcodec" in text
    assert "'-DX=(a)'" in text
    assert "--enable-ffnvcodec" in text
    assert "--mount=type=secret,id=MEDIA_KEY" in text
    assert 'COPY --link ["models/face.onnx", "/models/face/model.onnx"]' in text
    assert "/opt/src/notes" in text
    assert "source=layers/x/wheels/numpy.whl" in text
    assert lint_dockerfile(text) == []
    assert "syntax" not in text
    assert not any(step.word in ("ADD", "ARG") for step in parse_instructions(text))


def test_a_list_of_cmake_arrives_as_one_word() -> None:
    preset = preset_of(build_options={"opencv_cmake": ["-DCUDA_ARCH_BIN=8.6;8.9", "-DWITH_CUDA=ON"]})
    text = render_dockerfile("p", preset, lock_of(preset, "common", files=SOURCES))
    assert lint_dockerfile(text) == []
    (step,) = [one.text for one in parse_instructions(text) if "cmake -S . " in one.text and "OPENCV_" in one.text]
    command = step[step.index("cmake -S . ") :].partition(" && ")[0]
    words = ["sh", "-c", command.replace("cmake", "printf '%s\\n'", 1)]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-2:] == ["-DCUDA_ARCH_BIN=8.6;8.9", "-DWITH_CUDA=ON"]


def test_wheels_and_debs_are_mounted_never_copied() -> None:
    text = render_dockerfile("p", FULL, full_lock())
    copies = [step.text for step in parse_instructions(text) if step.word == "COPY"]
    assert not any("wheels" in copy or "debs" in copy for copy in copies)


def test_the_same_lock_gives_the_same_bytes() -> None:
    assert render_dockerfile("p", FULL, full_lock()) == render_dockerfile("p", FULL, full_lock())
    assert sbom.render_sbom(full_lock()) == sbom.render_sbom(full_lock())


def test_the_command_by_hand_stands_at_the_top() -> None:
    text = render_dockerfile("p", FULL, full_lock())
    head = text.partition("\nFROM")[0]
    assert "docker buildx build --builder default --network none --pull=false" in head
    assert "--secret id=MEDIA_KEY" in head
    assert all(line.startswith("#") or not line for line in head.splitlines())


def test_a_layer_may_not_be_named_like_a_stage() -> None:
    preset = preset_of()
    for name in ("runtime", "9lives"):
        with pytest.raises(InputError, match="another name"):
            render_dockerfile("p", preset, lock_of(preset, name))
    assert "AS tensorrt" in render_dockerfile("p", preset, lock_of(preset, "tensorrt"))


def test_a_source_must_be_a_tar() -> None:
    preset = preset_of()
    zipped = [locked("sources/ffmpeg-1.zip", FileKind.SOURCE, "ffmpeg")]
    with pytest.raises(InputError, match="only tar"):
        render_dockerfile("p", preset, lock_of(preset, files=zipped))


def test_a_broken_template_of_the_site_is_named() -> None:
    preset = preset_of()
    with pytest.raises(InputError, match="line 2"):
        render_dockerfile("p", preset, lock_of(preset), "FROM x\n{% if %}\n")
    with pytest.raises(InputError, match="nonsense"):
        render_dockerfile("p", preset, lock_of(preset), "FROM {{ nonsense }}\n")


def test_the_context_is_written_beside_the_artifacts_and_left_alone(site: Site) -> None:
    folder = site.artifacts / "p"
    text = write_build_context(LockedPreset(site, "p", FULL, full_lock()))
    assert (folder / "Dockerfile").read_text() == text
    assert (folder / "debs.sha256").read_text() == f"{'ab' * 32}  a_1_all.deb\n"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_build_context(LockedPreset(site, "p", FULL, full_lock()))
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    (site.docker / "Dockerfile.j2").write_text("FROM {{ lock.base_image.tag }} AS runtime\n")
    (folder / "Dockerfile").write_bytes(b"\xff")
    assert write_build_context(LockedPreset(site, "p", FULL, full_lock())) == f"FROM {BASE.tag} AS runtime\n"
    assert (folder / "Dockerfile").read_text() == f"FROM {BASE.tag} AS runtime\n"
    (site.docker / "Dockerfile.j2").write_bytes(b"FROM \xff")
    with pytest.raises(InputError, match="UTF-8"):
        write_build_context(LockedPreset(site, "p", FULL, full_lock()))


def test_a_model_that_is_not_the_locked_one_is_named(site: Site) -> None:
    folder = site.artifacts / "p"
    (folder / "models").mkdir(parents=True)
    (folder / "models/face.onnx").write_text("x")
    model = locked("models/face.onnx", FileKind.MODEL, "face")
    with pytest.raises(XaivaError, match=r"models/face\.onnx"):
        check_models(LockedPreset(site, "p", FULL, lock_of(FULL, files=[model])))
    good = model.model_copy(update={"sha256": sha256_bytes(b"x")})
    check_models(LockedPreset(site, "p", FULL, lock_of(FULL, files=[good])))


def test_the_bill_of_materials_names_every_file() -> None:
    document = json.loads(sbom.render_sbom(full_lock()))
    assert document["bomFormat"] == "CycloneDX"
    parts = {part["bom-ref"]: part for part in document["components"]}
    assert len(parts) == len(document["components"]) == len(full_lock().files) + 2
    assert parts["layers/common/wheels/common.whl"]["purl"] == "pkg:pypi/common@1"
    assert parts["debs/a_1_all.deb"]["purl"] == "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2-1~deb"
    assert parts["models/face.onnx"]["type"] == "machine-learning-model"
    assert parts[BASE.tag]["type"] == "container"


@pytest.mark.index
def test_an_installed_distribution_brings_the_template(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    target = tmp_path / "installed"
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--prefix", str(target), str(root)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    require(done.returncode == 0, f"a build back end from the index: {done.stderr[-300:]}")
    installed = next(target.rglob("Dockerfile.j2"))
    assert installed.relative_to(target) == Path("share/xaiva/docker/Dockerfile.j2")
    assert installed.read_bytes() == (root / "docker/Dockerfile.j2").read_bytes()
