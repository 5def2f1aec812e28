"""The state of a container as plain data. Frozen snapshots; times are Unix seconds, sizes bytes."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict


class Known(BaseModel):
    """A snapshot: nobody changes it."""

    model_config = ConfigDict(frozen=True)


class State(str, Enum):
    """The engine's own words for a container's state."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Health(str, Enum):
    """What the container's health check says; NONE: it has none, or the container does not run."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class Port(Known):
    """One port of a container; `host_port` 0 means not published."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0

    def __str__(self) -> str:
        inside = f"{self.container_port}/{self.protocol}"
        if not self.host_port:
            return inside
        host = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip
        return f"{host}:{self.host_port}->{inside}"


class Container(Known):
    """One container of the engine.

    `status` is the engine's own sentence ("Up 5 minutes (healthy)"). `preset` is empty for one that is not ours;
    `site` the folder it was launched from. `health_output` (the last check's words) and `oom_killed` are looked up
    only for containers that are unwell. `exit_code` is None while it runs.
    """

    id: str
    name: str
    image: str
    image_id: str
    state: State
    status: str
    health: Health = Health.NONE
    health_output: str = ""
    ports: list[Port] = []
    created: float = 0
    preset: str = ""
    site: str = ""
    exit_code: int | None = None
    oom_killed: bool = False

    @property
    def ours(self) -> bool:
        """Whether xaiva launched it."""
        return bool(self.preset)

    @property
    def running(self) -> bool:
        """Whether it holds its ports and memory."""
        return self.state in (State.RUNNING, State.PAUSED, State.RESTARTING)


class Stats(Known):
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


class LogLine(Known):
    """One line of a container's output. `time` is the engine's RFC 3339 text with nanoseconds, in UTC."""

    time: str
    stream: str
    text: str
