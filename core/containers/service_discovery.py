"""Finds the inference service of a site: by a configured name or address, else by the site's running container."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.containers.listing import inspect_container, list_containers
from core.containers.model import Container, ContainerPort
from core.engine import Endpoint, EngineError, connect_engine, docker_environment, resolve_endpoint
from core.errors import InputError, XaivaError
from core.natural_order import natural_key
from core.service_client.address import SERVICE_PORT, ServiceAddress, is_url, named_or_default_address, named_service
from core.service_client.client import ServiceClient, site_session
from core.service_client.console_session import ConsoleSession
from core.site import Site

if TYPE_CHECKING:
    import docker

ENGINE_TIMEOUT_SECONDS = 3.0  # then the service is looked for without the engine
LOGOUT_SECONDS = 1.0  # for ending logins when a program exits
RETRY_SECONDS = 3.0  # between searches for a service that does not answer: over ssh each takes a connection
ANY_ADDRESS = ("", "0.0.0.0", "::")
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
ADDRESS_HINT = f"write an address as http://host:{SERVICE_PORT}"
TLS_VARIABLE = "XAIVA_TLS_CERTIFICATE"  # a service with this variable uses TLS


class AmbiguousService(InputError):
    """More than one container could be the service; `names` lists them, the current preset's first."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        super().__init__(
            "Inference service",
            f"several containers of this site are running: {', '.join(names)}",
            "choose one: xaiva --service NAME, or F8 in the console",
        )


def find_service(site: Site, *, preset: str = "", before: ServiceAddress | None = None) -> ServiceAddress:
    """The address of the site's service.

    The first that is set wins: `--service`, XAIVA_SERVICE, `site.toml`; each is an address, or the name of a container
    or preset. Otherwise it is the running container launched from this site; of several, the one used `before`, or that
    of `preset`. Otherwise it is the default address. While the engine does not answer, it is `before`.

    Raises InputError for a name that no running container has, AmbiguousService, EngineError when a container was named
    and the engine does not answer.
    """
    try:
        return _find_address(site, preset, before.container if before else "")
    except EngineError as error:
        if before is not None:
            return before
        if named_service(site)[0]:
            raise
        return named_or_default_address(site, f"; {error.summary}")


def _find_address(site: Site, preset: str, before: str) -> ServiceAddress:
    """As `find_service`, but raises EngineError even when no container was named."""
    text, named_by = named_service(site)
    if is_url(text):
        return named_or_default_address(site)
    with closing(connect_engine(site, ENGINE_TIMEOUT_SECONDS)) as client:
        containers = list_containers(client)
        if text:
            return _address(site, client, _named_container(containers, text, named_by), named_by)
        site_containers = [container for container in containers if _belongs_to_site(site, container)]
        if chosen := _choose_container(
            [container for container in site_containers if _service_port(container)], preset, before
        ):
            return _address(site, client, chosen, "")
    reasons = ", ".join(
        f"{container.name} {'publishes no service port' if container.running else f'is {container.state.word}'}"
        for container in site_containers
    )
    return named_or_default_address(site, f"; {reasons or 'no container launched from this site is running'}")


def running_services(site: Site, preset: str = "") -> list[str]:
    """The names of the containers that could be the service, those of `preset` first. Raises EngineError."""
    with closing(connect_engine(site, ENGINE_TIMEOUT_SECONDS)) as client:
        candidates = [
            container
            for container in list_containers(client)
            if container.managed and container.running and _service_port(container)
        ]
    return [
        container.name
        for container in sorted(
            candidates,
            key=lambda container: (
                container.preset != preset,
                not _belongs_to_site(site, container),
                natural_key(container.name),
            ),
        )
    ]


def connect_service(site: Site, timeout: float) -> ServiceClient:
    """A client of the site's service. Raises the errors of `find_service`."""
    return ServiceClient.for_site(site, timeout, find_service(site))


class ServiceLocator:
    """The site's service for a long-running program: searched again when it is lost or the settings changed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._search_lock = threading.Lock()
        self._generation = -1  # of the settings used in the last search
        self._searched_at = 0.0
        self._lost = True
        self._error: XaivaError | None = None  # of the last search
        self._clients: dict[float, ServiceClient] = {}
        self._sessions: dict[str, ConsoleSession] = {}  # by address, because each service has its own logins
        self._session_lock = threading.Lock()  # guards the sessions
        self.address: ServiceAddress | None = None  # found by the last search
        self.preset = ""  # the current one: its container is preferred

    def client(self, timeout: float) -> ServiceClient:
        """A client. Searches for the service if necessary, which may take seconds. Raises as `find_service`."""
        with self._search_lock:
            waited = time.monotonic() - self._searched_at > RETRY_SECONDS
            if self._generation != self._site.generation or (self._lost and waited):
                self._search()
            if self._error is not None:
                raise self._error
        return self.current(timeout)

    def current(self, timeout: float) -> ServiceClient:
        """A client of the service that was found last, without asking the engine."""
        clients, address = self._clients, self.address
        if timeout not in clients:
            clients[timeout] = ServiceClient.for_site(self._site, timeout, address, self._session(address))
        return clients[timeout]

    @property
    def session(self) -> ConsoleSession:
        """This program's login at the service that was found last."""
        return self._session(self.address)

    def _session(self, address: ServiceAddress | None) -> ConsoleSession:
        """The session of an address, shared by all its clients."""
        site = site_session(self._site, address or named_or_default_address(self._site))
        with self._session_lock:
            if site.url not in self._sessions:
                self._sessions[site.url] = ConsoleSession(site)
            return self._sessions[site.url]

    def close(self) -> None:
        """End this program's logins, which nothing could use any more.

        Takes a second at most. A login at a service that cannot be reached expires by itself.
        """
        with self._session_lock:
            own = [session for session in self._sessions.values() if session.owns]
        if own:
            thread = threading.Thread(target=self._log_out, args=(own,), name="logout", daemon=True)
            thread.start()
            thread.join(LOGOUT_SECONDS)

    def _log_out(self, sessions: Sequence[ConsoleSession]) -> None:
        for session in sessions:
            with suppress(XaivaError):
                ServiceClient.for_site(self._site, LOGOUT_SECONDS, ServiceAddress(session.url), session).logout()

    def mark_lost(self) -> None:
        """Note that the service does not answer, so that a later call searches for it again."""
        self._lost = True

    def choose(self, name: str, named_by: str) -> None:
        """Use this service from now on: an address, or the name of a container or preset."""
        self._site.service = name, named_by
        self._generation, self.address = -1, None  # the old address must not be reused

    def _search(self) -> None:
        self._generation, self._error, self._lost = self._site.generation, None, False
        try:
            self.address = find_service(self._site, preset=self.preset, before=self.address)
        except XaivaError as error:
            self._error, self._lost = error, True
        self._clients = {}
        self._searched_at = time.monotonic()


