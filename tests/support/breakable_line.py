"""A TCP forwarder on loopback for many connections at once, that can go down or lose an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class BreakableLine:
    """Forwards to the service at an address; clients use `url`."""

    def __init__(self, url: str) -> None:
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._answers_to_lose = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_next_answer(self) -> None:
        """The next request arrives, and instead of its answer the connection ends."""
        self._answers_to_lose += 1

    def go_down(self) -> None:
        """Cut all connections; new ones work."""
        for end in self._open[:]:
            _shut(end)
        self._open.clear()

    def close(self) -> None:
        """Take no more connections."""
        _shut(self._listener)
        self._listener.close()
        self.go_down()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                service = socket.create_connection(self._target)
                self._open += [client, service]
                threading.Thread(target=self._forward, args=(client, service, False), daemon=True).start()
                threading.Thread(target=self._forward, args=(service, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_answer and self._answers_to_lose:
                    self._answers_to_lose -= 1
                    break
                target.sendall(data)
        _shut(source)
        _shut(target)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def breakable_line(url: str) -> Iterator[BreakableLine]:
    """A running line to the service at that address."""
    line = BreakableLine(url)
    try:
        yield line
    finally:
        line.close()
