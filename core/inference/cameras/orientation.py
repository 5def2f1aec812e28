"""Turns frames upright: cameras and phones store beside the picture how to rotate or mirror it."""

from __future__ import annotations

import struct

from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

# By the signs of the display matrix: the axes are kept, or swapped.
_STRAIGHT = {(1, 1): (), (-1, 1): ("hflip",), (1, -1): ("vflip",), (-1, -1): ("hflip", "vflip")}
_TURNED = {(1, 1): "cclock_flip", (1, -1): "clock", (-1, 1): "cclock", (-1, -1): "clock_flip"}
_BY_ANGLE = {90: (("transpose", "cclock"),), -90: (("transpose", "clock"),), -180: (("hflip", ""), ("vflip", ""))}


class Upright:
    """Turns the frames of one connection upright. Not thread-safe."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._graph_key: tuple[object, ...] = ()

    def __call__(self, image: VideoFrame) -> VideoFrame:
        """The frame itself, or a turned copy with the same time stamp."""
        filters = _filters(image)
        if not filters:
            return image
        graph_key = (image.width, image.height, image.format.name, filters)
        if self._graph is None or graph_key != self._graph_key:
            self._graph, self._graph_key = _graph(image, filters), graph_key
        self._graph.push(image)
        turned = self._graph.pull()
        assert isinstance(turned, VideoFrame)
        return turned


def _filters(image: VideoFrame) -> tuple[tuple[str, str], ...]:
    """libav's filters with their arguments. Angles other than multiples of 90 degrees are ignored."""
    try:
        matrix = image.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]  # its stub speaks of names
    except ValueError:  # PyAV lists no side data at all when libav has a newer kind, such as Exif
        return _BY_ANGLE.get(image.rotation, ())  # it may also be mirrored, which is unknown here
    if matrix is None:
        return ()
    right_right, right_down, _, down_right, down_down = struct.unpack("5i", bytes(matrix)[:20])
    if right_right and down_down and not (right_down or down_right):
        return tuple((name, "") for name in _STRAIGHT[_sign(right_right), _sign(down_down)])
    if right_down and down_right and not (right_right or down_down):
        return (("transpose", _TURNED[_sign(right_down), _sign(down_right)]),)
    return ()


def _sign(value: int) -> int:
    return 1 if value > 0 else -1


def _graph(image: VideoFrame, filters: tuple[tuple[str, str], ...]) -> Graph:
    graph = Graph()
    last = graph.add_buffer(width=image.width, height=image.height, format=image.format, time_base=image.time_base)
    for name, argument in (*filters, ("buffersink", "")):
        following = graph.add(name, argument)
        last.link_to(following)
        last = following
    graph.configure()
    return graph
