"""The caller of a route: name, role and the cameras it may see."""

from __future__ import annotations

from dataclasses import dataclass

from core.api_schema import Role

SERVICE_CALLER_NAME = "service"  # how the holder of the service's token is called; no user may have that name


@dataclass(frozen=True)
class Caller:
    """`cameras` are those that may be seen; None: all of them. An administrator sees all."""

    name: str
    role: Role
    cameras: frozenset[str] | None = None

    def sees(self, camera: str) -> bool:
        """Whether this camera exists for the caller."""
        return self.cameras is None or camera in self.cameras

    @property
    def access(self) -> list[str] | None:
        """The cameras as the stores take them."""
        return None if self.cameras is None else sorted(self.cameras)


THE_SERVICE = Caller(SERVICE_CALLER_NAME, Role.ADMIN)
