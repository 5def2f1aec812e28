"""Products and Jobs over a real service: a memory bank is built from a folder, a defect is seen and judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.site import Site
from tests.support.inspected import NORMALS, fill_storage, good, scratched
from tests.support.service import TOKEN, ServiceProcess
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.navigation import SCREENS
from tui.widgets.picture_view import PictureView

PATIENCE = 240.0  # for a job, which runs below everything else on a machine that may be busy
PRODUCT = "plate"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service whose folder of pictures has one product, and no memory bank."""
    fill_storage(tmp_path / "data" / "images", PRODUCT)
    running = ServiceProcess(tmp_path / "data", XAIVA_ONNX_PROVIDER="cpu")
    try:
        yield running.ready()
    finally:
        running.process.kill()
        running.process.wait()


def site_of(bare_site: Site, service: ServiceProcess) -> Site:
    named = bare_site.settings.service.model_copy(update={"url": service.client.url})
    settings = bare_site.settings.model_copy(update={"service": named})
    return Site(bare_site.root, settings, {**bare_site.env, "XAIVA_SERVICE_TOKEN": TOKEN})


async def goes_to(pilot: Pilot[Any], name: str) -> None:
    await pilot.press(*SCREENS[name].keys)
    await until(pilot, lambda: pilot.app.current_mode == name and pilot.app.screen.is_mounted)


async def on_product(pilot: Pilot[Any]) -> None:
    """Put the cursor on the product."""
    choices: Any = pilot.app.screen.query_one("#choices")
    await until(pilot, lambda: f"product:{PRODUCT}" in choices.keys, PATIENCE)
    await pilot.press("end")
    await until(pilot, lambda: choices.key == f"product:{PRODUCT}")


async def test_a_bank_is_built_a_defect_seen_judged_and_corrected(bare_site: Site, service: ServiceProcess) -> None:
    app = XaivaApp(site_of(bare_site, service))
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        await goes_to(pilot, "products")
        await on_product(pilot)
        await shows(pilot, f"{NORMALS} in normal/{PRODUCT}/", PATIENCE)
        await shows(pilot, "it has no memory bank")
        await pilot.press("b")
        await shows(pilot, f"It reads {NORMALS} normal pictures")
        await pilot.press("enter")
        await shows(pilot, "Started")
        job = service.client.jobs.page().jobs[0].id
        await goes_to(pilot, "jobs")
        await shows(pilot, f"Log of job {job}")
        await shows(pilot, "✓ done", PATIENCE)
        assert f"banks {PRODUCT}" in text(pilot)

        service.client.products.inspect(PRODUCT, good(), part="L1")
        found = service.client.products.inspect(PRODUCT, scratched(), part="L2")
        await pilot.press("o")
        await until(pilot, lambda: app.current_mode == "products")
        await shows(pilot, f"defect {found.score:.2f}")
        view = app.screen.query_one(PictureView)
        await until(pilot, lambda: view._rendered is not None)
        assert "no heat map" not in text(pilot)
        await pilot.press("t")
        await shows(pilot, "normal pictures would be false alarms")
        await pilot.press("right", "enter")
        await shows(pilot, "the threshold was saved")
        assert service.client.products.settings(PRODUCT).threshold is not None

        await pilot.press("i", "c")
        await shows(pilot, "False alarm")
        await pilot.press("enter")
        await shows(pilot, "the verdict was corrected")
        assert service.client.products.inspection(found.id).corrected is not None
