"""Who holds a port: a container of the engine, or a process of this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from core.containers.model import Container, Port

_ANY = ("", "0.0.0.0", "::")  # all addresses of the machine


def port_holder(port: Port, containers: Iterable[Container], *, local: bool) -> str | None:
    """In words who holds the host's side of `port` now; None when it is free as far as can be seen from here.

    A container in a state that is not known counts: it may hold its ports.
    """
    for container in containers:
        holds = container.running or not container.state.known
        if holds and any(_collide(port, taken) for taken in container.ports if taken.host_port):
            return container_words(container.name)
    return _process_holder(port) if local else None


def container_words(name: str) -> str:
    """How a container that holds a port is called."""
    return f"container {name}"


def _collide(one: Port, other: Port) -> bool:
    same = (one.host_port, one.protocol) == (other.host_port, other.protocol)
    return same and _addresses_collide(one.host_ip, other.host_ip)


def _addresses_collide(one: str, other: str) -> bool:
    return one == other or one in _ANY or other in _ANY


def _process_holder(port: Port) -> str | None:
    import psutil

    wanted = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
    try:
        connections = psutil.net_connections("inet")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
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
