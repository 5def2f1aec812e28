"""The sample's products and jobs: banks that are being rebuilt, a failed index, a queue, inspections with a defect."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from datetime import datetime, time, timezone

from core.api_schema import (
    Correction,
    Generation,
    IndexStatus,
    Inspection,
    InspectionPage,
    InspectionQuery,
    Job,
    JobFailure,
    JobHistoryEntry,
    JobLog,
    JobPage,
    JobPriority,
    JobQuery,
    JobStage,
    JobState,
    Neighbour,
    Product,
    Products,
    ProductSettings,
    RebuildSchedule,
    ScoreHistogram,
    Verdict,
)
from tests.tui.sample_machine import MIB, NOON
from tui.inspection_sources import JobList

STORAGE = "s3://inspection/line-3"
LOG = [
    "12:00:07 list: 650 objects below normal/, 12.4 MiB of them new",
    "12:00:09 fetch: normal/bottle/0412.jpg: fetched, 312 KiB",
    "12:01:30 cap: warning: normal/cap/0007.tif: not a picture: it ends after 512 bytes",
    "12:01:44 screw: coreset: 1200 of 2048 patches",
]


def when(seconds: float) -> datetime:
    """Seconds after noon as a time of the service."""
    return datetime.fromtimestamp(NOON + seconds, timezone.utc)


def generation(number: int, seconds: float, pictures: int, entries: int, model: str, why: str = "") -> Generation:
    return Generation(
        number=number, made=when(seconds), pictures=pictures, entries=entries, model=model, current=True, why=why
    )


CHANGED = "have changed since {} was built: rebuild it"


def products() -> Products:
    """Two indexes and four products: a good one, a stale one, a broken one, one without a bank."""
    clip, lite = "clip-vit-b32 3f9a61c0", "efficientnet-lite0 77b01d2e"
    nightly = RebuildSchedule(days=(0, 1, 2, 3, 4), at=time(2, 30))
    bottle = Product(
        name="bottle", normal=209, defect=63, defect_types={"crack": 22, "scratch": 41}, threshold=0.62,
        settings=ProductSettings(threshold=0.62, tiles=(2, 1), rebuild=nightly),
        bank=generation(7, -3 * 3600, 209, 2048, lite), previous_bank=generation(6, -90_000, 204, 2048, lite),
        last_job=41, inspected=1204, defective=31, last_inspection=when(170),
    )  # fmt: skip
    cap = Product(
        name="cap", normal=88, defect=12, defect_types={"dent": 12}, threshold=0.5,
        bank=generation(3, -6 * 86400, 71, 1024, lite), last_job=41, inspected=96, defective=4,
        last_inspection=when(-5400), trouble=[f"normal pictures {CHANGED.format('its memory bank')}"],
    )  # fmt: skip
    why = "features.npy is not what was written"
    screw = Product(
        name="screw M4", normal=130, defect=0, threshold=0.5, bank=generation(2, -86400, 130, 1024, lite, why),
        previous_bank=generation(1, -2 * 86400, 120, 1024, lite),
        last_job=41, trouble=[f"memory bank 2 cannot be used ({why}): 1 answers"],
    )  # fmt: skip
    label = Product(name="label", normal=4, defect=0, trouble=["it has no memory bank yet"])
    return Products(
        products=[bottle, cap, label, screw],
        indexes=[
            IndexStatus(
                name="normal", current=generation(12, -3600, 431, 431, clip),
                previous=generation(11, -86400, 410, 410, clip), last_job=40,
                trouble=[f"normal pictures {CHANGED.format('the index')}"],
            ),
            IndexStatus(
                name="defect", current=generation(9, -2 * 86400, 70, 70, clip), last_job=42,
                trouble=["its last rebuild failed: generation 9 answers"],
            ),
        ],
        storage=STORAGE,
        counted=when(120),
    )  # fmt: skip


def products_without_storage() -> Products:
    """The same, while the storage does not answer."""
    listed = products()
    unknown = [product.model_copy(update={"normal": None, "defect": None}) for product in listed.products]
    why = "s3.line-3.example.org: connection refused"
    return listed.model_copy(update={"products": unknown, "storage_trouble": why, "counted": None})


def inspections() -> InspectionPage:
    """Six of one product, the newest one a defect, one of them corrected."""
    rows = (
        (170.0, 0.87, "L42-0193", ("scratch", 0.941)),
        (121.5, 0.31, "L42-0192", ("crack", 0.402)),
        (74.0, 0.28, "L42-0191", ("scratch", 0.377)),
        (21.0, 0.66, "L42-0190", ("crack", 0.655)),
        (-40.0, 0.35, "L42-0189", ("scratch", 0.391)),
        (-95.0, 0.30, "", ("scratch", 0.366)),
    )
    listed = [
        Inspection(
            id=f"0195-{index:04}", product="bottle", part=part, at=when(seconds), score=score, threshold=0.62,
            verdict=Verdict.DEFECT if score >= 0.62 else Verdict.NORMAL, bank=7, normal_index=12, defect_index=9,
            normals=[Neighbour(key="normal/bottle/0412.jpg", label="normal", product="bottle", similarity=0.972)],
            defects=[
                Neighbour(key=f"defect/bottle/{kind}/0007.jpg", label=kind, product="bottle", similarity=similarity)
            ],
            picture=index != 5,
            seconds={"decode": 0.012, "features": 0.031, "score": 0.004, "neighbours": 0.002, "total": 0.049},
            corrected=Verdict.NORMAL if index == 3 else None, corrected_by="ana" if index == 3 else "",
            note="a drop of water" if index == 3 else "",
        )
        for index, (seconds, score, part, (kind, similarity)) in enumerate(rows)
    ]  # fmt: skip
    return InspectionPage(inspections=listed, next="more")


def stages() -> list[JobStage]:
    """Banks of all products: two are done, one is in work."""

    def part(name: str, state: str, start: float, end: float = 0, **more: float | str) -> JobStage:
        started, ended = (NOON + start if start else 0), (NOON + end if end else 0)
        return JobStage.model_validate(
            {"id": name, "title": name, "state": state, "started": started, "ended": ended, "parent": "banks", **more}
        )

    return [
        JobStage(id="list", title="List", state="done", started=NOON + 2, ended=NOON + 4, done=650, total=650),
        JobStage(
            id="fetch", title="Fetch", state="done", done=13 * MIB, total=13 * MIB, unit="bytes", started=NOON + 3,
            ended=NOON + 61,
        ),
        JobStage(
            id="banks", title="Memory banks", state="running", done=2, total=4, unit="products", started=NOON + 20
        ),
        part("bottle", "cached", 61, 62),
        part("cap", "done", 62, 104),
        part("screw", "running", 104, done=1200.0, total=2048.0, unit="patches"),
        part("label", "waiting", 0),
    ]  # fmt: skip


def job(id: int, kind: str, subject: str, state: JobState, start: float, took: float, **more: object) -> Job:
    """A job that was started at `start` seconds after noon and took so long."""
    ended = when(start + took) if not state.live else None
    started = None if state is JobState.QUEUED else when(start)
    fields: dict[str, object] = {
        "id": id, "kind": kind, "subject": subject, "key": f"{kind}:{subject}", "state": state, "attempt": 1,
        "created": when(start - 2), "started": started, "ended": ended, "seconds": took, "by": "ana",
        "resources": ["cpu"], **more,
    }  # fmt: skip
    return Job.model_validate(fields)


def recent_jobs() -> list[Job]:
    """One that runs, two that wait, and what went before."""
    why = "s3.line-3.example.org: connection refused"
    failure = JobFailure(what="index defect", why=why, remedy="check the storage: xaiva storage ls")
    waits = "waits for 900 MB on cuda:0; used by camera hall, camera gate-1"
    finding = {"level": "warning", "what": "normal/cap/0007.tif", "why": "it is not a picture: it ends after 512 bytes"}
    return [
        job(44, "banks", "bottle", JobState.QUEUED, 95, 0, why_queued="job 43 works on it", by="ben", attempt=0),
        job(43, "banks", "", JobState.RUNNING, 2, 185, resources=["gpu:0"]),
        job(45, "index", "normal", JobState.QUEUED, 60, 0, why_queued=waits, priority=JobPriority.HIGH, attempt=0),
        job(42, "index", "defect", JobState.FAILED, -1800, 63, failure=failure, attempt=3),
        job(
            41, "banks", "", JobState.DONE, -11_000, 204, by="",
            result={"products": 4, "patches": 6144, "findings": [finding]},
        ),
        job(40, "index", "normal", JobState.DONE, -3700, 71, result={"generation": 12, "pictures": 431, "new": 21}),
        job(39, "rollback", "index:normal", JobState.DONE, -5200, 0.2, result={"generation": 11}),
        job(38, "index", "normal", JobState.CANCELLED, -5400, 12),
    ]  # fmt: skip


def jobs() -> JobList:
    """The list of the screen, newest first."""
    return JobList(JobQuery(), sorted(recent_jobs(), key=lambda one: -one.id), False)


def with_stages(one: Job) -> Job:
    """A job as it comes alone: with stages and history."""
    entries = [("asked for", "ana at gpu-box"), ("started, attempt 1", "")]
    history = [
        JobHistoryEntry(seq=900 + number, at=when(number * 2), what=what, by=by)
        for number, (what, by) in enumerate(entries)
    ]
    return one.model_copy(update={"stages": stages() if one.kind == "banks" else [], "history": history})


def all_jobs() -> list[Job]:
    """What the source of the job under the cursor answers; the screen takes its own from it."""
    return [with_stages(one) for one in jobs().jobs]


def histogram(product: str) -> ScoreHistogram:
    normal = [0, 0, 3, 8, 14, 12, 7, 4, 2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    defect = [0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 2, 3, 5, 9, 11, 14, 8, 6, 2, 1]
    return ScoreHistogram(product=product, threshold=0.62, normal=normal, defect=defect)


def grey_png(width: int, height: int, values: bytes, filters: Sequence[int] = ()) -> bytes:
    """A PNG of 8-bit grey; `filters`: what was done to each row of `values`, by default nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = [values[at : at + width] for at in range(0, width * height, width)]
    data = b"".join(bytes([kind]) + row for kind, row in zip(filters or [0] * height, rows, strict=True))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def heat_map() -> bytes:
    """16 x 9 places, hot right of the middle."""
    spots = [max(0.0, 1 - ((x - 10) ** 2 + (y - 6) ** 2) / 9) for y in range(9) for x in range(16)]
    return grey_png(16, 9, bytes(int(value * 255) for value in spots))


