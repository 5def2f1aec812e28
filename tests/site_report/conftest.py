"""The ledger of a site, and reports as other sites could have written them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from core.operations.ledger import Ledger
from core.site import Site
from core.site_operations import site_ledger
from core.site_report.model import SiteReport

MakeReport = Callable[..., SiteReport]
SECTIONS = [name for name in SiteReport.model_fields if name not in ("format", "created", "xaiva", "site")]


@pytest.fixture
def ledger(site: Site) -> Ledger:
    return site_ledger(site)


@pytest.fixture
def make_report() -> MakeReport:
    """`make_report(gpus={…})`: a report with these values, in which everything else is unknown."""

    def make(**values: Any) -> SiteReport:
        sections = {name: {"unknown": "it was not asked"} for name in SECTIONS}
        sections |= {name: {"value": value} for name, value in values.items()}
        created = datetime(2026, 11, 30, 8, 15, 59, tzinfo=timezone.utc)
        return SiteReport.model_validate({"created": created, "xaiva": "1.2.3", "site": "hall", **sections})

    return make
