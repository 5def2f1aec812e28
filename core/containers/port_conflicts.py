"""Finds out what uses a port: a container of the engine, or a process of this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from core.containers.model import Container, ContainerPort

_ANY_ADDRESS = ("", "0.0.0.0", "::")  # all addresses of the machine


def port_holders(
    ports: Iterable[ContainerPort], containers: Iterable[Container], *, local: bool
) -> dict[str, list[ContainerPort]]:
    """Which of `ports` are taken on the host, by the name of the container or process that uses them.

    A container in an unknown state counts, because it may use its ports. `local` says whether this machine's processes
    can be checked.
    """
    holding = [container for container in containers if container.running or not container.state.is_known]
    listening = _open_sockets() if local else []
    ports_by_holder: dict[str, list[ContainerPort]] = {}
    for port in ports:
        holder = _container_holder(port, holding) or _process_holder(port, listening)
        if holder:
            ports_by_holder.setdefault(holder, []).append(port)
    return ports_by_holder


def _container_holder(port: ContainerPort, holding: Iterable[Container]) -> str | None:
    for container in holding:
        if any(ports_collide(port, held_port) for held_port in container.ports if held_port.host_port):
            return f"container {container.name}"
    return None


def ports_collide(first: ContainerPort, second: ContainerPort) -> bool:
    """Whether the two cannot be published at the same time."""
    same = (first.host_port, first.protocol) == (second.host_port, second.protocol)
    return same and _addresses_collide(first.host_ip, second.host_ip)


def _addresses_collide(first: str, second: str) -> bool:
    return first == second or first in _ANY_ADDRESS or second in _ANY_ADDRESS


def _open_sockets() -> list[Any]:
    """The open sockets of this machine; empty when they cannot be listed."""
    import psutil

    try:
        return psutil.net_connections("inet")
    except (psutil.Error, OSError):
        return []


def _process_holder(port: ContainerPort, sockets: Iterable[Any]) -> str | None:
    import psutil

    socket_type = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
    for connection in sockets:
        listens = connection.status == psutil.CONN_LISTEN or socket_type == socket.SOCK_DGRAM
        if connection.type != socket_type or not listens or not connection.laddr:
            continue
        if connection.laddr.port == port.host_port and _addresses_collide(port.host_ip, connection.laddr.ip):
            return _process_name(connection.pid)
    return None


def _process_name(pid: int | None) -> str:
    import psutil

    if pid is None:
        return "a process of another user (find it with: sudo ss -ltnp)"
    try:
        return f"process {psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"process {pid}"
