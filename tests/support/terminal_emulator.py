"""pyte, and what it does not know: a terminal that repeats the last character (REP)."""

from __future__ import annotations

import pyte

_CSI = {**pyte.Stream.csi, "b": "repeat"}


class Screen(pyte.Screen):
    """An emulated screen. Attach it to a stream of this module."""

    _last = ""

    def draw(self, data: str) -> None:
        super().draw(data)
        self._last = data[-1:]

    def repeat(self, count: int = 1) -> None:
        self.draw(self._last * max(count, 1))


class Stream(pyte.Stream):
    csi = _CSI
    events = pyte.Stream.events | {"repeat"}


class ByteStream(pyte.ByteStream):
    csi = _CSI
    events = pyte.ByteStream.events | {"repeat"}