class SampleJobs:
    """Stands in for the client's jobs."""

    def page(self, _query: JobQuery) -> JobPage:
        return JobPage(jobs=jobs().jobs)

    def get(self, number: int) -> Job:
        return next(with_stages(one) for one in recent_jobs() if one.id == number)

    def log(self, _number: int, offset: int) -> JobLog:
        return JobLog(lines=LOG[offset:], next=len(LOG), end=True)

    def cancel(self, number: int) -> Job:
        return self.get(number)

    def retry(self, number: int) -> Job:
        return self.get(number)


class SampleProducts:
    """Stands in for the client's products."""

    def __init__(self, picture: object) -> None:
        self._picture = picture

    def all(self) -> Products:
        return products()

    def inspections(self, _query: InspectionQuery) -> InspectionPage:
        return inspections()

    def inspection_thumbnail(self, _inspection: str, width: int) -> bytes:
        return self._picture(width)  # type: ignore[operator,no-any-return]

    def heat_map(self, _inspection: str) -> bytes:
        return heat_map()

    def histogram(self, product: str) -> ScoreHistogram:
        return histogram(product)

    def settings(self, product: str) -> ProductSettings:
        return next(one.settings for one in products().products if one.name == product)

    def set_settings(self, _product: str, settings: ProductSettings) -> ProductSettings:
        return settings

    def correct(self, inspection: str, _correction: Correction) -> Inspection:
        return next(one for one in inspections().inspections if one.id == inspection)

    def rebuild(self, _product: str) -> Job:
        return recent_jobs()[1]

    def rebuild_all(self) -> Job:
        return recent_jobs()[1]

    def rollback(self, _product: str) -> Job:
        return recent_jobs()[1]

    def rebuild_index(self, _name: str) -> Job:
        return recent_jobs()[2]

    def rollback_index(self, _name: str) -> Job:
        return recent_jobs()[2]
