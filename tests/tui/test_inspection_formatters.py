"""Rows and lines of products, inspections and jobs: unknown, foreign and unusual values."""

from __future__ import annotations

import pytest

from core.api_schema import IndexStatus, Job, JobStage, JobState, Product, Products, Verdict
from core.api_schema.base import LENIENT
from core.errors import XaivaError
from core.service_client import Forbidden
from tests.tui import sample_inspection as sample
from tests.tui.sample_machine import NOON
from tui.formatters import inspections as inspection_format
from tui.formatters import jobs as job_format
from tui.formatters import overview, top_lines
from tui.formatters import products as product_format
from tui.formatters.cells import Line, layout_columns, plain_text, table_row, width_of
from tui.inspection_sources import NoInspection
from tui.store import Reading

NOW = NOON + 187


def words(lines: list[Line]) -> str:
    return "\n".join(plain_text(line) for line in lines)


def the_job(identifier: int) -> Job:
    return next(job for job in sample.recent_jobs() if job.id == identifier)


# -- products ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [58, 76, 156])
def test_a_row_keeps_its_width_with_any_name(width: int) -> None:
    product = sample.products().products[0].model_copy(update={"name": "병 ø40 [bold]" * 4, "trouble": ["가" * 90]})
    layout = layout_columns(product_format.COLUMNS, width)
    for jobs in (None, sample.recent_jobs()):
        row = table_row(product_format.row(product, jobs, NOW), product_format.COLUMNS, layout)
        assert width_of(row) <= width


def test_an_index_of_nothing_is_listed_only_beside_products() -> None:
    empty = [IndexStatus(name="normal"), IndexStatus(name="defect", trouble=["it cannot be read"])]
    assert [item.name for item in product_format.items(Products(products=[], indexes=empty))] == ["defect"]
    both = product_format.items(Products(products=[Product(name="a")], indexes=empty))
    assert [product_format.key_of(item) for item in both] == ["index:normal", "index:defect", "product:a"]


def test_a_job_for_all_banks_is_the_newest_of_each_product_and_of_no_index() -> None:
    products, jobs = sample.products(), sample.recent_jobs()
    newest = {item.name: product_format.newest_job(item, jobs) for item in product_format.items(products)}
    assert {name: job.id for name, job in newest.items() if job} == {
        "normal": 45, "defect": 42, "bottle": 44, "cap": 43, "label": 43, "screw M4": 43,
    }  # fmt: skip


def test_a_generation_that_cannot_be_used_says_why() -> None:
    broken = sample.products().products[3].bank
    assert broken is not None
    assert plain_text(product_format.generation_cell(broken, NOW)) == "✗ 2 broken"
    assert "cannot be used: features.npy is not" in product_format.generation_text(broken, NOW, "patches")
    assert plain_text(product_format.generation_cell(None, NOW)) == "none"


# -- inspections -------------------------------------------------------------------------------------------------------


def test_a_verdict_that_this_version_does_not_know_keeps_its_word() -> None:
    inspection = sample.inspections().inspections[0].model_copy(update={"verdict": Verdict("uncertain"), "defects": []})
    assert plain_text(inspection_format.row(inspection)[2]) == "? uncertain"
    assert inspection_format.nearest_text(inspection) == ""
    assert "? uncertain" in words(inspection_format.detail(inspection, 60))


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_a_state_that_this_version_does_not_know_is_shown_and_counts_as_live() -> None:
    job = Job.model_validate({**the_job(43).model_dump(), "state": "paused", "priority": "urgent"})
    assert job.state.live
    assert plain_text(job_format.row(job)[2]) == "? paused"
    assert "priority urgent" in words(job_format.detail(job, NOW, 100))


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [
        (45, "waits for 900 MB on cuda:0; used by camera hall, camera gate-1"),
        (43, ""),
        (42, "index defect: s3.line-3.example.org: connection refused"),
        (41, "1 warning, products 4, patches 6144"),
        (40, "generation 12, pictures 431, new 21"),
    ],
)
def test_a_job_in_one_line(identifier: int, shown: str) -> None:
    assert job_format.summary(the_job(identifier)) == shown


def test_a_job_of_a_list_in_one_line_says_how_many_findings_it_has() -> None:
    job = the_job(41).model_copy(update={"failure": None, "result": {"generation": 5, "findings_total": 2}})
    assert job_format.summary(job) == "2 findings, generation 5"


