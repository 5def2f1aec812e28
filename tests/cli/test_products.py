"""`xaiva product` against a real service with a product that can be inspected."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.inference.settings import ServiceSettings
from core.service_client.product_calls import ProductCalls
from core.site import Site
from tests.api.serving import TOKEN, Running, served
from tests.cli.conftest import Run, Xaiva
from tests.support import until
from tests.support.breakable_line import breakable_line
from tests.support.inspected import build_bank, build_indexes, fill_storage, good, note_listings, scratched

PRODUCT = "plate A"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("service")
    fill_storage(data / "images", PRODUCT)
    build_bank(ServiceSettings(data=data), PRODUCT)
    build_indexes(ServiceSettings(data=data))
    note_listings(ServiceSettings(data=data), PRODUCT)
    (data / f"images/defect/{PRODUCT}/hole/new.jpg").write_bytes(scratched())
    with served(data, onnx_provider="cpu") as one:
        until(lambda: one.client().products.all().counted, bool)
        yield one


@pytest.fixture
def cli(xaiva: Xaiva, site: Site, running: Running) -> Xaiva:
    """`xaiva product …` on a site that has the service's token in its `.env`."""
    (site.root / "site.toml").write_text(f'[service]\nurl = "{running.url}"\n')
    (site.root / ".env").write_text(f"XAIVA_SERVICE_TOKEN={TOKEN}\n")
    return lambda *words: xaiva("product", *words)


