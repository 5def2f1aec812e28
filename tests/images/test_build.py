"""The offline build on real engines: no route, cached marks, what is in the image, cancel, failure."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core import labels
from core.audit import read_audit
from core.errors import Cancelled, ChecksFailed, InputError, XaivaError
from core.images import build, load
from core.images.build_history import LOG_FILE, BuildOutcome, builds_folder, compare_builds, list_builds
from core.images.template import read_template
from core.progress import StageState
from tests.images import support
from tests.images.conftest import DESCRIPTION, NAME, Demo
from tests.support import require, until
from tests.support.streams import certificate

pytestmark = pytest.mark.engine


def test_builds_in_an_engine_without_a_route(demo: Demo) -> None:
    route = Path(f"/proc/{demo.engine.process.pid}/net/route").read_text().splitlines()
    assert len(route) == 1, "the engine's network namespace has a route"
    assert demo.first.outcome is BuildOutcome.DONE
    assert demo.engine.docker("image", "inspect", "--format", "{{.Id}}", f"xaiva/{NAME}:latest").strip()
    stages = ["load", "context", "base", "python", "common", "extra", "service", "runtime", "export", "smoke"]
    assert [stage.name for stage in demo.first.stages] == stages
    assert all(stage.seconds > 0 for stage in demo.first.stages if stage.name in ("load", "smoke"))


def test_reports_stages_with_times_and_logs(demo: Demo) -> None:
    python = demo.progress.stages["python"]
    assert python.state is StageState.DONE
    assert python.done == python.total == 2
    assert 0 < python.started < python.ended
    assert demo.progress.stages["python/2"].parent == "python"
    assert any(stage == "python" and "Setting up python3.11" in line for stage, line in demo.progress.lines)
    assert demo.progress.stages["smoke"].state is StageState.DONE


def test_what_is_installed_and_imported_is_said(demo: Demo) -> None:
    log_text = {stage: [line for at, line in demo.progress.lines if at == stage] for stage, _ in demo.progress.lines}
    for layer, package in (("common", "click-8"), ("extra", "idna-3.10"), ("service", "numpy-")):
        assert any(line.startswith("Processing") and f"/{package}" in line for line in log_text[layer]), log_text[layer]
        assert any(line.startswith("Successfully installed") and package in line for line in log_text[layer])
    assert {"import click", "import idna", "import core.inference.server"} <= set(log_text["smoke"])
    assert "[common] Successfully installed" in (builds_folder(demo.site) / demo.first.id / LOG_FILE).read_text()


def test_a_step_that_says_nothing_is_said_to_be_at_work(demo: Demo) -> None:
    template = demo.site.docker / "Dockerfile.j2"
    shipped = read_template()
    template.write_text(shipped.replace(" AS base\n", " AS base\nRUN sleep 5\n", 1))
    try:
        _, recorder = demo.build(target="base")
    finally:
        template.unlink()
    lines = [line for stage, line in recorder.lines if stage == "base"]
    assert any("still running for" in line and line.endswith("RUN sleep 5") for line in lines)


def test_the_record_tells_all(demo: Demo) -> None:
    record = demo.first
    assert record.preset_sha256 == demo.lock.preset_sha256
    assert record.image_id == demo.engine.docker("image", "inspect", "--format", "{{.Id}}", record.image_id).strip()
    assert record.config_digest == record.image_id, "the classic image store names an image by its config"
    folder = builds_folder(demo.site) / record.id
    assert "[python] Setting up python3.11" in (folder / LOG_FILE).read_text()
    assert json.loads((folder / "sbom.json").read_text())["bomFormat"] == "CycloneDX"


def test_a_build_is_in_the_audit_log(demo: Demo) -> None:
    (entry,) = [entry for entry in read_audit(demo.site, 100) if entry.details.get("build") == demo.first.id]
    assert (entry.action, entry.subject) == ("build", NAME)
    assert entry.details["outcome"] == "done"
    assert entry.details["image"] == demo.first.image_id


def test_the_image_is_labelled_and_carries_its_bill_of_materials(demo: Demo) -> None:
    found = json.loads(demo.engine.docker("image", "inspect", f"xaiva/{NAME}:latest"))[0]["Config"]
    assert found["Labels"][labels.PRESET] == NAME
    assert found["Labels"][labels.PRESET_SHA256] == demo.lock.preset_sha256
    assert found["Labels"][labels.TARGET] == "runtime"
    assert found["Labels"]["org.opencontainers.image.title"] == NAME
    assert found["Labels"]["org.opencontainers.image.description"] == DESCRIPTION
    assert {"PIP_NO_INDEX=1", "HF_HUB_OFFLINE=1", "ORT_DISABLE_TELEMETRY=1"} <= set(found["Env"])
    parts = json.loads(demo.shell("cat /usr/share/xaiva/sbom.json"))["components"]
    wheel = next(part for part in parts if part["name"] == "click")
    locked = next(file for file in demo.lock.files if file.name == "click")
    assert wheel["hashes"] == [{"alg": "SHA-256", "content": locked.sha256}]


def test_the_runtime_has_no_compilers_and_no_wheels(demo: Demo) -> None:
    assert demo.shell("find / -xdev -name '*.whl' -o -xdev -name '*.deb'").strip() == ""
    assert demo.shell("for c in gcc cc g++ make cmake ld; do command -v $c; done; true").strip() == ""
    assert demo.shell("du -s ~/.cache 2>/dev/null | cut -f1; ls /var/lib/apt/lists").strip() == ""
    assert demo.shell("id -un 1000").strip() == "xaiva"


def test_an_unchanged_preset_comes_from_the_cache(demo: Demo) -> None:
    record, _ = demo.build()
    worked = [stage.name for stage in record.stages if not stage.cached]
    assert set(worked) <= {"base", "context", "export", "smoke"}


def test_changing_a_layer_rebuilds_it_and_what_stands_on_it(demo: Demo) -> None:
    before, _ = demo.build()
    try:
        demo.artifacts.add_layer("extra", support.wheels("idna==3.9"))
        demo.artifacts.write()
        after, recorder = demo.build()
        cached = {stage.name: stage.cached for stage in after.stages}
        assert cached["python"]
        assert cached["common"]
        assert not cached["extra"]
        assert not cached["service"]
        assert recorder.stages["common"].state is StageState.CACHED
        difference = compare_builds(demo.site, before, after)
        assert any(reason.startswith("extra came from the cache") for reason in difference.reasons)
        assert any("idna-3.9" in change for change in difference.lock_changes)
        assert "3.9" in demo.shell("/opt/xaiva/bin/python -c 'import idna; print(idna.__version__)'")
    finally:
        demo.artifacts.add_layer("extra", support.wheels("idna==3.10"))
        demo.lock = demo.artifacts.write()


def test_a_layer_can_be_the_target(demo: Demo) -> None:
    record, _ = demo.build(target="common")
    assert record.tag == f"xaiva/{NAME}:common"
    assert "service" not in {stage.name for stage in record.stages}
    with pytest.raises(InputError, match="no such stage"):
        demo.build(target="nonsense")


def test_a_sites_own_core_module_cannot_shadow_ours(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    for hostile in ("core.py", "core/__init__.py", "sitecustomize.py"):
        (tmp_path / hostile).write_text("print('HOSTILE', flush=True)\nraise SystemExit(99)\n")
    around = ["-v", f"{tmp_path}:/data", "-e", "PYTHONPATH=/data", "-w", "/data"]
    told = demo.shell("/opt/xaiva/bin/xaiva-inference --help 2>&1", *around)
    assert "HOSTILE" not in told
    assert "serve" in told
    direct = demo.shell("/opt/xaiva/bin/python -c 'import core' 2>&1 || true", *around)
    assert "HOSTILE" in direct, "the trap does not work"


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_the_default_command_answers_its_health_check(demo: Demo, tmp_path: Path, tls: bool) -> None:
    """As nobody special, on a root file system that is read-only: all it writes is in /data."""
    words = ["run", "--detach", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--volume", f"{tmp_path}:/data"]
    words += ["--health-interval", "0.5s"]
    if tls:
        require(shutil.which("openssl"), "openssl")
        for path, variable in zip(certificate(tmp_path), ("CERTIFICATE", "KEY"), strict=True):
            words += ["--env", f"XAIVA_TLS_{variable}=/data/{path.name}"]
    for path in (tmp_path, *tmp_path.iterdir()):
        os.chown(path, 1000, 1000)
    identity = demo.engine.docker(*words, f"xaiva/{NAME}:latest").strip()
    try:
        deadline = time.monotonic() + 60
        while (health := _state(demo, identity)["Health"])["Status"] != "healthy":
            assert time.monotonic() < deadline, demo.engine.docker("logs", identity)
            time.sleep(0.2)
        assert health["Log"][-1]["Output"] == "healthy: 0 of 0 cameras live\n"
        plainly = ["exec", "--env", "XAIVA_TLS_CERTIFICATE=", identity, "/opt/xaiva/bin/xaiva-inference", "health"]
        assert demo.engine.docker(*plainly, check=False).startswith("healthy: ") is not tls
        assert demo.engine.docker("exec", identity, "id", "-u").strip() == "1000"
        refused = demo.engine.docker("exec", identity, "sh", "-c", "touch /opt/xaiva/x 2>&1 || true")
        assert "Read-only file system" in refused
        assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {1000}
        assert (tmp_path / "xaiva.db").is_file()
    finally:
        demo.engine.docker("rm", "--force", identity)


def _state(demo: Demo, identity: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(demo.engine.docker("inspect", identity))[0]["State"]
    return found


def test_cancel_leaves_the_engine_clean(demo: Demo, tmp_path: Path) -> None:
    template = demo.site.docker / "Dockerfile.j2"
    shipped = (Path(build.__file__).parents[2] / "docker/Dockerfile.j2").read_text()
    seconds = f"{os.getpid() + 1000}.5"  # no other run on this machine sleeps so long
    template.write_text(shipped.replace("WORKDIR /data", f"RUN echo now-waiting && sleep {seconds}\nWORKDIR /data"))
    try:
        recorder = support.Recorder(cancel_when="now-waiting")
        with pytest.raises(Cancelled):
            build.run(demo.site, NAME, {}, recorder)
        assert list_builds(demo.site)[0].outcome is BuildOutcome.CANCELLED
        assert recorder.stages["runtime"].state is StageState.CANCELLED
        deadline = time.monotonic() + 15
        while _runs("cmdline", f"sleep\0{seconds}\0"):
            assert time.monotonic() < deadline, "the step still runs in the engine"
            time.sleep(0.1)
    finally:
        template.unlink()
    record, _ = demo.build()
    assert record.outcome is BuildOutcome.DONE


def _runs(file: str, text: str) -> bool:
    """Whether that file of a process of this machine, in a container or not, holds the text."""
    for path in Path("/proc").glob(f"[0-9]*/{file}"):
        with suppress(OSError):
            if text in path.read_bytes().decode(errors="replace"):
                return True
    return False


def test_a_failing_step_is_named_with_its_last_words(demo: Demo) -> None:
    template = demo.site.docker / "Dockerfile.j2"
    shipped = (Path(build.__file__).parents[2] / "docker/Dockerfile.j2").read_text()
    template.write_text(shipped.replace("WORKDIR /data", "RUN echo '{ last words' && exit 7\nWORKDIR /data"))
    try:
        with pytest.raises(XaivaError, match=r"stage runtime.*exit code: 7"):
            demo.build()
    finally:
        template.unlink()
    record = list_builds(demo.site)[0]
    assert record.outcome is BuildOutcome.FAILED
    assert "{ last words" in record.last_lines
    assert next(stage for stage in record.stages if stage.name == "runtime").state == "failed"


def test_a_dockerfile_that_would_reach_out_is_refused(demo: Demo) -> None:
    template = demo.site.docker / "Dockerfile.j2"
    template.write_text("FROM debian:sid-of-tomorrow AS base\n")
    try:
        with pytest.raises(ChecksFailed, match="does not have that image"):
            demo.build()
    finally:
        template.unlink()


def test_a_corrupt_wheel_never_enters_an_image(demo: Demo) -> None:
    wheel = demo.artifacts.folder / demo.artifacts.layers[0].wheels[0]
    good = wheel.read_bytes()
    wheel.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        with pytest.raises(XaivaError, match="stage common"):
            demo.build()
        assert any("HASHES" in line for line in list_builds(demo.site)[0].last_lines)
        wheel.unlink()
        with pytest.raises(XaivaError, match=r"wheels/click.*missing"):
            demo.build()
    finally:
        wheel.write_bytes(good)


def test_the_smoke_test_fails_the_build_and_the_old_image_stays(demo: Demo, tmp_path: Path) -> None:
    before = demo.engine.docker("image", "inspect", "--format", "{{.Id}}", f"xaiva/{NAME}:latest")
    broken = support.make_wheel(tmp_path, "idna", "3.10", {"idna/__init__.py": "import nowhere\n"})
    try:
        demo.artifacts.add_layer("extra", [broken])
        demo.artifacts.write()
        with pytest.raises(ChecksFailed, match="import idna fails"):
            demo.build()
        record = list_builds(demo.site)[0]
        assert {finding.code for finding in record.findings} == {"smoke-import"}
        assert demo.engine.docker("image", "inspect", "--format", "{{.Id}}", f"xaiva/{NAME}:latest") == before
    finally:
        demo.artifacts.add_layer("extra", support.wheels("idna==3.10"))
        demo.lock = demo.artifacts.write()


def test_cancelling_the_smoke_test_leaves_neither_container_nor_candidate(demo: Demo, tmp_path: Path) -> None:
    name = f"slow-{os.getpid()}"  # of the process that imports; no other run on this machine has it

    class Impatient(support.Recorder):
        """Asks to stop once the container imports."""

        def cancelled(self) -> bool:
            return _runs("comm", name)

    module = f"import time\nopen('/proc/self/comm', 'w').write('{name}')\ntime.sleep(1234.5)\n"
    slow = support.make_wheel(tmp_path, "idna", "3.10", {"idna/__init__.py": module})
    try:
        demo.artifacts.add_layer("extra", [slow])
        demo.artifacts.write()
        with pytest.raises(Cancelled):
            build.run(demo.site, NAME, {"target": "extra"}, Impatient())
        record = list_builds(demo.site)[0]
        assert record.outcome is BuildOutcome.CANCELLED
        assert (record.stages[-1].name, record.stages[-1].state) == ("smoke", "cancelled")
        until(lambda: demo.engine.docker("ps", "--all", "--quiet"), lambda left: left == "")  # a busy engine takes time
        assert demo.engine.docker("images", "--quiet", f"xaiva/{NAME}:candidate") == ""
    finally:
        demo.artifacts.add_layer("extra", support.wheels("idna==3.10"))
        demo.lock = demo.artifacts.write()


def test_load_brings_the_base_image_and_archives(demo: Demo, tmp_path: Path) -> None:
    tag = demo.lock.base_image.tag
    demo.engine.docker("rmi", "--force", tag)
    recorder = support.Recorder()
    assert load.run(demo.site, NAME, {}, recorder) == {"loaded": [tag]}
    assert recorder.stages["load"].state is StageState.DONE
    archive = tmp_path / "image.tar"
    demo.engine.docker("save", "--output", str(archive), f"xaiva/{NAME}:latest")
    demo.engine.docker("rmi", "--force", f"xaiva/{NAME}:latest")
    assert load.run(demo.site, NAME, {"file": str(archive)}, recorder) == {"loaded": [f"xaiva/{NAME}:latest"]}
    with tarfile.open(archive, "w") as tar:  # whole, and no image: the engine says so
        tar.add(__file__, "manifest.json")
    with pytest.raises(XaivaError):
        load.run(demo.site, NAME, {"file": str(archive)}, recorder)
    assert recorder.stages["load"].state is StageState.FAILED
