"""The tables of CONTRIBUTING.md, generated from the tests: markers and long proofs. `make docs` writes them."""

from __future__ import annotations

from pathlib import Path

from core.toml import tomllib
from tests.support.proofs import PROOFS
from tools.architecture import table

ROOT = Path(__file__).resolve().parents[1]


def markers() -> str:
    """Every marker and what it means."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = (marker.partition(": ") for marker in project["tool"]["pytest"]["ini_options"]["markers"])
    return table(("marker", "a test with it"), [(f"`{name}`", meaning) for name, _, meaning in parts])


def proofs() -> str:
    """Every long proof, its short form in a usual run, and its inputs."""
    rows = [
        (name, proof.full, proof.usual or "nothing", ", ".join(f"`{path}`" for path in proof.inputs))
        for name, proof in PROOFS.items()
    ]
    return table(("proof", "in full", "in `make test`", "inputs"), rows)
