"""The data model of containers: frozen snapshots. Times are Unix times in seconds, sizes are bytes."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from core.open_enum import OpenEnum


class FrozenModel(BaseModel):
    """Base of all models here: a frozen snapshot."""

    model_config = ConfigDict(frozen=True)


class ContainerState(OpenEnum):
    """The state of a container in the engine's words: Docker's, and `stopped` of Podman."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    STOPPED = "stopped"
    DEAD = "dead"

    @property
    def ended(self) -> bool:
        """Whether its program has ended and will not be restarted."""
        return self in (ContainerState.EXITED, ContainerState.STOPPED, ContainerState.DEAD)


class ContainerHealth(OpenEnum):
    """The result of a container's health check; NONE: it has none, or it is not running."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


OUT_OF_MEMORY = "out of memory"  # the kernel killed it


class ContainerPort(FrozenModel):
    """One port of a container; `host_port` is 0 when it is not published."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0

    def __str__(self) -> str:
        return format_ports([self])


def format_ports(ports: Iterable[ContainerPort], *, addresses: bool = True) -> str:
    """Ports as text, consecutive ones as one range: `0.0.0.0:8000-8199→8000-8199/tcp, 9000/tcp`.

    Without `addresses` only published ports, and a port published on both IPv4 and IPv6 only once.
    """
    rows = {(p.host_ip if addresses else "", p.protocol, p.host_port, p.container_port) for p in ports}
    ranges: list[tuple[str, str, int, int, int]] = []  # …, host and container port of the first, and how many
    for ip, protocol, host, inside in sorted(row for row in rows if addresses or row[2]):
        if ranges:
            *prefix, first, first_inside, count = ranges[-1]
            steps = (host - first if first else 0, inside - first_inside)
            if prefix == [ip, protocol] and steps == (count if first else 0, count) and bool(host) == bool(first):
                ranges[-1] = (ip, protocol, first, first_inside, count + 1)
                continue
        ranges.append((ip, protocol, host, inside, 1))
    ranges.sort(key=lambda port_range: (port_range[3], port_range[1], port_range[0]))
    return ", ".join(_format_port_range(*run) for run in ranges)


def format_host_ports(ports: Iterable[ContainerPort]) -> str:
    """The host's side of ports, consecutive ones as one range: `8000-8010/tcp, 9000/udp`."""
    return format_ports(ContainerPort(container_port=port.host_port, protocol=port.protocol) for port in ports)


def _format_port_range(ip: str, protocol: str, host: int, inside: int, count: int) -> str:
    words = f"{_format_span(inside, count)}/{protocol}"
    if not host:
        return words
    address = f"[{ip}]:" if ":" in ip else f"{ip}:" if ip else ""
    return f"{address}{_format_span(host, count)}→{words}"


def _format_span(first: int, count: int) -> str:
    return f"{first}-{first + count - 1}" if count > 1 else str(first)


class Container(FrozenModel):
    """One container of the engine."""

    id: str
    name: str
    image: str
    image_id: str
    state: ContainerState
    status: str
    """The engine's sentence, such as `Up 5 minutes (healthy)`."""
    health: ContainerHealth = ContainerHealth.NONE
    health_output: str = ""
    """Output of the last health check; known only when unhealthy."""
    ports: list[ContainerPort] = []
    created: float = 0
    preset: str = ""
    """The preset it was launched from; empty if xaiva did not launch it."""
    site: str = ""
    """The site folder it was launched from."""
    project: str = ""
    """The compose project it belongs to; empty without one."""
    service: str = ""
    """The service of that project."""
    config_hash: str = ""
    """Compose's hash of the configuration it was created with."""
    exit_code: int | None = None
    """None while it runs."""
    oom_killed: bool = False
    """Known only if it was killed."""
    unreadable: str = ""
    """What in the engine's description cannot be read; empty when all of it can."""

    @property
    def managed(self) -> bool:
        """Whether xaiva launched it."""
        return bool(self.preset)

    @property
    def condition(self) -> str:
        """The word for its state in every list: `out of memory` in place of how it ended."""
        return OUT_OF_MEMORY if self.oom_killed else self.state.word

    @property
    def running(self) -> bool:
        """Whether it uses its ports and memory."""
        return self.state in (ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING)


class ContainerStats(FrozenModel):
    """The resources a container uses. Totals in bytes since its start; rates in bytes per second."""

    cpu_percent: float | None = None
    """Percent of one core; None, as the rates, in the first sample."""
    memory: int = 0
    """Bytes without the page cache."""
    memory_limit: int = 0
    network_received: int = 0
    network_sent: int = 0
    network_received_rate: float | None = None
    network_sent_rate: float | None = None
    disk_read: int = 0
    disk_written: int = 0
    disk_read_rate: float | None = None
    disk_written_rate: float | None = None
    pids: int = 0


class ContainerLogLine(FrozenModel):
    """One line of a container's output."""

    time: str
    """RFC 3339 with nanoseconds, in UTC, as the engine writes it."""
    stream: str
    text: str
