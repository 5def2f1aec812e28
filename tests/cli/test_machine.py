"""`xaiva gpu`, `host` and `doctor` on this machine, with any hardware."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from core import doctor, labels
from core.artifacts import service_wheel
from core.cli import machine
from core.findings import Level
from core.site import Site
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuState
from core.versions import read_versions
from tests.cli.conftest import Xaiva
from tests.support import require
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.fake_nvml import FakeNvml

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


def test_doctor_says_what_is_missing_and_ends_with_three(xaiva: Xaiva, xaiva_process: Xaiva) -> None:
    result = xaiva_process("doctor", env=NO_ENGINE)
    assert result.code == 3
    assert "/nowhere/docker.sock" in result.out
    assert "→" in result.out
    json_result = xaiva("doctor", "--json", env=NO_ENGINE)
    assert json_result.code == 3
    findings = json_result.document["findings"]
    assert {"python", "disk", "uv", "engine", "network"} <= {finding["code"] for finding in findings}
    for finding in findings:
        assert finding["level"] == "note" or finding["remedy"], finding


@pytest.mark.engine
def test_doctor_knows_a_good_engine(engine_site: Site) -> None:
    findings = {finding.code: finding for finding in doctor.examine(engine_site)}
    assert findings["engine"].level is Level.NOTE
    assert findings["engine"].what.startswith("Docker ")
    assert findings["buildx"].level in (Level.NOTE, Level.WARNING)
    assert findings.keys() & {"gpu-containers", "gpu-toolkit"}
    version = read_versions(engine_site).engine
    assert findings["engine"].what.startswith(f"Docker {version.version},")
    assert version.api
    assert not version.problem


def test_versions_are_told_without_an_engine(xaiva: Xaiva) -> None:
    assert xaiva("--version").out == f"xaiva {service_wheel.version()}\n"
    document = xaiva("version", "--json", env=NO_ENGINE)
    assert document.code == 0
    versions = document.document["versions"]
    assert versions["engine"]["version"] == ""
    assert "/nowhere/docker.sock" in versions["engine"]["problem"]
    text = xaiva("version", env=NO_ENGINE).out
    assert f"engine              unknown: {versions['engine']['problem']}\n" in text
    assert f"API of the service  {versions['api']}; reads 2, {versions['api']}\n" in text


@pytest.mark.parametrize(
    ("directives", "said"),
    [
        (["gpu gtx1060", "gpu rtx4090", "lost 1"], {"gpu": "1 GPU: ", "gpu-trouble": "A GPU does not answer"}),
        (["gpu gtx1060", "lost 0"], {"gpu": "A GPU does not answer"}),
        (["init 9"], {"gpu": "No GPU found"}),
        (["gpu gtx1060"], {"gpu": "1 GPU: "}),
    ],
)
def test_doctor_tells_a_gpu_that_fell_off_the_bus_from_none(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directives: list[str], said: dict[str, str]
) -> None:
    for name, value in FakeNvml(tmp_path, *directives).env.items():
        monkeypatch.setenv(name, value)
    findings = {finding.code: finding for finding in doctor.examine(site) if finding.code in ("gpu", "gpu-trouble")}
    assert {code: one.what[: len(said.get(code, ""))] for code, one in findings.items()} == said
    assert all(one.remedy for one in findings.values() if one.level is not Level.NOTE)


def test_a_check_that_breaks_is_a_finding(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Site):  # type: ignore[no-untyped-def]
        raise ZeroDivisionError("oh")

    monkeypatch.setitem(doctor.CHECKS, "clock", breaks)
    findings = {finding.code: finding for finding in doctor.examine(site)}
    assert findings["clock"].why == "ZeroDivisionError: oh"
    assert "disk" in findings


def test_a_site_that_cannot_be_written_is_an_error(site: Site, tmp_path: Path) -> None:
    import subprocess

    require(os.getuid() == 0, "root, to mount")
    folder = tmp_path / "read-only"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,ro", "none", folder], check=False)
    require(mounted.returncode == 0, "the right to mount")
    try:
        findings = {finding.code: finding for finding in doctor.examine(Site.open(folder))}
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    assert findings["site-writable"].level is Level.ERROR
    assert findings["disk"].level is Level.ERROR  # one megabyte


def test_host_and_gpu_answer_here(xaiva: Xaiva) -> None:
    host = xaiva("host", "--json").document["host"]
    assert host["cores"] >= 1
    assert host["cpu_percent"] is not None
    assert "cores: " in xaiva("host").out
    gpus = xaiva("gpu", "--json")
    assert gpus.code == 0
    assert gpus.document["gpus"]["state"]
    text = xaiva("gpu").out
    assert ("state: ok" if gpus.document["gpus"]["gpus"] else "No GPU found: ") in text


def test_gpu_says_who_holds_its_memory(xaiva: Xaiva, tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path, "gpu gtx1060", "gpu rtx4090", f"process 1 4194999 {3 << 20}", "process 1 4194998 1024")
    (first, second) = xaiva("gpu", "--json", env=fake.env).document["vram"]
    assert (first["name"], first["gpus"], first["memory"], first["models"]) == ("process 4194999", [1], 3 << 20, None)
    assert second["memory"] == 1024
    assert re.search(r"process 4194999 +1 +3\.0 MiB +- +-\n", xaiva("gpu", env=fake.env).out)


@pytest.mark.engine
def test_host_shows_where_the_engine_keeps_its_images(xaiva: Xaiva, engine: TestEngine) -> None:
    disks = xaiva("host", "--json", env=engine.env).document["host"]["disks"]
    assert [disk["path"] for disk in disks if disk["label"] == "engine"] == [str(engine.folder / "data")]


@pytest.mark.engine
def test_gpu_processes_show_their_container(engine: TestEngine, engine_site: Site) -> None:
    identity = engine.docker("run", "-d", "--network", "none", BASE_IMAGE, "sleep", "600").strip()
    labels_of_ours = ["--label", f"{labels.PRESET}=small", "--label", f"{labels.SITE}={engine_site.root}"]
    ours = engine.docker("run", "-d", "--network", "none", *labels_of_ours, BASE_IMAGE, "sleep", "600").strip()
    try:
        processes = [GpuProcess(pid=1, container_id=container) for container in (identity, ours)] + [GpuProcess(pid=2)]
        sample = GpuSample(state=GpuState.OK, gpus=[Gpu(index=0, processes=processes)])
        theirs, mine, bare = machine._with_containers(engine_site, sample).gpus[0].processes
        names = engine.docker("inspect", "-f", "{{.Name}}", identity, ours).replace("/", "").split()
        assert [theirs.container, mine.container, bare.container] == [*names, ""]
        assert [theirs.ours, mine.ours, bare.ours] == [False, True, False]
    finally:
        engine.docker("rm", "-f", identity, ours)


def test_gpu_processes_without_an_engine_keep_the_start_of_the_id(site: Site) -> None:
    (site.root / "site.toml").write_text('[engine]\nhost = "unix:///nowhere/docker.sock"\n')
    process = GpuProcess(pid=1, container_id="0123456789abcdef")
    sample = GpuSample(state=GpuState.OK, gpus=[Gpu(index=0, processes=[process])])
    (process,) = machine._with_containers(Site.open(site.root), sample).gpus[0].processes
    assert (process.container, process.ours) == ("0123456789ab", False)
