"""The tables of docs/architecture.md are what the code says now."""

from __future__ import annotations

import pytest
from cogapp import Cog

from tests.docs.pages import ROOT


def test_the_tables_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "architecture.md"
    outcome = Cog().main(["cog", "--check", "--diff", str(page)])
    assert outcome == 0, f"run: .venv/bin/python -m cogapp -r docs/architecture.md\n{capsys.readouterr().out}"
