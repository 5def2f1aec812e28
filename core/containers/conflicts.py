"""Who holds a port: a container of the engine, or a process of this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from core.containers.model import Container, Port

_ANY = ("", "0.0.0.0", "::")  # all addresses of the machine


def port_holders(ports: Iterable[Port], containers: Iterable[Container], *, local: bool) -> dict[str, list[Port]]:
    """In words who holds the host's side of which of `ports` now; what is free as far as can be seen is left out.

    A container in a state that is not known counts: it may hold its ports.
    """
    holding = [one for one in containers if one.running or not one.state.is_known]
    listening = _listening() if local else []
    found: dict[str, list[Port]] = {}
    for port in ports:
        holder = _container_holder(port, holding) or _process_holder(port, listening)
        if holder:
            found.setdefault(holder, []).append(port)
    return found


def _container_holder(port: Port, holding: Iterable[Container]) -> str | None:
    for container in holding:
        if any(collide(port, taken) for taken in container.ports if taken.host_port):
            return f"container {container.name}"
    return None


def collide(one: Port, other: Port) -> bool:
    """Whether both cannot be published at once."""
    same = (one.host_port, one.protocol) == (other.host_port, other.protocol)
    return same and _addresses_collide(one.host_ip, other.host_ip)


def _addresses_collide(one: str, other: str) -> bool:
    return one == other or one in _ANY or other in _ANY


def _listening() -> list[Any]:
    """The sockets of this machine."""
    import psutil

    try:
        return psutil.net_connections("inet")
    except (psutil.Error, OSError):
        return []


def _process_holder(port: Port, sockets: Iterable[Any]) -> str | None:
    import psutil

    wanted = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
    for connection in sockets:
        listens = connection.status == psutil.CONN_LISTEN or wanted == socket.SOCK_DGRAM
        if connection.type != wanted or not listens or not connection.laddr:
            continue
        if connection.laddr.port == port.host_port and _addresses_collide(port.host_ip, connection.laddr.ip):
            return _process_name(connection.pid)
    return None


def _process_name(pid: int | None) -> str:
    import psutil

    if pid is None:
        return "a process of another user (sudo ss -ltnp names it)"
    try:
        return f"process {psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"process {pid}"
