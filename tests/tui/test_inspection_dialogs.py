"""What Products and Jobs change: rebuilds, rollbacks, thresholds, verdicts; each asks, and sends what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from core.api_schema import Correction, ProductSettings, ScoreHistogram, Verdict
from core.errors import XaivaError
from core.service_client.errors import Forbidden
from core.site import Site
from tests.tui import sample, sample_inspection
from tests.tui.sample_service import SampleService
from tests.tui.support import settled, shows, text, until
from tui.app import XaivaApp
from tui.formatters import rebuilds
from tui.formatters.cells import Line, plain_text, width_of
from tui.formatters.score_histogram import threshold_lines
from tui.navigation import SCREENS
from tui.screens.threshold import ThresholdDialog


class Recorded:
    """Notes the calls of an object, and passes them on; an error in `refusals` is raised instead."""

    def __init__(self, inner: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refusals: dict[str, XaivaError] = {}
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            if name in self.refusals:
                raise self.refusals[name]
            return getattr(self._inner, name)(*arguments)

        return call

    def changes(self, *names: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] in names]


@asynccontextmanager
async def screen(
    site: Site, name: str, size: tuple[int, int] = (160, 45), read_only: bool = False
) -> AsyncIterator[tuple[Pilot[int], Recorded, Recorded]]:
    """The screen over the sample, and the notes of the calls of its service: products, jobs."""
    service: Any = SampleService()
    products, jobs = Recorded(service.products), Recorded(service.jobs)
    service.products, service.jobs = products, jobs
    app = XaivaApp(site, read_only, parts=replace(sample.PARTS, service=service))
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.press(*SCREENS[name].keys)
        await until(pilot, lambda: app.current_mode == name and app.screen.is_mounted)
        await settled(pilot)
        yield pilot, products, jobs


def words(lines: list[Line]) -> str:
    return "\n".join(plain_text(line) for line in lines)


# -- rebuilds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "shown", "call"),
    [
        (("n",), "It reads 431 normal pictures below normal/ of", ("rebuild_index", "normal")),
        (("d",), "It reads 75 defect pictures below defect/ of", ("rebuild_index", "defect")),
        (("down", "down", "down", "b"), "It reads 88 normal pictures below normal/cap/", ("rebuild", "cap")),
    ],
)
async def test_a_rebuild_shows_what_it_reads_and_starts_with_enter(
    bare_site: Site, keys: tuple[str, ...], shown: str, call: tuple[str, ...]
) -> None:
    async with screen(bare_site, "products", (80, 24)) as (pilot, products, _):
        await pilot.press(*keys)
        await shows(pilot, shown)
        assert not products.changes("rebuild", "rebuild_index")
        await pilot.press("enter")
        await shows(pilot, "Started")
        assert products.changes("rebuild", "rebuild_index") == [call]


async def test_all_memory_banks_are_one_job(bare_site: Site) -> None:
    async with screen(bare_site, "products") as (pilot, products, _):
        await pilot.press("B")
        await shows(pilot, "products have none yet")
        await shows(pilot, "! job 43 is live: banks running")
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        assert not products.changes("rebuild_all")
        await pilot.press("B", "enter")
        await shows(pilot, "Started")
        assert products.changes("rebuild_all") == [("rebuild_all",)]


def test_a_preview_never_counts_unknown_pictures_as_none() -> None:
    listed = sample_inspection.products_without_storage()
    shown = words(rebuilds.all_banks_preview(listed, [], 200))
    assert "how many is not known: s3.line-3.example.org: connection refused" in shown
    assert " 0 " not in shown


async def test_a_rollback_says_which_generation_will_answer(bare_site: Site) -> None:
    async with screen(bare_site, "products") as (pilot, products, _):
        await pilot.press("r")
        await shows(pilot, "Roll back the index of normal pictures?")
        await shows(pilot, "Generation 11 will answer instead of generation 12")
        await pilot.press("n")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        await pilot.press("down", "down", "r")
        await shows(pilot, "Generation 6 will answer instead of generation 7")
        await pilot.press("y")
        await shows(pilot, "Started")
        assert products.changes("rollback", "rollback_index") == [("rollback", "bottle")]
        await pilot.press("down", "r")
        await shows(pilot, "there is no generation to go back to")


async def test_a_refusal_is_shown_with_its_reason(bare_site: Site) -> None:
    async with screen(bare_site, "products") as (pilot, products, _):
        products.refusals["rebuild_index"] = Forbidden("The job", "your role is viewer", "ask an operator")
        await pilot.press("n")
        await shows(pilot, "It reads 431")
        await pilot.press("enter")
        await shows(pilot, "your role is viewer")


async def test_a_read_only_console_has_no_key_that_changes_a_product(bare_site: Site) -> None:
    async with screen(bare_site, "products", read_only=True) as (pilot, products, jobs):
        await pilot.press("down", "down", "n", "d", "b", "B", "r", "t", "c")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1
        assert not [call for call in products.calls if call[0] not in ("inspection_thumbnail", "heat_map")]
        assert not jobs.calls
        assert "Heat map" in text(pilot)
        assert "Threshold" not in text(pilot)


# -- the threshold -----------------------------------------------------------------------------------------------------


async def test_the_threshold_is_moved_through_both_histograms_and_saved(bare_site: Site) -> None:
    async with screen(bare_site, "products", (80, 24)) as (pilot, products, _):
        await pilot.press("down", "down", "t")
        await shows(pilot, "about 0 of 52 normal pictures would be false alarms, and about 9")
        await pilot.press("left", "left", "minus", "down", "down")
        await shows(pilot, "threshold 0.49, set by hand")
        await pilot.press("enter")
        await shows(pilot, "the threshold was saved")
        before = sample_inspection.products().products[0].settings
        after = before.model_copy(update={"threshold": 0.49})
        assert products.changes("set_settings") == [("set_settings", "bottle", after)]


async def test_the_measured_threshold_is_one_key_away(bare_site: Site) -> None:
    async with screen(bare_site, "products") as (pilot, products, _):
        await pilot.press("down", "down", "t")
        await shows(pilot, "set by hand")
        await pilot.press("a")
        await shows(pilot, "threshold 0.50, as the memory bank measured it")
        await pilot.press("enter")
        await shows(pilot, "the threshold was saved")
        settings: ProductSettings = products.changes("set_settings")[0][2]
        assert settings.threshold is None
        assert settings.tiles == (2, 1)  # everything else stays


async def test_a_product_without_scores_says_why_and_saves_nothing(bare_site: Site) -> None:
    async with screen(bare_site, "products") as (pilot, products, _):
        products.refusals["histogram"] = XaivaError("label", "it has no memory bank yet", "rebuild it")
        await pilot.press("down", "down", "t")
        await shows(pilot, "it has no memory bank yet")
        await pilot.press("right", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ThresholdDialog)
        assert not products.changes("set_settings")


@pytest.mark.parametrize("width", [30, 60, 100])
@pytest.mark.parametrize("threshold", [0.0, 0.005, 0.5, 0.995, 1.0])
def test_the_histograms_fit_wherever_the_threshold_is(width: int, threshold: float) -> None:
    lines = threshold_lines(sample_inspection.histogram("bottle"), threshold, False, 4, width)
    drawn = [plain_text(line) for line in lines[:9]]
    assert all(len(text) <= width for text in drawn)
    assert all("│" in text for text in drawn[:8])
    assert f"{threshold:.2f}" in drawn[8]


def test_a_bank_that_knows_no_defects_says_so() -> None:
    histogram = ScoreHistogram(product="new", threshold=0.5, normal=[3, 1] + [0] * 18, defect=[0] * 20)
    shown = words(threshold_lines(histogram, 0.05, True, 3, 60))
    assert "about 1 of 4 normal pictures would be false alarms; there are no known defects" in shown.replace("\n", " ")


def test_a_histogram_without_readable_bins_still_shows_the_threshold() -> None:
    histogram = ScoreHistogram(product="new", threshold=0.5, normal=[3, 1] + [0] * 18, defect=[])
    assert all(width_of(line) <= 60 for line in threshold_lines(histogram, 0.8, True, 3, 60))
    assert "threshold 0.80" in words(threshold_lines(histogram, 0.8, True, 3, 60))


# -- verdicts ----------------------------------------------------------------------------------------------------------


async def test_a_false_alarm_is_corrected(bare_site: Site) -> None:
    async with screen(bare_site, "products", (80, 24)) as (pilot, products, _):
        await pilot.press("down", "down", "c")
        await shows(pilot, "False alarm")
        await shows(pilot, ", part L42-0193")
        await pilot.press("enter")
        await shows(pilot, "the verdict was corrected")
        assert products.changes("correct") == [("correct", "0195-0000", Correction(verdict=Verdict.NORMAL))]


async def test_a_missed_defect_needs_its_type(bare_site: Site) -> None:
    async with screen(bare_site, "products") as (pilot, products, _):
        await pilot.press("down", "down", "i", "down", "c")
        await shows(pilot, "Missed defect")
        await pilot.press("enter")
        await shows(pilot, "defect_type is needed for the verdict defect")
        pilot.app.screen.query_one("#defect_type", Input).value = "crack"
        pilot.app.screen.query_one("#note", Input).value = "at the neck"
        await pilot.press("enter")
        await shows(pilot, "the verdict was corrected")
        correction = Correction(verdict=Verdict.DEFECT, defect_type="crack", note="at the neck")
        assert products.changes("correct") == [("correct", "0195-0001", correction)]


# -- jobs --------------------------------------------------------------------------------------------------------------


async def test_a_job_is_cancelled_after_a_question_and_an_ended_one_started_again(bare_site: Site) -> None:
    async with screen(bare_site, "jobs") as (pilot, _, jobs):
        await pilot.press("down", "down", "r")
        await shows(pilot, "the job has not ended yet")
        await pilot.press("c")
        await shows(pilot, "publishes nothing")
        await pilot.press("y")
        await until(pilot, lambda: jobs.changes("cancel") == [("cancel", 43)])
        await pilot.press("down", "c")
        await shows(pilot, "the job has already ended")
        await pilot.press("r")
        await shows(pilot, "the same options")
        await pilot.press("enter")
        await until(pilot, lambda: jobs.changes("retry") == [("retry", 42)])


async def test_jobs_are_filtered_by_kind_state_and_time(bare_site: Site) -> None:
    async with screen(bare_site, "jobs", (80, 24)) as (pilot, _, _jobs):
        await pilot.press("f")
        await shows(pilot, "same formats as Since")
        pilot.app.screen.query_one("#kind", Input).value = "banks"
        pilot.app.screen.query_one("#state", Input).value = "failed"
        await pilot.press("enter")
        await shows(pilot, "Jobs · kind banks · state failed")
        await pilot.press("f")
        pilot.app.screen.query_one("#state", Input).value = "finished"
        await pilot.press("enter")
        await shows(pilot, "“finished” is not a known value")
