"""Persons and vehicles as facts, found by the real model in a real street."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from av.video.frame import VideoFrame

from core.api_schema import Fact
from core.errors import InputError
from core.inference.cameras.conversion import encode_jpeg
from core.inference.models.execution_providers import select_provider
from core.inference.models.object_detector import ObjectDetector
from tests.support.street import street

# x, y in shares: the middle of what is in the first picture, by eye
WALKERS = ((0.345, 0.45), (0.67, 0.3), (0.865, 0.49))
VAN = (0.895, 0.125)


@pytest.fixture(scope="module")
def finder() -> Iterator[ObjectDetector]:
    detector = ObjectDetector(select_provider("cpu"))
    detector.load()
    yield detector
    detector.close()


def facts_at(facts: list[Fact], place: tuple[float, float]) -> list[Fact]:
    """The facts whose box holds that place."""
    x, y = place
    return [fact for fact in facts if fact.box[0] < x < fact.box[2] and fact.box[1] < y < fact.box[3]]


def test_persons_and_vehicles_are_found_where_they_are(finder: ObjectDetector, town: None) -> None:
    facts = finder.detect(street(0, 0.2)[0])
    assert facts == sorted(facts, key=lambda fact: -fact.score)
    assert all(0 <= left < right <= 1 and 0 <= top < bottom <= 1 for left, top, right, bottom in (f.box for f in facts))
    for place in WALKERS:
        (person,) = facts_at(facts, place)
        assert person.label == "person"
        assert person.score > 0.6
        assert person.box[2] - person.box[0] < 0.1  # a person's width, not the street's
    (van,) = facts_at(facts, VAN)
    assert van.label in ("car", "truck", "bus")
    assert [fact.label for fact in facts].count("person") == len(WALKERS)


def test_jpeg_file_gives_the_same_persons(finder: ObjectDetector, town: None) -> None:
    picture = street(10, 10.2)[0]
    from_file = finder.detect(encode_jpeg(VideoFrame.from_ndarray(picture, format="rgb24")))
    sure = [fact for fact in finder.detect(picture) if fact.score > 0.6]
    assert sure
    for fact in sure:
        assert any(np.abs(np.subtract(fact.box, other.box)).max() < 0.02 for other in from_file)


def test_nobody_is_in_an_empty_picture(finder: ObjectDetector) -> None:
    assert finder.detect(np.full((360, 640, 3), 90, np.uint8)) == []


@pytest.mark.parametrize("raw", [b"", b"no picture", b"\xff\xd8\xff\xe0" + b"\0" * 40])
def test_bytes_that_are_no_picture_are_refused(finder: ObjectDetector, raw: bytes) -> None:
    with pytest.raises(InputError, match="cannot be decoded"):
        finder.detect(raw)