@pytest.mark.parametrize("width", [36, 76])
def test_what_became_of_each_product_is_a_line(width: int) -> None:
    facts = {"generation": 4, "published": True, "pictures": 209, "defects": 63, "auroc": None, "seconds": 1.25}
    why = "The memory bank of 병: 8 of 9 files cannot be used, and 20% are allowed"
    result = {"products": {"병 ø40": facts, "cap": {"failure": why}}, "failed": 1, "findings_total": 300}
    job = sample.job(50, "banks", "", JobState.DONE, 0, 42).model_copy(update={"result": result})
    lines = job_format.detail(job, NOW, width)
    assert max(map(width_of, lines)) <= width
    shown = [line.split() for line in words(lines).splitlines()]
    assert ["병", "ø40"] in [line[:2] for line in shown]
    assert ["cap", "The", "memory"] in [line[:3] for line in shown]
    assert ["findings", "total", "300"] in shown


def banks_job(number: int, **products: dict[str, object]) -> Job:
    """A job that built the memory banks of these products, with the result of the service."""
    common = {"generation": 1, "published": True, "pictures": 15, "defects": 5, "patches": 1500, "computed": 0}
    quality = {"fetched": 0, "auroc": 0.943, "false_alarms": 0.0, "seconds": number / 7}
    records = {name: {**common, **quality, **facts} for name, facts in products.items()}
    result = {"products": records, "failed": 0, "findings": [], "findings_total": 0}
    return sample.job(number, "banks", "", JobState.DONE, 0, 42).model_copy(update={"result": result})


def test_what_came_out_of_memory_banks_is_a_line_of_the_list() -> None:
    assert job_format.summary(banks_job(1, bolt={"generation": 2})) == "generation 2, pictures 15, defects 5"
    several = banks_job(1, bolt={"generation": 2}, cap={"published": False})
    assert job_format.summary(several) == "published 1 of 2"


def test_the_quality_of_a_memory_bank_is_shown_or_where_it_is() -> None:
    one, two = banks_job(1, bolt={}), banks_job(2, bolt={}, cap={})
    shown = " ".join(words(job_format.detail(one, NOW, 60)).split())
    assert "auroc 0.943, false alarms 0" in shown
    assert "→ all columns: xaiva job show 2" in words(job_format.detail(two, NOW, 60))
    assert "all columns" not in words(job_format.detail(two, NOW, 160))


def test_what_came_out_differently_stands_before_the_times_of_the_stages() -> None:
    before = banks_job(4, bolt={}, cap={})
    after = banks_job(6, bolt={"generation": 2, "pictures": 16, "auroc": 1.0}, lid={})
    shown = [line.split("  ", 1) for line in words(job_format.comparison_lines(before, after, 90)).splitlines()]
    assert [(name, text.strip()) for name, text in (line for line in shown[2:] if len(line) == 2)] == [
        ("bolt", "generation 1 → 2, pictures 15 → 16, auroc 0.943 → 1"),
        ("lid", "only in job 6"),
        ("cap", "only in job 4"),
    ]
    old, new = (
        sample.job(number, "index", "defect", JobState.DONE, 0, 1).model_copy(update={"result": result})
        for number, result in (
            (3, {"pictures": 16, "products": {"bolt": 4, "cap": 4}}),
            (5, {"pictures": 17, "products": {"bolt": 5, "cap": 4}}),
        )
    )
    lines = words(job_format.comparison_lines(old, new, 90)).splitlines()
    assert [line.split() for line in lines[3:5]] == [["pictures", "16", "→", "17"], ["products", "bolt", "4", "→", "5"]]
    assert "→" not in words(job_format.comparison_lines(the_job(42), new, 90))


def test_of_many_products_the_one_under_way_comes_first() -> None:
    stages = [JobStage(id="list", title="List", state="done", started=NOON + 1, ended=NOON + 2)]
    for number in range(60):
        state = "done" if number < 40 else "running" if number == 40 else "waiting"
        started, ended = NOON + 2 + number if number <= 40 else 0, NOON + 3 + number if number < 40 else 0
        product = JobStage(id=f"p{number}", title=f"part {number}", state=state, started=started, ended=ended)
        step = {"id": f"p{number}/coreset", "title": "Select the coreset", "parent": product.id}
        stages += [product, product.model_copy(update=step)] if number <= 40 else [product]
    job = sample.job(50, "banks", "", JobState.RUNNING, 0, 42).model_copy(update={"stages": stages})
    shown = words(job_format.detail(job, NOW, 76)).splitlines()
    assert "41 of 61 stages" in shown[0]
    assert [" ".join(line.split()[:3]) for line in shown[1:4]] == ["▶ part 40", "▶ Select the", "✓ List 1"]
    assert [line for line in shown if "coreset" in line] == [shown[2]]
    done = job.model_copy(update={"state": JobState.DONE})
    assert sum("coreset" in line for line in words(job_format.detail(done, NOW, 76)).splitlines()) == 41


