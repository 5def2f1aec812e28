"""Metrics in Prometheus' text format. The only label is a camera's id, so no address, name or user can appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from core.api_schema import CameraState, CameraStatus, Role, ServiceStatus
from core.inference.api.access import CurrentCaller, ResponseDocs, Service, require_role
from core.inference.api.threads import STATUS, routes_in
from core.inference.api.visibility import visible_status

router = APIRouter(tags=["health"], route_class=routes_in(STATUS))

_FORM = "text/plain; version=0.0.4; charset=utf-8"
_TEXT: ResponseDocs = {200: {"description": "The metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}}

StatusT = TypeVar("StatusT")


@dataclass(frozen=True)
class _Metric(Generic[StatusT]):
    """A metric. `counts`: it is a counter. A value of None is left out."""

    name: str
    meaning: str
    value: Callable[[StatusT], float | None]
    counts: bool = False


_SERVICE_METRICS: tuple[_Metric[ServiceStatus], ...] = (
    _Metric("uptime_seconds", "Seconds since the service started", lambda it: it.uptime),
    _Metric("resident_bytes", "Resident memory of the process", lambda it: it.rss),
    _Metric("events_logged", "Events decided", lambda it: it.logger.logged, counts=True),
    _Metric("events_written", "Events in the database", lambda it: it.logger.written, counts=True),
    _Metric("events_waiting", "Events on disk that are not in the database yet", lambda it: it.logger.waiting),
    _Metric("events_waiting_seconds", "Age of the oldest of them", lambda it: it.logger.oldest or 0),
    _Metric("events_unacknowledged", "Events nobody has acknowledged", lambda it: it.unacknowledged),
    _Metric("analyser_answered", "Answers of the analyser", lambda it: it.analyser.answered, counts=True),
    _Metric("analyser_failed", "Questions it failed to answer", lambda it: it.analyser.failed, counts=True),
    _Metric("analyser_queue", "Events waiting for it", lambda it: it.analyser.queue),
    _Metric("outbox_waiting", "Notifications waiting", lambda it: it.outbox.waiting),
    _Metric("outbox_sent", "Notifications sent", lambda it: it.outbox.sent),
    _Metric("outbox_given_up", "Notifications given up", lambda it: it.outbox.given_up),
    _Metric("inspections_refused", "Inspections that the database refused", lambda it: it.inspections_refused),
    _Metric("storage_used_bytes", "Clips and pictures on disk", lambda it: it.storage.used),
    _Metric("storage_free_bytes", "Free on their disk", lambda it: it.storage.free),
    _Metric("models_bytes", "Measured memory of the models", lambda it: it.ledger.ours if it.ledger else None),
    _Metric("models_free_bytes", "Memory left for models", lambda it: it.ledger.free if it.ledger else None),
)

_CAMERA_METRICS: tuple[_Metric[CameraStatus], ...] = (
    _Metric("live", "1 while it receives pictures", lambda it: float(it.state is CameraState.LIVE)),
    _Metric("failed", "1 once its restart budget is used up", lambda it: float(it.state is CameraState.FAILED)),
    _Metric("alerts", "Current alerts: frozen, black or moved", lambda it: len(it.alerts)),
    _Metric("anomaly", "1 during an event", lambda it: float(bool(it.anomaly))),
    _Metric("frames", "Frames decoded", lambda it: it.frames, counts=True),
    _Metric("dropped", "Frames due for scoring that a newer one replaced", lambda it: it.dropped, counts=True),
    _Metric("damaged", "Packets that could not be decoded", lambda it: it.damaged, counts=True),
    _Metric("reconnects", "Connections after the first", lambda it: it.reconnects, counts=True),
    _Metric("restarts", "Restarts after a crash", lambda it: it.restarts, counts=True),
    _Metric("decoded_per_second", "Frames decoded per second", lambda it: it.fps),
    _Metric("scored_per_second", "Frames scored per second", lambda it: it.processed_fps),
    _Metric("frame_age_seconds", "Age of the newest frame", lambda it: it.last_frame_age),
    _Metric("latency_seconds", "Median from capture to decision", lambda it: it.latency),
    _Metric("latency_p99_seconds", "99th percentile of the same", lambda it: it.latency_p99),
    _Metric("score", "The newest score", lambda it: it.score),
    _Metric("threshold", "An anomaly starts at this score", lambda it: it.threshold),
)


class _StatusCollector(Collector):
    """Collects the metrics of one service status for Prometheus."""

    def __init__(self, status: ServiceStatus) -> None:
        self._status = status

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All metrics, those of cameras labelled with their ids."""
        for figure in _SERVICE_METRICS:
            yield _family(f"xaiva_{figure.name}", figure, [(self._status, [])], [])
        cameras = [(camera, [camera.id]) for camera in self._status.cameras]
        for of_camera in _CAMERA_METRICS:
            yield _family(f"xaiva_camera_{of_camera.name}", of_camera, cameras, ["camera"])


def _family(
    name: str, figure: _Metric[StatusT], subjects: Sequence[tuple[StatusT, list[str]]], labels: list[str]
) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if figure.counts else GaugeMetricFamily
    family = kind(name, figure.meaning, labels=labels)
    for subject, values in subjects:
        value = figure.value(subject)
        if value is not None:
            family.add_metric(values, value)
    return family


@router.get("/metrics", response_class=Response, **require_role(Role.VIEWER, content=_TEXT))
def metrics(service: Service, caller: CurrentCaller) -> Response:
    """Metrics for Prometheus, which needs a token (`authorization` in its scrape configuration)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(visible_status(service, caller)))
    return Response(generate_latest(registry), media_type=_FORM)
