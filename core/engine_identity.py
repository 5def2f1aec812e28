"""Which engine a site uses: its name, its version, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.engine import NO_SOCKET, NOT_INSTALLED, Endpoint, EngineError, connect_engine, engine_errors, resolve_endpoint
from core.engine_version import engine_title

if TYPE_CHECKING:
    import docker
    from core.site import Site


@dataclass(frozen=True)
class EngineIdentity:
    """An engine as people name it; `title` is empty where there is none."""

    title: str
    """`docker 27.1.1`, or another vendor's name with its version."""
    place: str
    """`local`, `context NAME`, `ssh HOST` or `tcp HOST:PORT`."""

    def __str__(self) -> str:
        return f"{self.title} {self.place}" if self.title else "no engine"


class EngineIdentifier:
    """Asks the site's engine what it is, over one connection. Not for several threads."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._client: docker.DockerClient | None = None
        self._generation = 0  # of the settings that were used to connect

    def identify(self, timeout: float) -> EngineIdentity:
        """The engine, or that its socket does not exist. Each call to it gives up after `timeout` seconds.

        Raises EngineError when nothing is known about it: no permission, no answer, invalid settings.
        """
        try:
            if self._client is None or self._generation != self._site.generation:
                self.close()
                self._generation = self._site.generation
                self._client = connect_engine(self._site, timeout)
            with engine_errors("Engine's version"):
                title = engine_title(self._client.version())
            return EngineIdentity(title, engine_place(resolve_endpoint(self._site)))
        except EngineError as error:
            self.close()  # the next engine at that address may be another one
            if error.why in (NO_SOCKET, NOT_INSTALLED):
                return EngineIdentity("", "")
            raise

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def engine_place(endpoint: Endpoint) -> str:
    if endpoint.named_by.startswith("context "):
        return endpoint.named_by
    if endpoint.local:
        return "local"
    parts = urlsplit(endpoint.host)
    return f"{parts.scheme} {parts.netloc.rpartition('@')[2]}"
