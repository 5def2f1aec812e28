"""The generated cameras: their films can follow each other, and the service reads them like any network camera."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
import pytest
from av.packet import Packet

from core.api_schema import CameraRequest
from core.demo.cameras.belt import belt, belt_with_wrong_part
from core.demo.cameras.encoding import EncodedFilm
from core.demo.cameras.film import Film
from core.demo.cameras.gate import gate, gate_with_lorry
from core.demo.cameras.hall import frozen_hall, hall
from core.demo.cameras.stream_server import StreamServer
from core.inference.cameras.connection_test import run_connection_test


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer() as running:
        running.start()
        yield running
        running.shutdown()


@pytest.mark.parametrize(("usual", "unusual"), [(belt(), belt_with_wrong_part()), (gate(), gate_with_lorry())])
def test_films_follow_each_other_without_a_jump(usual: Film, unusual: Film) -> None:
    first = usual.draw(0)
    assert np.array_equal(usual.draw(usual.pictures), first)
    assert np.array_equal(unusual.draw(0), first)
    assert np.array_equal(unusual.draw(unusual.pictures), first)
    middle = unusual.pictures // 2
    assert not np.array_equal(unusual.draw(middle), usual.draw(middle))


def test_a_frozen_picture_is_exactly_the_same_again_and_again() -> None:
    alive, frozen = hall(), frozen_hall()
    assert not np.array_equal(alive.draw(0), alive.draw(alive.pictures - 1))
    decoder = av.CodecContext.create("h264", "r")
    packets = [Packet(picture.data) for _ in range(3) for picture in EncodedFilm(frozen, all_key=True)]
    pictures = [frame.to_ndarray() for packet in [*packets, None] for frame in decoder.decode(packet)]
    assert len(pictures) == len(packets)
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


@pytest.mark.parametrize("name", ["belt", "gate", "hall"])
def test_the_service_reads_it_as_a_network_camera(server: StreamServer, name: str) -> None:
    tested = run_connection_test(CameraRequest(id=name, source=server.url(f"/{name}.ts")))
    assert (tested.ok, tested.codec, tested.width, tested.height) == (True, "h264", 640, 360), tested.reason


def test_a_wrong_path_is_reported(server: StreamServer) -> None:
    assert run_connection_test(CameraRequest(id="x", source=server.url("/x.ts"))).cause == "not_found"
