"""Resource usage of containers: CPU, memory without the page cache, network, disk, processes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.containers.model import ContainerStats
from core.engine import engine_errors

if TYPE_CHECKING:
    import docker

_ONE_SHOT_API = (1, 41)  # older engines take a second measurement before they answer


@dataclass(frozen=True)
class _StatsSample:
    raw: dict[str, Any]
    at: float  # monotonic seconds


class StatsSampler:
    """Samples the statistics of containers, one call each. CPU and rates are differences to the previous sample."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._last: dict[str, _StatsSample] = {}
        version = tuple(int(part) for part in re.findall(r"\d+", client.api.api_version)[:2])
        self._one_shot = True if version >= _ONE_SHOT_API else None

    def sample(self, ids: Iterable[str]) -> dict[str, ContainerStats]:
        """Statistics by container id, without containers that have none. Raises EngineError."""
        import docker.errors

        samples: dict[str, _StatsSample] = {}
        for identity in ids:
            with engine_errors(f"Statistics of container {identity[:12]}"):
                try:
                    raw = self._client.api.stats(identity, stream=False, one_shot=self._one_shot)
                except docker.errors.APIError:
                    continue  # it was removed, or has no statistics in its state
            samples[identity] = _StatsSample(raw, time.monotonic())
        stats = {identity: _compute_stats(self._last.get(identity), sample) for identity, sample in samples.items()}
        self._last = samples
        return stats


def _compute_stats(last: _StatsSample | None, now: _StatsSample) -> ContainerStats:
    memory = now.raw.get("memory_stats") or {}
    received, sent = _network_bytes(now.raw)
    read, written = _disk_bytes(now.raw)
    network_rates = (None, None) if last is None else _rates(last, now, _network_bytes)
    disk_rates = (None, None) if last is None else _rates(last, now, _disk_bytes)
    return ContainerStats(
        cpu_percent=None if last is None else _cpu_percent(last, now),
        memory=_memory_bytes(memory),
        memory_limit=int(memory.get("limit") or 0),
        network_received=received,
        network_sent=sent,
        network_received_rate=network_rates[0],
        network_sent_rate=network_rates[1],
        disk_read=read,
        disk_written=written,
        disk_read_rate=disk_rates[0],
        disk_written_rate=disk_rates[1],
        pids=int((now.raw.get("pids_stats") or {}).get("current") or 0),
    )


def _cpu_percent(last: _StatsSample, now: _StatsSample) -> float | None:
    """Percent of one core between two samples; None when it cannot be computed."""
    seconds = now.at - last.at
    before, after = _cpu_nanoseconds(last.raw), _cpu_nanoseconds(now.raw)
    if before is None or after is None:
        return None
    used = after - before
    return used / 1e9 / seconds * 100 if seconds > 0 and used >= 0 else None


def _cpu_nanoseconds(raw: dict[str, Any]) -> int | None:
    used = ((raw.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    return None if used is None else int(used)


def _memory_bytes(memory: dict[str, Any]) -> int:
    """Bytes used without the file cache that the kernel can free at once; cgroup v1 and v2 name it differently."""
    details = memory.get("stats") or {}
    cache = int(details.get("inactive_file", details.get("total_inactive_file")) or 0)
    return max(int(memory.get("usage") or 0) - cache, 0)


def _network_bytes(raw: dict[str, Any]) -> tuple[int, int]:
    networks = (raw.get("networks") or {}).values()
    return sum(network.get("rx_bytes") or 0 for network in networks), sum(
        network.get("tx_bytes") or 0 for network in networks
    )


def _rates(
    last: _StatsSample, now: _StatsSample, totals: Callable[[dict[str, Any]], tuple[int, int]]
) -> tuple[float | None, float | None]:
    """Bytes per second in both directions; None when they cannot be computed."""
    seconds = now.at - last.at
    before, after = totals(last.raw), totals(now.raw)
    if seconds <= 0 or after[0] < before[0] or after[1] < before[1]:
        return None, None  # it was restarted between the samples
    return (after[0] - before[0]) / seconds, (after[1] - before[1]) / seconds


def _disk_bytes(raw: dict[str, Any]) -> tuple[int, int]:
    entries = (raw.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    totals = {"read": 0, "write": 0}
    for entry in entries:
        operation = str(entry.get("op", "")).lower()
        if operation in totals:
            totals[operation] += int(entry.get("value") or 0)
    return totals["read"], totals["write"]
