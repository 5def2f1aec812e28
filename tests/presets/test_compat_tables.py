"""The compatibility tables: their rows, a site's own rows, and what is computed from them alone."""

from __future__ import annotations

import json
from datetime import date

import pytest
from packaging.version import Version

from core.presets.compat import check, load_facts, named_target, site_facts
from core.presets.compat.facts import _TABLES, DATA
from core.presets.compat.machine import driver_cuda, has_code_for
from core.presets.compat.rows import VersionedRow
from core.site import Site
from tests.support.checks import cuda_preset, preset_of

FACTS = load_facts()


def test_a_sites_rows_win_over_shipped_ones(site: Site) -> None:
    folder = site.docker / "compat"
    folder.mkdir(parents=True)
    row = json.loads((DATA / "wheel_tags.json").read_text())["rows"][-2]
    assert row["key"] == "cu130"
    row["sm"] = ["6.1", *row["sm"]]
    (folder / "wheel_tags.json").write_text(json.dumps({"rows": [row, {**row, "key": "cu140", "cuda": "14.0"}]}))
    target = named_target(["GTX 1060"], "580.65.06")
    ours = {finding.code for finding in check(cuda_preset("2.9.1+cu130"), target, site=site)}
    assert "gpu-architecture" not in ours
    assert "cu140" in site_facts(site).wheel_tags
    assert "gpu-architecture" in {finding.code for finding in check(cuda_preset("2.9.1+cu130"), target)}


def test_a_sites_older_row_does_not_become_the_newest(site: Site) -> None:
    folder = site.docker / "compat"
    folder.mkdir(parents=True)
    old = {**json.loads((DATA / "onnxruntime.json").read_text())["rows"][0], "key": "1.18", "first": "1.18.0"}
    (folder / "onnxruntime.json").write_text(json.dumps({"rows": [{**old, "last": "1.19.99"}]}))
    assert list(site_facts(site).onnxruntime) == ["1.18", *FACTS.onnxruntime]


def test_the_shipped_tables_are_in_order() -> None:
    for name, kind in _TABLES.items():
        keys = list(getattr(FACTS, name))
        assert not issubclass(kind, VersionedRow) or keys == sorted(keys, key=Version), name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("torch.json", "{"),
        ("torch.json", "[]"),
        ("torch.json", '{"rows": [{"key": "9.9"}]}'),
        ("torches.json", '{"rows": []}'),
        (
            "cuda.json",
            '{"rows": [{"key": "14.0", "min_driver": "new", "native_driver": "600", "source": "", "verified_on": ""}]}',
        ),
        (
            "packages.json",
            '{"rows": [{"key": "x", "package": "x", "versions": "<2", "needs": [], "source": "", "verified_on": ""}]}',
        ),
    ],
)
def test_a_broken_overlay_is_named_and_changes_nothing(site: Site, name: str, text: str) -> None:
    folder = site.docker / "compat"
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    (problem,) = [finding for finding in check(preset_of({}), site=site) if finding.code == "overlay-unusable"]
    assert name in problem.what
    assert list(site_facts(site).torch) == list(FACTS.torch)


def test_every_row_has_a_source_and_a_date_or_says_that_nobody_looked() -> None:
    for path in DATA.glob("*.json"):
        rows = getattr(FACTS, path.stem).values()
        assert rows, path
        for row in rows:
            assert row.source.strip(), (path, row.key)
            assert bool(row.verified_on) == ("not looked up" not in row.source), (path, row.key)
            assert not row.verified_on or date.fromisoformat(row.verified_on), (path, row.key)


def test_tables_agree_with_each_other() -> None:
    for row in FACTS.torch.values():
        for tag in (*row.tags, *row.experimental_tags, row.default_tag):
            assert FACTS.wheel_tags[tag].cuda in FACTS.cuda
        assert set(row.cudnn) <= {*row.tags, *row.experimental_tags}
    for image in FACTS.base_images.values():
        assert FACTS.systems[image.os].python == image.python


def test_code_runs_on_the_same_major_version_and_not_on_an_older_minor() -> None:
    assert has_code_for("8.9", ["8.6"], [])
    assert not has_code_for("8.0", ["8.6"], [])
    assert not has_code_for("12.0", ["9.0"], [])
    assert has_code_for("12.0", ["9.0"], ["9.0"])
    assert not has_code_for("8.0", [], ["9.0"])


def test_what_cuda_a_driver_knows() -> None:
    assert driver_cuda("535.183.01", FACTS) == "12.2"
    assert driver_cuda("570.124", FACTS) == "12.8"
    assert driver_cuda("580.65", FACTS) == "13.0"
    assert driver_cuda("390.10", FACTS) == ""
