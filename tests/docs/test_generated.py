"""The tables that are generated from the code are up to date."""

from __future__ import annotations

import pytest
from cogapp import Cog

from tests.docs.pages import ROOT


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "core/errors.py", "docs/architecture.md", "docs/console.md"])
def test_the_tables_are_up_to_date(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Cog().main(["cog", "--check", "--diff", str(ROOT / page)])
    assert outcome == 0, f"run: make docs\n{capsys.readouterr().out}"
