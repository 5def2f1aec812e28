"""The caller of a route: name, role and the cameras it may see."""

from __future__ import annotations

from dataclasses import dataclass

from core.api_schema import Role

SERVICE_CALLER_NAME = "service"  # the name of the holder of the service's token; no user may have it


@dataclass(frozen=True)
class Caller:
    """Who makes a request. `cameras` are the visible ones, None for all; an administrator sees all."""

    name: str
    role: Role
    cameras: frozenset[str] | None = None

    def sees(self, camera: str) -> bool:
        return self.cameras is None or camera in self.cameras

    @property
    def access(self) -> list[str] | None:
        """The visible cameras as the stores expect them: a sorted list, None for all."""
        return None if self.cameras is None else sorted(self.cameras)


THE_SERVICE = Caller(SERVICE_CALLER_NAME, Role.ADMIN)
