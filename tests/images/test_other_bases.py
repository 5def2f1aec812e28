"""Python from a standalone build, and a runtime on a smaller base than the one it was built on."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.artifacts.lockfile import FileKind
from core.images import build
from tests.images import support
from tests.images.conftest import new_site
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine

NAME = "standalone"
SMALL = "debian:small"
# A tree in the shape of a standalone build (`python/bin/python3.11`, …), out of the distribution's own files.
STANDALONE = """set -e
apt-get -qq update
apt-get -qq install -y --no-install-recommends python3.11 python3.11-venv >/dev/null
mkdir -p /out/python/bin /out/python/lib
cp /usr/bin/python3.11 /out/python/bin/
cp -a /usr/lib/python3.11 /out/python/lib/
rm -rf /out/python/lib/python3.11/__pycache__ /out/python/lib/python3.11/test
cp -a /usr/share/python-wheels /out/python/lib/python3.11/
printf 'site\n' > /out/python/BUILD
chmod -R a+rX /out
"""


def test_a_standalone_python_on_a_smaller_base(engine: TestEngine, offline_engine: TestEngine, tmp_path: Path) -> None:
    site = new_site(tmp_path / "site", offline_engine)
    container = engine.docker("create", BASE_IMAGE, "true").strip()
    engine.docker("commit", "--change", "LABEL small=1", container, SMALL)
    engine.docker("rm", container)
    preset = support.preset_of(
        runtime_base_image=SMALL,
        layers=[{"name": "common", "requirements": ["click"]}],
        models=[{"name": "face", "file": "x", "sha256": "ab" * 32, "destination": "/models/face/a.onnx"}],
        inference_service=False,
    )
    artifacts = support.Artifacts(site, NAME, preset)
    artifacts.add_debs(support.debs(engine), build=False)
    small = artifacts.add_base(engine, SMALL)
    artifacts.add_base(engine)
    artifacts.add_layer("common", support.wheels("click"))
    tree = tmp_path / "tree"
    tree.mkdir()
    engine.docker("run", "--rm", "--network", "host", "-v", f"{tree}:/out", BASE_IMAGE, "sh", "-c", STANDALONE)
    archive = support.pack(tree / "python", tmp_path / "python-3.11.tar")
    artifacts.add(archive, f"sources/{archive.name}", FileKind.SOURCE, "python")
    (tmp_path / "face.onnx").write_text("a model")
    artifacts.add(tmp_path / "face.onnx", "models/face.onnx", FileKind.MODEL, "face")
    artifacts.write(python_from="source", runtime_base_image=small)
    build.run(site, NAME, {}, support.Recorder())

    def shell(script: str) -> str:
        words = ["run", "--rm", "--network", "none", "--entrypoint", "sh", f"xaiva/{NAME}:latest", "-ec", script]
        return offline_engine.docker(*words)

    python = "import click, sys; print(sys.base_prefix, sys.prefix)"
    assert shell(f"/opt/xaiva/bin/python -I -c '{python}'").split() == ["/opt/python", "/opt/xaiva"]
    assert shell("cat /models/face/a.onnx") == "a model"
    assert shell("find / -xdev -name '*.whl'") == ""
    label = offline_engine.docker("image", "inspect", "--format", "{{.Config.Labels.small}}", f"xaiva/{NAME}:latest")
    assert label.strip() == "1", "the runtime does not stand on the smaller base"