def test_stages_of_two_jobs_stand_side_by_side_also_those_of_one_alone() -> None:
    after = sample.with_stages(the_job(43))
    before = sample.with_stages(the_job(41)).model_copy(
        update={"stages": [stage for stage in after.stages if stage.id != "cap"]}
    )
    shown = words(job_format.comparison_lines(before, after, 80)).splitlines()
    cap = next(line for line in shown if line.strip().startswith("cap"))
    assert cap.split() == ["cap", "42.0", "s"]
    fetch = next(line for line in shown if line.startswith("Fetch"))
    assert fetch.split() == ["Fetch", "58.0", "s", "58.0", "s", "+0.0", "s"]
    assert "neither has stages" in words(job_format.comparison_lines(the_job(38), the_job(40), 80))


# -- the Overview ------------------------------------------------------------------------------------------------------


def alerts(jobs: list[Job], products: Products | None = None) -> str:
    lines = overview.alert_lines(None, None, None, None, (), (), 200, jobs=jobs, products=products, now=NOW)
    return words(lines)


def test_a_failed_job_is_an_alert_until_a_newer_one_follows() -> None:
    assert "index defect failed: s3.line-3.example.org: connection refused (,j)" in alerts(sample.recent_jobs())
    again = sample.job(50, "index", "defect", JobState.RUNNING, 100, 5)
    assert "index defect" not in alerts([again, *sample.recent_jobs()])
    old = the_job(42).model_copy(update={"ended": sample.when(-2 * 86400)})
    assert "index defect" not in alerts([old])


def test_a_failure_that_cannot_be_read_is_an_alert_that_names_the_log() -> None:
    mute = Job.model_validate({**the_job(42).model_dump(), "failure": {"what": None}}, context=LENIENT)
    assert "index defect failed: see its log (,j)" in alerts([mute])


def test_broken_banks_are_errors_and_stale_ones_warnings() -> None:
    shown = alerts([], sample.products())
    assert "✗ product screw M4: memory bank 2 cannot be used" in shown
    assert "! product cap: normal pictures have changed since its memory bank was built: rebuild it (,d)" in shown
    assert (
        "! index of normal pictures: normal pictures have changed since the index was built: rebuild it (,d)" in shown
    )
    assert "! index of defect pictures: its last rebuild failed" in shown
    assert "bottle" not in shown


def test_many_stale_banks_do_not_hide_the_rest() -> None:
    listed = Products(products=[Product(name=f"p{number}", trouble=["stale"]) for number in range(30)])
    assert len(alerts([], listed).splitlines()) == product_format.MAX_ALERTS + 1
    assert "26 more products have trouble" in alerts([], listed)


def test_a_broken_bank_is_not_hidden_behind_stale_ones() -> None:
    listed = [Product(name=f"p{number}", trouble=["stale"]) for number in range(30)]
    broken = sample.generation(2, 0, 9, 9, "lite", "it was cut")
    shown = alerts([], Products(products=[*listed, Product(name="worst", bank=broken, trouble=["bank 2 is broken"])]))
    assert shown.startswith("✗ product worst: bank 2 is broken")


def test_a_rebuild_of_all_banks_follows_the_failure_of_one() -> None:
    failed = sample.job(50, "banks", "cap", JobState.FAILED, 100, 5)
    assert "banks cap failed" in alerts([failed])
    assert "banks cap" not in alerts([sample.job(51, "banks", "", JobState.DONE, 150, 5), failed])
    assert "banks cap failed" in alerts([sample.job(51, "rollback", "", JobState.DONE, 150, 5), failed])


def test_a_storage_that_does_not_answer_is_one_alert() -> None:
    shown = alerts([], sample.products_without_storage())
    assert "! pictures: s3://inspection/line-3: s3.line-3.example.org: connection refused" in shown


@pytest.mark.parametrize("kind", [NoInspection, Forbidden])
def test_a_service_without_products_for_this_user_is_no_failure(kind: type[XaivaError]) -> None:
    reading: Reading[object] = Reading(error=kind("Inference service", "it has none for you"), title="x")
    assert overview.source_failures([reading]) == []


# -- the bar -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 110, 156, 160, 180, 240])
def test_the_bar_fits_and_has_all_screens_from_160_columns_on(width: int) -> None:
    parts = top_lines.tab_parts("jobs", width)
    shown = "".join(plain_text(part) for part, _ in parts)
    assert len(shown) <= width
    assert ("Overview" in shown and "Settings" in shown) is (width >= 156)
    assert "Products" in shown
