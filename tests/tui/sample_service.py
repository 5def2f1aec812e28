"""The sample's inference service: cameras, events, statistics, rules and users."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from core.api_schema import (
    ActionResult,
    AlertKind,
    AnalyserStatus,
    Analysis,
    AnalysisState,
    CameraAlert,
    CameraRequest,
    CameraState,
    CameraStatus,
    Channel,
    ChannelKind,
    Clip,
    ConnectionTest,
    DayStatistics,
    Delivery,
    Detection,
    Event,
    EventPage,
    EventQuery,
    Fact,
    Learning,
    LedgerStatus,
    LoggerStatus,
    ModelStatus,
    OutboxStatus,
    Priority,
    Role,
    Rule,
    ServiceStatus,
    Statistics,
    StatisticsQuery,
    StorageStatus,
    User,
    Window,
    Zone,
)
from tests.tui.sample_inspection import SampleJobs, SampleProducts
from tests.tui.sample_machine import GIB, MIB, NOON, wave
from tui.event_feed import EventList
from tui.sources import ServiceView


def cameras() -> ServiceStatus:
    """Two live, one with an anomaly, one that learns, one frozen, one lost, one that failed, one that rests."""
    names = ("gate-1", "gate-2", "hall", "yard", "ramp", "dock", "depot", "office")
    live = [
        CameraStatus(
            id=name,
            name=name,
            source=f"rtsp://10.0.0.{20 + index}/stream",
            state=CameraState.LIVE,
            width=1920,
            height=1080,
            codec="h264",
            fps=25.0,
            processed_fps=5.0,
            frames=81_230,
            dropped=12 if index == 2 else 0,
            last_frame_age=0.04,
            latency=0.04,
            latency_p99=0.12,
            score=0.21 + index / 50,
            scores=[value / 100 for value in wave(5 + index * 3, 34 + index * 4, 60)],
            since=NOON,
            model="memory" if index % 2 == 0 else "motion",
            vram=212 * MIB if index % 2 == 0 else 0,
            decode_ms=4.2,
        )
        for index, name in enumerate(names)
    ]
    gate, gate2, hall, yard, ramp, dock, depot, office = live
    anomaly = [*hall.scores[:48], 0.44, 0.52, 0.63, 0.71, 0.69, 0.74, 0.81, 0.78, 0.72, 0.77, 0.74, 0.76]
    down = {"score": None, "last_frame_age": 14.0, "scores": [], "fps": 0.0, "processed_fps": 0.0, "latency": None}
    frozen = CameraAlert(kind=AlertKind.FROZEN, since=NOON, reason="the picture has not changed for 40 s")
    return ServiceStatus(
        version="0.1.0",
        started=NOON,
        uptime=10_800,
        rss=412 * MIB,
        cameras=[
            gate,
            gate2,
            hall.model_copy(update={"scores": anomaly, "score": 0.76, "anomaly": "0195"}),
            yard.model_copy(
                update={
                    **down,
                    "state": CameraState.DISCONNECTED,
                    "cause": "timeout",
                    "reason": "no frame for 10 s",
                    "retry_in": 4,
                    "reconnects": 3,
                }
            ),
            ramp.model_copy(update={"learning": Learning(done=258, wanted=600), "model": "memory"}),
            dock.model_copy(update={"alerts": [frozen]}),
            depot.model_copy(
                update={
                    **down,
                    "state": CameraState.FAILED,
                    "reason": "its pipeline broke down 5 times in 10 min",
                    "restarts": 5,
                }
            ),
            office.model_copy(update={"scheduled": False, "suspended_until": NOON + 3600}),
        ],
        ledger=LedgerStatus(
            device="cuda:0 NVIDIA GeForce GTX 1060 6GB",
            total=6 * GIB,
            reserve=500 * MIB,
            ours=980 * MIB,
            others=1100 * MIB,
            free=3564 * MIB,
            drift=14 * MIB,
            models=[
                ModelStatus(
                    key="memory:efficientnet-lite0",
                    state="ready",
                    provider="CUDA",
                    cost=212 * MIB,
                    measured=True,
                    leases=3,
                    rate=15.1,
                    wait=0.009,
                    batch=2.6,
                ),
                ModelStatus(
                    key="persons",
                    state="idle",
                    provider="CUDA",
                    cost=768 * MIB,
                    measured=True,
                    rate=0.2,
                    pinned=True,
                ),
            ],
        ),
        logger=LoggerStatus(state="behind", why="the database is locked", waiting=3, oldest=8.0, written=1204),
        analyser=AnalyserStatus(state="ready", backend="qwen2-vl-2b", answered=311, failed=2),
        outbox=OutboxStatus(waiting=2, oldest=190.0, sent=87, why="mail.example.org: connection refused"),
        storage=StorageStatus(clips=412, used=9 * GIB, free=260 * GIB),
        newest_event="0195",
        unacknowledged=4,
        zone="Europe/Berlin",
    )


def events() -> EventList:
    noon = datetime.fromtimestamp(NOON, timezone.utc)
    rows = (
        ("hall", "person", Priority.HIGH, 0.81, 0, "A person in dark clothes walks along the closed counters."),
        ("gate-1", "vehicle", Priority.NORMAL, 0.67, 31, "A white van stands in front of the gate with open doors."),
        ("gate-1", "anomaly", Priority.NORMAL, 0.58, 44, ""),
        ("dock", "object", Priority.CRITICAL, 0.93, 95, "A crate has fallen from a pallet and blocks the way."),
        ("yard", "anomaly", Priority.LOW, 0.52, 260, "Headlights of a passing car on the wall."),
        ("ramp", "person", Priority.NORMAL, 0.61, 431, "Two people load boxes."),
    )
    out = []
    for index, (camera, kind, priority, score, minutes, words) in enumerate(rows):
        started = noon - timedelta(minutes=minutes)
        done = index >= 4
        out.append(
            Event(
                id=f"0195-{index}",
                camera=camera,
                camera_name=camera,
                type=kind,
                priority=priority,
                started=started,
                decided=started + timedelta(seconds=1.2),
                ended=None if index == 0 else started + timedelta(seconds=20 + index * 7),
                score=score,
                threshold=0.5,
                detector="memory",
                snapshot=True,
                clip=Clip(state="recording") if index == 0 else Clip(state="done", seconds=31, bytes=4_100_000),
                analysis=Analysis(
                    state=AnalysisState.DONE if words else AnalysisState.PENDING,
                    description=words,
                    confidence=0.86 if words else None,
                    backend="qwen2-vl-2b",
                    seconds=2.4 if words else None,
                ),
                facts=[Fact(label="person", score=0.88, box=(0.4, 0.3, 0.5, 0.9))] if kind == "person" else [],
                actions=[
                    ActionResult(step="notify", state="done", detail="night-shift", seconds=0.2, at=started),
                    ActionResult(
                        step="call webhook", state="failed", detail="the door answers 503", seconds=1.1, at=started
                    ),
                ],
                response_time=3.9,
                protected=index == 3,
                acknowledged=noon if done else None,
                acknowledged_by="ana" if done else "",
                note="the usual delivery" if index == 5 else "",
            )
        )
    return EventList(EventQuery(), out, False)


def statistics() -> Statistics:
    today = date(2026, 1, 31)
    days = [
        DayStatistics(
            date=today - timedelta(days=29 - number),
            camera=camera,
            events=(count := (number * step + 3) % 17 + step),
            acknowledged=count if number < 27 else count // 3,
            by_type={"person": count // 2, "vehicle": count // 3, "anomaly": count - count // 2 - count // 3},
            by_priority={"normal": count - count // 5, "high": count // 5},
            by_hour=[count if hour == (number + step) % 24 else 0 for hour in range(24)],
            highest_score=0.6 + step / 40,
            mean_response=2.0 + step / 10,
        )
        for number in range(30)
        for camera, step in (("gate-1", 7), ("hall", 5), ("dock", 2))
    ]
    return Statistics(zone="Europe/Berlin", days=days)


def service() -> ServiceView:
    noon = datetime.fromtimestamp(NOON, timezone.utc)
    mail = Channel(kind=ChannelKind.EMAIL, to="night-shift@example.org")
    hook = Channel(kind=ChannelKind.WEBHOOK, to="https://door.example.org/hook", secret_variable="DOOR_KEY")
    every: dict[str, Any] = {"cameras": (), "types": (), "within": 15}
    rules = [
        Rule(
            name="night-shift",
            enabled=True,
            priority=Priority.HIGH,
            schedule=(Window(days=(0, 1, 2, 3, 4), start=time(18), end=time(6)), Window(days=(5, 6))),
            channels=(mail, hook),
            **every,
        ),
        Rule(name="everything", enabled=False, priority=Priority.LOW, schedule=(), channels=(mail,), **every),
    ]
    users = [
        User(name="ana", role=Role.ADMIN, created=noon, last_login=noon),
        User(name="ben", role=Role.OPERATOR, created=noon, cameras=["gate-1", "gate-2"]),
        User(name="wall", role=Role.VIEWER, created=noon, active=False),
    ]
    delivery = Delivery(
        id="1", rule="night-shift", kind=ChannelKind.EMAIL, to=mail.to, state="sent", created=noon, sent=noon, count=3
    )
    waits = delivery.model_copy(
        update={
            "id": "2",
            "state": "waiting",
            "to": hook.to,
            "sent": None,
            "why": "door.example.org: connection refused",
        }
    )
    return ServiceView(rules, users, [waits, delivery], "ana")


def picture(width: int) -> bytes:
    """A street at dusk as PPM: sky, houses, the road, somebody on it."""
    height = round(width * 9 / 16)
    rows = []
    for y in range(height):
        v = y / height
        row = bytearray()
        for x in range(width):
            u = x / width
            if v < 0.45 - 0.18 * (int(u * 9) % 3 == 1) - 0.08 * (int(u * 9) % 2):
                colour = (70 + int(90 * v), 90 + int(110 * v), 130 + int(120 * v))
            elif v < 0.56:
                bright = int(u * 54) % 3 == 1 and int(v * 40) % 2 == 0
                colour = (232, 196, 120) if bright else (62 + int(u * 9) * 7, 58 + int(u * 9) * 4, 66)
            elif abs(u - 0.5) < (v - 0.5) * 1.1:
                line = abs(u - 0.5) < 0.012 * v and int(v * 30) % 2 == 0
                colour = (210, 210, 190) if line else (54 + int(40 * v), 56 + int(40 * v), 62 + int(40 * v))
            else:
                colour = (66, 92 + int(30 * v), 60)
            if abs(u - 0.62) < 0.018 and 0.52 < v < 0.8:
                colour = (190, 60, 50) if v > 0.585 else (224, 182, 150)
            row += bytes(colour)
        rows.append(bytes(row))
    return b"P6 %d %d 255\n" % (width, height) + b"".join(rows)


class SampleService:
    """Stands in for the client of the service: pictures, and settings for the form."""

    def __init__(self) -> None:
        self.jobs = SampleJobs()
        self.products = SampleProducts(picture)

    def thumbnail(self, _camera: str, width: int) -> bytes:
        return picture(width)

    def event_thumbnail(self, _event: str, width: int) -> bytes:
        return picture(width)

    def camera_settings(self, camera: str) -> CameraRequest:
        """One with a zone and a schedule."""
        return CameraRequest(
            id=camera,
            source="rtsp://10.0.0.20/stream",
            detection=Detection(detector="memory", threshold=0.5),
            zones=(Zone(name="gate", polygon=((0, 0.5), (0.6, 0.5), (0.6, 1), (0, 1))),),
            schedule=(Window(days=(0, 1, 2, 3, 4), start=time(18), end=time(6)), Window(days=(5, 6))),
        )

    def learn(self, camera: str, minutes: float) -> None:
        """Nobody asks it to."""

    def suspend(self, camera: str, minutes: float) -> None:
        """Nobody asks it to."""

    def test_camera(self, request: CameraRequest) -> ConnectionTest:
        return ConnectionTest(ok=True, width=1920, height=1080, codec="h264", fps=25.0, seconds=0.8)

    def events(self, _query: EventQuery) -> EventPage:
        return EventPage(events=events().events)

    def statistics(self, _query: StatisticsQuery) -> Statistics:
        return statistics()
