"""Will it run there? Presets are judged against the machine in a report, not against this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.findings import Finding, Level
from core.presets.compat import load_facts
from core.presets.model import Preset
from core.site import Site
from core.site_report.files import write_report
from core.site_report.target import report_target, site_findings
from tests.site_report.conftest import MakeReport
from tests.support.command_line import xaiva

HOST = {"name": "line-3", "architecture": "x86_64"}
OLD_GPU = {"name": "NVIDIA GeForce GTX 1060 6GB", "state": "ok", "memory": 6 << 30, "compute_capability": "6.1"}
OLD = {"state": "ok", "driver": "535.183.01", "cuda": "12.2", "gpus": [OLD_GPU]}
ENGINE = {"title": "docker 26.1.5", "version": "26.1.5", "api": "1.45", "gpu_access": "device-request"}
NEEDS_GPU = Preset.model_validate(
    {"base_image": "debian:bookworm-slim", "python_version": "3.11", "run": {"gpus": "all"}}
)
NEW_CUDA = {
    "base_image": "nvidia/cuda:12.8.1-cudnn-devel-ubuntu22.04",
    "python_version": "3.10",
    "pytorch": {"version": "2.7.1+cu128"},
    "run": {"gpus": "all"},
}


def problems(findings: list[Finding]) -> dict[str, Level]:
    return {finding.code: finding.level for finding in findings if finding.level is not Level.NOTE}


def test_a_preset_that_is_too_new_for_the_site(site: Site, make_report: MakeReport, tmp_path: Path) -> None:
    (site.presets / "new.json").write_text(json.dumps(NEW_CUDA))
    path = write_report(make_report(host=HOST, gpus=OLD, engine=ENGINE), tmp_path, None)
    done = xaiva(site, "preset", "check", "new", "--report", str(path), "--json")
    assert done.returncode == 3, done.stderr
    document = json.loads(done.stdout)
    assert document["target"]["driver"] == "535.183.01"
    assert document["target"]["gpus"][0]["sm"] == "6.1"
    by_hand = xaiva(site, "preset", "check", "new", "--gpu", OLD_GPU["name"], "--driver", "535.183.01", "--json")  # type: ignore[arg-type]
    codes = {finding["code"] for finding in document["findings"]}
    assert codes >= {finding["code"] for finding in json.loads(by_hand.stdout)["findings"]}
    levels = [finding["level"] for finding in document["findings"]]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)
    assert "the report of line-3, written on 2026-11-30 08:15 UTC" in done.stdout
    good = xaiva(site, "preset", "suggest", "--report", str(path), "--json")
    suggestion = json.loads(good.stdout)["suggestions"][0]["preset"]
    (site.presets / "good.json").write_text(json.dumps(suggestion))
    fits = xaiva(site, "preset", "check", "good", "--report", str(path))
    assert fits.returncode == 0, fits.stdout


def test_the_memory_of_the_report_wins_over_the_tables(make_report: MakeReport) -> None:
    gpus = {**OLD, "gpus": [{**OLD_GPU, "memory": 3 << 30}]}
    target = report_target(make_report(host=HOST, gpus=gpus), load_facts())
    assert target.vram_gib == 3


def test_gpus_that_the_report_does_not_know_are_no_target(make_report: MakeReport) -> None:
    with pytest.raises(InputError, match="does not know the GPUs of line-3: it was not asked"):
        report_target(make_report(host=HOST), load_facts())


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"host": HOST, "gpus": OLD, "engine": ENGINE}, {}),
        ({"gpus": OLD, "engine": ENGINE}, {"site-processor": Level.WARNING}),
        ({"host": {**HOST, "architecture": "aarch64"}, "gpus": OLD, "engine": ENGINE}, {"site-processor": Level.ERROR}),
        ({"host": HOST, "gpus": {"state": "no-driver"}, "engine": ENGINE}, {"site-gpu": Level.ERROR}),
        ({"host": HOST, "gpus": OLD}, {"site-engine": Level.WARNING}),
        ({"host": HOST, "gpus": OLD, "engine": {**ENGINE, "gpu_access": "none"}}, {"gpu-toolkit": Level.ERROR}),
        ({"host": HOST, "gpus": OLD, "engine": {**ENGINE, "gpu_access": "new-way"}}, {}),
        (
            {
                "host": HOST,
                "gpus": OLD,
                "engine": {**ENGINE, "title": "docker 20.10.24", "version": "20.10.24", "api": "1.41"},
            },
            {"engine-version": Level.ERROR},
        ),
        (
            {
                "host": HOST,
                "gpus": OLD,
                "engine": {**ENGINE, "title": "Podman Engine 5.4.2", "version": "5.4.2", "api": "1.41"},
            },
            {"engine-version": Level.WARNING},
        ),
    ],
)
def test_what_else_decides(make_report: MakeReport, sections: dict[str, Any], expected: dict[str, Level]) -> None:
    assert problems(site_findings(make_report(**sections), NEEDS_GPU)) == expected


def test_a_preset_without_gpu_needs_none(make_report: MakeReport) -> None:
    report = make_report(host=HOST, gpus={"state": "no-driver"}, engine={**ENGINE, "gpu_access": "none"})
    assert (
        problems(
            site_findings(report, NEEDS_GPU.model_copy(update={"run": NEEDS_GPU.run.model_copy(update={"gpus": ""})}))
        )
        == {}
    )


def test_gpus_of_an_arm_machine_are_not_for_x86_64(make_report: MakeReport) -> None:
    target = report_target(make_report(host={**HOST, "architecture": "aarch64"}, gpus=OLD), load_facts())
    assert all(gpu.aarch64 for gpu in target.gpus)