def ok(run: Run) -> Any:
    """The document of a command that succeeded."""
    assert run.code == 0, run.out + run.err
    return run.document


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good picture, one with a scratch, and a broken one below."""
    (tmp_path / "line" / "older").mkdir(parents=True)
    (tmp_path / "line" / "1.jpg").write_bytes(good())
    (tmp_path / "line" / "2.JPG").write_bytes(scratched())
    (tmp_path / "line" / "older" / "3.png").write_bytes(b"nonsense")
    (tmp_path / "line" / "notes.txt").write_text("no picture")
    return tmp_path / "line"


def test_a_folder_gives_a_table_and_the_exit_code_of_its_worst(cli: Xaiva, folder: Path) -> None:
    table = cli("inspect", str(folder), "--product", PRODUCT)
    assert table.code == 3
    rows = [line.split() for line in table.out.splitlines()[1:]]
    assert [row[1] for row in rows] == ["normal", "defect", "failed"]
    assert "not a JPEG" in table.out
    assert cli("inspect", str(folder / "1.jpg"), "--product", PRODUCT).code == 0
    assert cli("inspect", str(folder / "1.jpg"), str(folder / "older"), "--product", PRODUCT).code == 1
    lines = list(csv.DictReader(io.StringIO(cli("inspect", str(folder), "--product", PRODUCT, "--csv").out)))
    assert [line["verdict"] for line in lines] == ["normal", "defect", ""]
    assert [line["part"] for line in lines] == ["1", "2", ""]
    assert lines[2]["error"]
    document = cli("inspect", str(folder), "--product", PRODUCT, "--part", "lot 7", "--json").document["results"]
    assert [each.get("inspection", {}).get("part") for each in document] == ["lot 7", "lot 7", None]
    assert document[2]["error"]["why"]


def test_a_wrong_product_or_file_ends_the_command(cli: Xaiva, folder: Path, tmp_path: Path) -> None:
    wrong = cli("inspect", str(folder), "--product", "lid")
    assert (wrong.code, wrong.out) == (2, "")
    assert "Product lid" in wrong.err
    (tmp_path / "empty").mkdir()
    assert cli("inspect", str(tmp_path / "empty"), "--product", PRODUCT).code == 2
    assert cli("inspect", str(tmp_path / "none.jpg"), "--product", PRODUCT).code == 2
    assert cli("inspect", str(folder / "older"), "--product", PRODUCT).code == 2


def test_what_was_inspected_before_the_service_is_lost_is_printed(
    cli: Xaiva, folder: Path, site: Site, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = ProductCalls.inspect
    with breakable_line(running.url) as line:
        (site.root / "site.toml").write_text(f'[service]\nurl = "{line.url}"\n')

        def inspect_and_lose(*words: Any, **more: Any) -> Any:
            answer = inspect(*words, **more)
            line.close()
            return answer

        monkeypatch.setattr(ProductCalls, "inspect", inspect_and_lose)
        lost = cli("inspect", str(folder), "--product", PRODUCT)
    assert lost.code == 1
    assert [row.split()[1] for row in lost.out.splitlines()] == ["VERDICT", "normal"]
    assert line.url in lost.err


def test_inspections_are_listed_corrected_and_exported(cli: Xaiva, folder: Path, tmp_path: Path) -> None:
    words = ("inspect", str(folder / "2.JPG"), "--product", PRODUCT, "--part", "lot 8", "--json")
    ident = cli(*words).document["results"][0]["inspection"]["id"]
    assert ident in cli("inspections", "--part", "lot 8", "--verdict", "defect", "--since", "1h").out
    assert ok(cli("inspections", "--part", "lot 8", "--corrected", "--json"))["inspections"] == []
    assert cli("correct", ident).code == 2
    assert "copy the whole id from: xaiva product inspections" in cli("correct", ident[:8], "--normal").err
    assert "there is no inspection with that id" in cli("picture", ident[:8], str(tmp_path / "no.jpg")).err
    assert cli("correct", ident, "--normal", "--defect", "scratch").code == 2
    assert "defect of type scratch" in cli("correct", ident, "--defect", "scratch").out
    corrected = ok(cli("correct", ident, "--normal", "--note", "dust", "--json"))["inspection"]
    assert (corrected["corrected"], corrected["note"]) == ("normal", "dust")
    assert "normal" in cli("inspections", "--part", "lot 8").out
    target = tmp_path / "out.csv"
    assert "1 inspections" in cli("export", str(target), "--part", "lot 8").out
    assert [row["id"] for row in csv.DictReader(target.open())] == [ident]
    assert cli("export", str(target)).code == 2
    assert ok(cli("export", str(tmp_path / "out.json"), "--part", "lot 8", "--json"))["inspections"] == 1
    assert json.loads((tmp_path / "out.json").read_text())["inspections"][0]["id"] == ident
    assert json.loads(cli("export", "-", "--part", "none").out) == {"inspections": []}
    for options, start in (((), b"\xff\xd8"), (("--heat-map",), b"\x89PNG")):
        assert cli("picture", ident, str(tmp_path / "picture"), *options).code == 0
        assert (tmp_path / "picture").read_bytes().startswith(start)


def test_settings_change_one_by_one(cli: Xaiva) -> None:
    words = ("--threshold", "0.7", "--region", "0.1,0,0.9,1", "--tiles", "2x1", "--rebuild", "mo-fr 03:00")
    changed = cli("set", PRODUCT, *words, "--no-events")
    assert changed.code == 0
    assert "xaiva product rebuild" in changed.err
    shown = cli("show", PRODUCT).out
    for text in ("0.700", "0.1,0,0.9,1", "2x1", "mo-fr 03:00", "12 pictures", "hole 4, scratch", "generation 1"):
        assert text in shown
    settings = ok(cli("set", PRODUCT, "--measured-threshold", "--rebuild", "none", "--events", "--json"))["settings"]
    assert (settings["threshold"], settings["rebuild"], settings["events"]) == (None, None, True)
    assert settings["tiles"] == [2, 1]
    ok(cli("set", PRODUCT, "--region", "0,0,1,1", "--tiles", "1x1", "--json"))
    for wrong in (
        ("--region", "0.1,0"),
        ("--tiles", "two"),
        ("--rebuild", "noon"),
        ("--rebuild", "xx 03:00"),
        ("--threshold", "2"),
        ("--threshold", "0.5", "--measured-threshold"),
        ("--region", "0.5,0,0.4,1"),
    ):
        assert cli("set", PRODUCT, *wrong).code == 2


def test_products_and_indexes_are_listed(cli: Xaiva) -> None:
    listed = cli("list").out
    assert PRODUCT in listed
    normal, defect = (line for line in listed.splitlines() if line.startswith("index "))
    assert normal.startswith("index normal: generation 1")
    assert defect.endswith("; defect pictures have changed since the index was built: rebuild it")
    assert ok(cli("list", "--json"))["products"][0]["name"] == PRODUCT
    assert len(ok(cli("show", PRODUCT, "--json"))["histogram"]["normal"]) == 20


def test_rebuilding_and_going_back_start_jobs(cli: Xaiva, running: Running) -> None:
    assert cli("rebuild").code == cli("rollback").code == cli("rebuild", PRODUCT, "--all").code == 2
    refused = cli("rollback", PRODUCT, "lid", "--yes")
    assert refused.code == 2
    assert f"(rollback bank:{PRODUCT})" in refused.out  # it was started before the other one was refused
    until(lambda: not any(job.state.live for job in running.client().jobs.all()), bool)
    jobs = ok(cli("rollback", PRODUCT, "--index", "normal", "--yes", "--json"))["jobs"]
    assert [job["subject"] for job in jobs] == [f"bank:{PRODUCT}", "index:normal"]
    assert "rebuild" in cli("rebuild", "--help").out
