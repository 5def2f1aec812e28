"""Resource usage of containers: CPU, memory without the page cache, network, disk, processes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.containers.model import Stats
from core.engine import engine_errors

if TYPE_CHECKING:
    import docker

_ONE_SHOT_API = (1, 41)  # older engines wait for a second measurement before they answer


@dataclass(frozen=True)
class _Sample:
    raw: dict[str, Any]
    at: float  # monotonic seconds: the machine's clock may step


class StatsSampler:
    """Statistics of several containers, one cheap call each; CPU and rates from the difference to the last sample."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._last: dict[str, _Sample] = {}
        version = tuple(int(part) for part in re.findall(r"\d+", client.api.api_version)[:2])
        self._one_shot = True if version >= _ONE_SHOT_API else None

    def sample(self, ids: Iterable[str]) -> dict[str, Stats]:
        """Statistics by container id; one that has none is left out. Raises EngineError."""
        import docker.errors

        samples: dict[str, _Sample] = {}
        for identity in ids:
            with engine_errors(f"Statistics of container {identity[:12]}"):
                try:
                    raw = self._client.api.stats(identity, stream=False, one_shot=self._one_shot)
                except docker.errors.APIError:
                    continue  # it went away, or is in a state that has none; what it is says the list
            samples[identity] = _Sample(raw, time.monotonic())
        found = {identity: _stats(self._last.get(identity), sample) for identity, sample in samples.items()}
        self._last = samples
        return found


def _stats(last: _Sample | None, now: _Sample) -> Stats:
    memory = now.raw.get("memory_stats") or {}
    received, sent = _network(now.raw)
    rates = (None, None) if last is None else _rates(last, now)
    read, written = _disk(now.raw)
    return Stats(
        cpu_percent=None if last is None else _cpu_percent(last, now),
        memory=_memory(memory),
        memory_limit=int(memory.get("limit") or 0),
        network_received=received,
        network_sent=sent,
        network_received_rate=rates[0],
        network_sent_rate=rates[1],
        disk_read=read,
        disk_written=written,
        pids=int((now.raw.get("pids_stats") or {}).get("current") or 0),
    )


def _cpu_percent(last: _Sample, now: _Sample) -> float | None:
    """Percent of one core, from the container's CPU nanoseconds over the monotonic time between the samples."""
    seconds = now.at - last.at
    before, after = _cpu(last.raw), _cpu(now.raw)
    if before is None or after is None:
        return None
    used = after - before
    return used / 1e9 / seconds * 100 if seconds > 0 and used >= 0 else None


def _cpu(raw: dict[str, Any]) -> int | None:
    used = ((raw.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    return None if used is None else int(used)


def _memory(memory: dict[str, Any]) -> int:
    """Usage without the file cache the kernel gives back at once; the word differs between cgroup versions."""
    details = memory.get("stats") or {}
    cache = int(details.get("inactive_file", details.get("total_inactive_file")) or 0)
    return max(int(memory.get("usage") or 0) - cache, 0)


def _network(raw: dict[str, Any]) -> tuple[int, int]:
    networks = (raw.get("networks") or {}).values()
    return sum(one.get("rx_bytes") or 0 for one in networks), sum(one.get("tx_bytes") or 0 for one in networks)


def _rates(last: _Sample, now: _Sample) -> tuple[float | None, float | None]:
    seconds = now.at - last.at
    before, after = _network(last.raw), _network(now.raw)
    if seconds <= 0 or after[0] < before[0] or after[1] < before[1]:
        return None, None  # it was restarted in between
    return (after[0] - before[0]) / seconds, (after[1] - before[1]) / seconds


def _disk(raw: dict[str, Any]) -> tuple[int, int]:
    entries = (raw.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    totals = {"read": 0, "write": 0}
    for entry in entries:
        operation = str(entry.get("op", "")).lower()
        if operation in totals:
            totals[operation] += int(entry.get("value") or 0)
    return totals["read"], totals["write"]
