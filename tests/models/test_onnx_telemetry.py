"""ONNX Runtime for Linux reports to its maker by default, with a device id that it keeps. It must not, at any site."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

RUN_A_MODEL = """
from core.inference.models import execution_providers
runtime = execution_providers.runtime()
runtime.InferenceSession(execution_providers._PROBE_MODEL, providers=["CPUExecutionProvider"])
"""


def run_a_model(home: Path, **variables: str) -> list[str]:
    """What ONNX Runtime leaves in the home folder of a process that runs a model."""
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", RUN_A_MODEL], env=env | {"HOME": str(home)} | variables, check=True)
    return sorted(path.name for path in home.rglob("*") if path.is_file())


def test_a_model_runs_without_a_device_id_and_a_store_of_reports(tmp_path: Path) -> None:
    assert run_a_model(tmp_path / "home") == []


def test_no_setting_switches_the_reports_on(tmp_path: Path) -> None:
    assert run_a_model(tmp_path / "home", ORT_DISABLE_TELEMETRY="0") == []
