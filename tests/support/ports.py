"""A port for a server that needs a fixed number. A socket holds it."""

from __future__ import annotations

import socket


class HeldPort(socket.socket):
    """A TCP port on loopback that no other process gets while this socket is open.

    It does not listen. A server that sets SO_REUSEADDR, as nearly all do, can listen on the port meanwhile, stop, and
    listen again. For UDP nothing is held, but no other test is given the number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.bind(("127.0.0.1", 0))

    @property
    def number(self) -> int:
        return int(self.getsockname()[1])