def _named_container(containers: Sequence[Container], text: str, named_by: str) -> Container:
    matches = [container for container in containers if container.name == text] or [
        container for container in containers if container.preset == text
    ]
    running = [container for container in matches if container.running]
    what = f"Inference service {text} (named by {named_by})"
    if len(running) == 1:
        if _service_port(running[0]) is None:
            raise InputError(what, f"container {running[0].name} publishes no port", "see: xaiva ps; add run.ports")
        return running[0]
    if running:
        raise AmbiguousService([container.name for container in running])
    if matches:
        raise InputError(what, f"container {matches[0].name} is {matches[0].state.word}", "launch it again")
    raise InputError(what, "no container or preset of this name has been launched", f"see: xaiva ps; {ADDRESS_HINT}")


def _belongs_to_site(site: Site, container: Container) -> bool:
    """Whether it was launched from this site, even if the site (on a USB stick) was mounted elsewhere then."""
    if container.site == str(site.root):
        return True
    is_site_preset = container.managed and (site.presets / f"{container.preset}.json").is_file()
    return is_site_preset and not Path(container.site).is_dir()


def _choose_container(candidates: list[Container], preset: str, before: str) -> Container | None:
    """The site's service among the candidates; None when none runs. Raises AmbiguousService."""
    running = [container for container in candidates if container.running]
    usual = [container for container in running if any(_is_service_port(port) for port in container.ports)]
    running = usual or running
    for matches in (
        [container for container in running if container.name == before],
        [container for container in running if container.preset == preset],
    ):
        if len(matches) == 1:
            return matches[0]
    if len(running) > 1:
        raise AmbiguousService(
            [
                container.name
                for container in sorted(
                    running, key=lambda container: (container.preset != preset, natural_key(container.name))
                )
            ]
        )
    return running[0] if running else None


def _is_service_port(port: ContainerPort) -> bool:
    return port.container_port == SERVICE_PORT and port.protocol == "tcp" and port.host_port > 0


def _service_port(container: Container) -> ContainerPort | None:
    """The published port of the service: that of 8600 in the container, else the only one; None if unclear."""
    published = [port for port in container.ports if port.protocol == "tcp" and port.host_port]
    usual = [port for port in published if _is_service_port(port)]
    if not usual and len({port.container_port for port in published}) != 1:
        return None
    return min(usual or published, key=lambda port: (":" in port.host_ip, port.host_port))


def _address(site: Site, client: docker.DockerClient, container: Container, named_by: str) -> ServiceAddress:
    port = _service_port(container)
    assert port is not None
    host, remedy = _host(site, port, f"see its log: xaiva logs {container.name}")
    variables = (inspect_container(client, container.id).get("Config") or {}).get("Env") or []
    tls = any(variable.startswith(f"{TLS_VARIABLE}=") and not variable.endswith("=") for variable in variables)
    url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port.host_port}"
    by = f"{named_by}, container {container.name}" if named_by else f"container {container.name}"
    return ServiceAddress(url, by, container.name, remedy)


def _host(site: Site, port: ContainerPort, remedy: str) -> tuple[str, str]:
    """The host to reach a published port from here, and the remedy when nothing answers there."""
    target = resolve_endpoint(site)
    if target.local:
        return ("127.0.0.1" if port.host_ip in ANY_ADDRESS else port.host_ip), remedy
    engine_host = _engine_host(site, target)
    if port.host_ip in ANY_ADDRESS:
        return engine_host, remedy
    if port.host_ip in LOOPBACK_ADDRESSES and engine_host not in (*LOOPBACK_ADDRESSES, "localhost"):
        tunnel = f"ssh -L {port.host_port}:127.0.0.1:{port.host_port} {engine_host}"
        remedy = f"it is published only on {engine_host}'s loopback: {tunnel}; then use --service with that port"
        return engine_host, remedy
    return (engine_host if port.host_ip in LOOPBACK_ADDRESSES else port.host_ip), remedy


def _engine_host(site: Site, target: Endpoint) -> str:
    """The host name of a remote engine, resolved by ssh's configuration for ssh addresses."""
    if target.host.startswith("ssh://"):
        from core.engine_ssh import resolve_host_name

        return resolve_host_name(target.host, docker_environment(site))
    return urlsplit(target.host).hostname or "127.0.0.1"
