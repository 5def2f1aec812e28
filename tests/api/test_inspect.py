"""Inspection over HTTP: a real product with a bank and indexes, from a picture to an event and a correction."""

from __future__ import annotations

import base64
import csv
import io
import json
import queue
import shutil
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from core.api_schema import (
    Correction,
    EventQuery,
    Inspection,
    InspectionQuery,
    ProductSettings,
    RebuildSchedule,
    StatisticsQuery,
    Verdict,
)
from core.errors import InputError
from core.inference.api.threads import INSPECTIONS
from core.inference.settings import ServiceSettings
from core.service_client import ServiceClient
from tests.api.serving import TOKEN, Running, served
from tests.support import until
from tests.support.inspected import (
    NORMALS,
    build_bank,
    build_indexes,
    encoded,
    fill_storage,
    good,
    note_listings,
    scratched,
)
from tests.support.object_storage import ENVIRONMENT, KEY_VARIABLE, SECRET_VARIABLE
from tests.support.parts import plates
from tests.support.ports import HeldPort

PRODUCT = "판 M8"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with one product that can be inspected and one that has only pictures."""
    data = tmp_path_factory.mktemp("service")
    settings = ServiceSettings(data=data)
    fill_storage(data / "images", PRODUCT)
    fill_storage(data / "images", "unbuilt")
    build_bank(settings, PRODUCT)
    build_indexes(settings)
    note_listings(settings, PRODUCT)
    (data / "inbox").mkdir()
    with served(data, onnx_provider="cpu", inspect_folder=data / "inbox") as one:
        until(lambda: one.client().products.all().counted, bool)
        yield one


@pytest.fixture
def client(running: Running) -> ServiceClient:
    return running.client()


def test_a_defect_is_found_with_the_known_pictures_that_look_most_like_it(client: ServiceClient) -> None:
    fine, defective = client.products.inspect(PRODUCT, good()), client.products.inspect(PRODUCT, scratched())
    assert (fine.verdict, defective.verdict) == (Verdict.NORMAL, Verdict.DEFECT)
    assert fine.score < fine.threshold <= defective.score
    assert defective.bank == defective.normal_index == defective.defect_index == 1
    assert [neighbour.label for neighbour in defective.normals] == ["normal"] * 3
    assert {neighbour.product for neighbour in defective.normals + defective.defects} == {PRODUCT}
    assert defective.defects[0].label in ("scratch", "hole")
    assert defective.defects[0].similarity > 0.5
    assert defective.explanation == ""
    assert {"decode", "score", "neighbours", "total"} <= defective.seconds.keys()
    assert client.products.inspection(defective.id) == defective


def test_the_heat_map_shows_where_the_defect_is(client: ServiceClient) -> None:
    picture = plates(1, 5, size=(768, 448))[0]
    picture[300:340, 500:540] = 250
    answer = client.products.inspect(PRODUCT, encoded(picture, "PNG"), heat_map=True)
    image = base64.b64decode(answer.heat_map)
    assert client.products.heat_map(answer.id) == image
    scores = np.asarray(Image.open(io.BytesIO(image)))
    assert scores.shape == (14, 24)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert abs(row - 320 / 448 * 14) < 2
    assert abs(column - 520 / 768 * 24) < 2
    assert client.products.inspect(PRODUCT, good()).heat_map == ""


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/jpeg", ""])
def test_a_picture_comes_raw_or_as_a_form(running: Running, kind: str) -> None:
    address, query = f"{running.url}/inspect", {"product": PRODUCT, "part": "lot 7"}
    raw = httpx.post(address, params=query, headers=BEARER | {"Content-Type": kind} if kind else BEARER, content=good())
    form = httpx.post(address, params=query, headers=BEARER, files={"picture": ("a b.jpg", good(), "image/jpeg")})
    assert raw.status_code == form.status_code == 200, raw.text + form.text
    assert raw.json()["score"] == form.json()["score"]
    assert form.json()["part"] == "lot 7"


def test_a_bad_request_says_what_is_wrong(running: Running, client: ServiceClient) -> None:
    for content, why in ((b"", "it is empty"), (b"nonsense", "not a JPEG"), (good()[:1000], "cut off")):
        with pytest.raises(InputError, match=why):
            client.products.inspect(PRODUCT, content)
    with pytest.raises(InputError, match="34603008 bytes"):
        client.products.inspect(PRODUCT, bytes(34 << 20))
    with pytest.raises(InputError, match="Product lid"):
        client.products.inspect("lid", good())
    with pytest.raises(InputError, match="no memory bank yet"):
        client.products.inspect("unbuilt", good())
    address, query = f"{running.url}/inspect", {"product": PRODUCT}
    wrong = httpx.post(address, params=query, headers=BEARER, json={"picture": "x"})
    assert (wrong.status_code, wrong.json()["why"]) == (422, "its Content-Type is application/json")
    other = httpx.post(address, params=query, headers=BEARER, files={"image": good()})
    assert (other.status_code, other.json()["what"]) == (422, "body.picture")
    torn = {**BEARER, "Content-Type": "multipart/form-data; boundary=x"}
    assert httpx.post(address, params=query, headers=torn, content=b"--x\r\nnonsense").status_code == 422


def test_a_defect_becomes_an_event_with_all_that_follows(running: Running, client: ServiceClient) -> None:
    inspection = client.products.inspect(PRODUCT, scratched(7), part="lot 9")
    assert running.service.logger.flush(30)
    event = until(lambda: client.event(inspection.event), lambda event: event.response_time is not None)
    assert (event.camera, event.product, event.type, event.detector) == ("inspection", PRODUCT, "defect", "inspection")
    assert (event.started, event.ended, event.score) == (inspection.at, inspection.at, inspection.score)
    assert client.event_snapshot(event.id) == scratched(7)
    assert [one.id for one in client.events(EventQuery(product=PRODUCT, limit=1)).events] == [event.id]
    assert client.events(EventQuery(product="other")).events == []
    assert client.acknowledge([event.id], "seen") == 1
    days = client.statistics(StatisticsQuery(camera="inspection")).days
    assert sum(day.by_type.get("defect", 0) for day in days) >= 1
    assert [action.step for action in event.actions] == ["notify"]
    client.products.set_settings(PRODUCT, ProductSettings(events=False))
    assert client.products.inspect(PRODUCT, scratched(7)).event == ""
    client.products.set_settings(PRODUCT, ProductSettings())
    assert client.products.inspect(PRODUCT, good()).event == ""


def test_the_threshold_of_the_settings_decides(client: ServiceClient) -> None:
    score = client.products.inspect(PRODUCT, scratched()).score
    for threshold, verdict in ((score, Verdict.DEFECT), (min(1.0, score + 0.001), Verdict.NORMAL)):
        client.products.set_settings(PRODUCT, ProductSettings(threshold=threshold, events=False))
        answer = client.products.inspect(PRODUCT, scratched())
        assert (answer.verdict, answer.threshold) == (verdict, threshold)
        assert client.products.get(PRODUCT).threshold == threshold
        assert client.products.histogram(PRODUCT).threshold == threshold
    client.products.set_settings(PRODUCT, ProductSettings())


def test_products_show_what_is_known_of_them(client: ServiceClient) -> None:
    answer = client.products.all()
    assert [product.name for product in answer.products] == ["unbuilt", PRODUCT]
    unbuilt, built = answer.products
    assert (built.normal, built.defect, built.defect_types) == (NORMALS, 6, {"hole": 3, "scratch": 3})
    assert built.bank is not None
    assert (built.bank.number, built.bank.pictures, built.bank.current, built.trouble) == (1, NORMALS, True, [])
    assert unbuilt.bank is None
    assert unbuilt.trouble == ["it has no memory bank: rebuild it"]
    assert [index.name for index in answer.indexes] == ["normal", "defect"]
    assert all(index.current and index.current.entries and index.trouble == [] for index in answer.indexes)
    assert answer.storage_trouble == ""
    histogram = client.products.histogram(PRODUCT)
    assert (len(histogram.normal), sum(histogram.normal), sum(histogram.defect)) == (20, NORMALS, 6)
    with pytest.raises(InputError, match="no memory bank"):
        client.products.histogram("unbuilt")
    for call in (client.products.get, client.products.settings, client.products.histogram, client.products.rebuild):
        with pytest.raises(InputError, match="Product lid"):
            call("lid")
    with pytest.raises(InputError, match="Product lid"):
        client.products.set_settings("lid", ProductSettings())


def test_inspections_are_listed_filtered_and_exported(running: Running, client: ServiceClient) -> None:
    ids = [client.products.inspect(PRODUCT, good(seed), part="=1+1").id for seed in range(3)]
    query = InspectionQuery(product=PRODUCT, part="=1+1", limit=2)
    page = client.products.inspections(query)
    assert [one.id for one in page.inspections] == ids[:0:-1]
    assert [one.id for one in client.products.all_inspections(query)] == ids[::-1]
    assert client.products.inspections(InspectionQuery(verdict=Verdict.DEFECT, part="=1+1")).inspections == []
    address = f"{running.url}/inspections/export"
    text = httpx.get(address, params={"part": "=1+1"}, headers=BEARER)
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert [row["id"] for row in rows] == ids[::-1]
    assert {row["part"] for row in rows} == {"'=1+1"}
    document = httpx.get(address, params={"part": "=1+1", "format": "json"}, headers=BEARER).json()
    assert [one["id"] for one in document["inspections"]] == ids[::-1]
    assert httpx.get(address, params={"part": "none", "format": "json"}, headers=BEARER).json() == {"inspections": []}


def test_the_kept_picture_is_shown_in_forms_that_clients_read(client: ServiceClient) -> None:
    jpeg = client.products.inspect(PRODUCT, good())
    assert client.products.inspection_picture(jpeg.id) == good()
    png = client.products.inspect(PRODUCT, encoded(plates(1, 1, size=(384, 224))[0], "PNG"))
    assert client.products.inspection_picture(png.id)[:2] == b"\xff\xd8"
    assert client.products.inspection_thumbnail(png.id, 96).startswith(b"P6 96 56 255\n")


def stored(running: Running) -> set[str]:
    """Keys in the storage that a correction made."""
    images = running.service.settings.data / "images"
    return {f.relative_to(images).as_posix() for f in images.rglob("*.jpg") if len(f.stem) > 4}


def test_a_correction_moves_the_picture_and_the_next_rebuild_learns_from_it(
    running: Running, client: ServiceClient
) -> None:
    one = client.products.inspect(PRODUCT, scratched(11))
    corrected = client.products.correct(one.id, Correction(verdict=Verdict.NORMAL, note="only dust"))
    assert (corrected.corrected, corrected.corrected_by, corrected.note) == (Verdict.NORMAL, "service", "only dust")
    assert stored(running) == {f"normal/{PRODUCT}/{one.id}.jpg"}
    client.products.correct(one.id, Correction(verdict=Verdict.NORMAL))
    assert stored(running) == {f"normal/{PRODUCT}/{one.id}.jpg"}
    scratch = Correction(verdict=Verdict.DEFECT, defect_type="긁힘")
    assert client.products.correct(one.id, scratch).corrected_type == "긁힘"
    assert stored(running) == {f"defect/{PRODUCT}/긁힘/{one.id}.jpg"}
    images = running.service.settings.data / "images"
    assert (images / f"defect/{PRODUCT}/긁힘/{one.id}.jpg").read_bytes() == scratched(11)
    counted = until(lambda: client.products.get(PRODUCT), lambda product: "긁힘" in product.defect_types)
    assert counted.defect == 7
    for kind in ("../../etc", ".hidden", "a/b", "긁" * 86):
        unchecked = Correction.model_construct(verdict=Verdict.DEFECT, defect_type=kind)
        with pytest.raises(InputError, match="defect_type"):
            client.products.correct(one.id, unchecked)
    assert [o.id for o in client.products.inspections(InspectionQuery(corrected=True)).inspections] == [one.id]


def test_with_the_storage_down_nothing_is_half_done(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    for name in (f"index-{subject}" for subject in ("normal", "defect")):
        shutil.copytree(running.service.settings.inspection_folder / name, data / "inspection" / name)
    shutil.copytree(running.service.settings.inspection_folder / "banks", data / "inspection" / "banks")
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    with HeldPort() as port:  # nothing listens there
        url = f"s3://bucket?endpoint=http://127.0.0.1:{port.number}&key={KEY_VARIABLE}&secret={SECRET_VARIABLE}"
        _check_outage(data, url)


def _check_outage(data: Path, url: str) -> None:
    with served(data, onnx_provider="cpu", storage_url=url) as down:
        client = down.client()
        answer = until(client.products.all, lambda answer: answer.storage_trouble)
        (product,) = answer.products
        assert (product.name, product.normal, product.defect, product.trouble) == (PRODUCT, None, None, [])
        one = client.products.inspect(PRODUCT, scratched(12))
        assert one.verdict is Verdict.DEFECT
        body = Correction(verdict=Verdict.NORMAL).model_dump(mode="json")
        refused = httpx.post(f"{down.url}/inspections/{one.id}/correct", json=body, headers=BEARER, timeout=60)
        assert refused.status_code == 503, refused.text
        assert client.products.inspection(one.id) == one


def test_rebuilding_starts_jobs(running: Running, client: ServiceClient) -> None:
    address = f"{running.url}/products/{PRODUCT}/rollback"
    started = httpx.post(address, headers=BEARER)
    assert started.status_code == 202, started.text
    job = started.json()
    assert (job["kind"], job["subject"]) == ("rollback", f"bank:{PRODUCT}")
    assert started.headers["location"] == f"/jobs/{job['id']}"
    assert job["by"].startswith("service from 127.0.0.1")
    assert client.products.rollback_index("defect").subject == "index:defect"


def test_a_schedule_rebuilds_the_banks_and_both_indexes_once(running: Running, client: ServiceClient) -> None:
    day = datetime.now(timezone.utc) + timedelta(days=1)
    slot = day.replace(hour=3, minute=0, second=0, microsecond=0)
    nightly = ProductSettings(rebuild=RebuildSchedule(at=slot.time()))
    for product in (PRODUCT, "unbuilt"):
        client.products.set_settings(product, nightly)
    for seconds in (5, 15):
        running.service.inspection._timer.run_once(slot + timedelta(seconds=seconds))
    started = [job for job in client.jobs.page().jobs if job.by == "the schedule"]
    wanted = [("banks", PRODUCT), ("banks", "unbuilt"), ("index", "defect"), ("index", "normal")]
    assert sorted((job.kind, job.subject) for job in started) == sorted(wanted)
    for job in started:
        client.jobs.cancel(job.id)
    for product in (PRODUCT, "unbuilt"):
        client.products.set_settings(product, ProductSettings())


def test_a_dropped_picture_gets_its_result(running: Running, client: ServiceClient) -> None:
    folder = running.service.settings.data / "inbox" / PRODUCT
    folder.mkdir()
    (folder / "lot-5.jpg").write_bytes(scratched(13))
    until(lambda: (folder / "lot-5.jpg.json").exists(), bool)
    result = json.loads((folder / "lot-5.jpg.json").read_text())["inspection"]
    assert client.products.inspection(result["id"]).model_dump(mode="json") == result
    assert (result["verdict"], result["part"]) == ("defect", "lot-5")
    status = until(lambda: client.status().inspect_folder, lambda status: not status.waiting)
    assert (status.state, status.inspected) == ("ok", 1)


def test_an_inspection_that_cannot_be_stored_is_counted(running: Running, client: ServiceClient) -> None:
    waiting = running.service.settings.inspection_folder / "waiting"
    waiting.mkdir(parents=True, exist_ok=True)
    (waiting / "0.json").write_text("damaged")
    for chore in running.service.inspection.chores.values():
        chore()
    assert client.status().inspections_refused == 1
    metrics = httpx.get(f"{running.url}/metrics", headers=BEARER).text
    assert "xaiva_inspections_refused 1.0" in metrics.splitlines()


def test_pictures_that_wait_for_their_turn_are_bounded(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    inspect = running.service.inspection.inspect

    def slow(*arguments: Any, **options: Any) -> Inspection:
        assert done.wait(30)
        return inspect(*arguments, **options)

    monkeypatch.setattr(running.service.inspection, "inspect", slow)
    most = INSPECTIONS.at_once + INSPECTIONS.waiting
    answers: queue.SimpleQueue[httpx.Response] = queue.SimpleQueue()

    def send() -> None:
        query = {"product": PRODUCT}
        answers.put(httpx.post(f"{running.url}/inspect", params=query, headers=BEARER, content=good(), timeout=30))

    threads = [threading.Thread(target=send) for _ in range(most + 3)]
    for thread in threads:
        thread.start()
    refused = [answers.get(timeout=30) for _ in range(3)]
    assert {answer.status_code for answer in refused} == {429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    done.set()
    assert {answers.get(timeout=30).status_code for _ in range(most)} == {200}
    for thread in threads:
        thread.join(30)
