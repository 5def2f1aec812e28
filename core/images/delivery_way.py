"""Which way an engine can take for images: pull them from a registry here, or have them loaded.

That depends on the engine (rootless, in a virtual machine, behind TCP, settings about insecure registries), so it is
tried, and remembered for the engine as long as what decides it stays the same. The two ways are not mixed: the
classic image store fetches all layers again that were loaded and not pulled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.engine import engine_errors, resolve_endpoint
from core.engine_image import image_store
from core.engine_ssh import ReverseForward, SshError
from core.errors import XaivaError
from core.files import write_atomic
from core.images.registry import Registry
from core.open_enum import OpenEnum
from core.progress import Progress, stop_if_cancelled
from core.site import Site

if TYPE_CHECKING:
    import docker

_RECONNECT_SECONDS = 120.0  # that an engine behind a cut connection is waited for
_RETRY_SECONDS = 0.5
_PROBE_TAG = "probe"  # there is no such image; the request for it is the proof


class Way(OpenEnum):
    """How images get into an engine."""

    PULL = "pull"
    LOAD = "load"


class EngineWays:
    """The ways of the site's engines, in a file of the site's state."""

    def __init__(self, site: Site, info: Mapping[str, Any]) -> None:
        self._path: Path = site.state / "engine-ways.json"
        self._engine = str(info.get("ID") or "")
        registries = info.get("RegistryConfig") or {}
        decisive = [resolve_endpoint(site).host, info.get("ServerVersion"), image_store(info)]
        decisive.append(registries.get("InsecureRegistryCIDRs"))
        self._settings = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]

    @property
    def must_load(self) -> bool:
        """Whether a pull is known to be impossible with the engine's present settings."""
        entry = self._entry()
        return entry.get("way") == Way.LOAD.value and entry.get("settings") == self._settings

    @property
    def why(self) -> str:
        """Why it is the remembered way."""
        return str(self._entry().get("why") or "the reason is not known")

    def remember(self, way: Way, why: str) -> None:
        """Keep the way, and why it is that one, until the engine's settings change."""
        entry = {"way": way.value, "why": why, "settings": self._settings}
        if self._engine and entry != self._entry():
            text = json.dumps({**self._read(), self._engine: entry}, indent=1)
            with contextlib.suppress(OSError):  # the next delivery then tries again
                write_atomic(self._path, text + "\n")

    def _entry(self) -> dict[str, Any]:
        entry = self._read().get(self._engine)
        return entry if isinstance(entry, dict) else {}

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}  # a probe finds out again
        return data if isinstance(data, dict) else {}


class Unreachable(XaivaError):
    """The engine cannot reach this machine's registry."""


class Reach:
    """How an engine reaches a registry here: at `address`, over ssh if it is behind that."""

    def __init__(self, site: Site, client: docker.DockerClient, registry: Registry, env: Mapping[str, str]) -> None:
        """Try it. Raises Unreachable, EngineError."""
        self._client, self._registry = client, registry
        self._forward: ReverseForward | None = None
        host = resolve_endpoint(site).host
        if host.startswith("ssh://"):
            try:
                self._forward = ReverseForward(host, registry.port, env)
            except SshError as error:
                raise Unreachable("Forwarding a port over ssh", str(error)) from error
        self.address = f"127.0.0.1:{self._forward.port if self._forward else registry.port}"
        try:
            _probe(client, registry, self.address)
        except BaseException:
            self.close()
            raise

    @property
    def cuts(self) -> int:
        """How often the connection over ssh ended."""
        return self._forward.cuts if self._forward else 0

    def cut_since(self, count: int) -> bool:
        """Whether the connection over ssh ended since `cuts` was that."""
        return self._forward is not None and self._forward.cut_since(count)

    def wait(self, progress: Progress) -> bool:
        """Wait until the engine reaches the registry again; whether it does. Raises Cancelled, EngineError."""
        deadline = time.monotonic() + _RECONNECT_SECONDS
        while time.monotonic() < deadline:
            stop_if_cancelled(progress)
            self._registry.reached.clear()
            try:
                _probe(self._client, self._registry, self.address)
                return True
            except Unreachable:
                time.sleep(_RETRY_SECONDS)
        return False

    def close(self) -> None:
        """End the connection."""
        if self._forward:
            self._forward.close()


def _probe(client: docker.DockerClient, registry: Registry, address: str) -> None:
    """Let the engine ask for an image that does not exist; whether it asked us is the answer. Raises Unreachable."""
    import docker.errors

    options: dict[str, Any] = {"stream": True, "decode": True, "auth_config": {}}
    why = "it did not ask the registry here"
    with engine_errors("Reaching this machine from the engine"):
        try:
            for event in client.api.pull(f"{address}/{registry.repository}", _PROBE_TAG, **options):
                why = str(event.get("error") or why)
        except docker.errors.APIError as error:
            why = str(error.explanation or error)
    if not registry.reached.is_set():
        raise Unreachable("The engine cannot reach this machine's port", why)
