"""The state of a container as plain data. Frozen snapshots; times are Unix seconds, sizes bytes."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from core.open_enum import OpenEnum


class FrozenModel(BaseModel):
    """A snapshot: nobody changes it."""

    model_config = ConfigDict(frozen=True)


class ContainerState(OpenEnum):
    """The engine's own words for a container's state: Docker's, and Podman's where it ends otherwise."""

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
        """Whether its program is known to have ended and not to come back by itself."""
        return self in (ContainerState.EXITED, ContainerState.STOPPED, ContainerState.DEAD)


class ContainerHealth(OpenEnum):
    """What the container's health check says; NONE: it has none, or the container does not run."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


OUT_OF_MEMORY = "out of memory"  # the kernel killed it


class ContainerPort(FrozenModel):
    """One port of a container; `host_port` 0 means not published."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0

    def __str__(self) -> str:
        return format_ports([self])


def format_ports(ports: Iterable[ContainerPort], *, addresses: bool = True) -> str:
    """Ports as people write them, neighbours as one range: `0.0.0.0:8000-8199→8000-8199/tcp, 9000/tcp`.

    Without `addresses` only published ones, and one that is published on IPv4 and IPv6 once.
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
    """The host's side of ports, neighbours as one range: `8000-8010/tcp, 9000/udp`."""
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
    """One container of the engine.

    `status` is the engine's own sentence ("Up 5 minutes (healthy)"). `preset` is empty for one that is not ours;
    `site` the folder it was launched from. `health_output` (the last check's words) and `oom_killed` are looked up
    only for containers that are unwell. `exit_code` is None while it runs. `unreadable` says what in the
    engine's description of it cannot be read.
    """

    id: str
    name: str
    image: str
    image_id: str
    state: ContainerState
    status: str
    health: ContainerHealth = ContainerHealth.NONE
    health_output: str = ""
    ports: list[ContainerPort] = []
    created: float = 0
    preset: str = ""
    site: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    unreadable: str = ""

    @property
    def managed(self) -> bool:
        """Whether xaiva launched it."""
        return bool(self.preset)

    @property
    def condition(self) -> str:
        """The word for its state in every list; that it ran out of memory comes before how it ended."""
        return OUT_OF_MEMORY if self.oom_killed else self.state.word

    @property
    def running(self) -> bool:
        """Whether it holds its ports and memory."""
        return self.state in (ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING)


class ContainerStats(FrozenModel):
    """What a container uses. CPU in percent of one core; memory without the page cache; byte totals since its start.

    Rates (bytes per second) are None until two samples were taken.
    """

    cpu_percent: float | None = None
    memory: int = 0
    memory_limit: int = 0
    network_received: int = 0
    network_sent: int = 0
    network_received_rate: float | None = None
    network_sent_rate: float | None = None
    disk_read: int = 0
    disk_written: int = 0
    pids: int = 0


class ContainerLogLine(FrozenModel):
    """One line of a container's output. `time` is the engine's RFC 3339 text with nanoseconds, in UTC."""

    time: str
    stream: str
    text: str
