"""Heat maps: read from PNG, and blended over a picture of any size."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from core.errors import XaivaError
from tests.tui.sample_inspection import grey_png
from tests.tui.sample_service import picture
from tui.picture.heat import HeatMap, blend
from tui.picture.inspected import InspectedPicture
from tui.picture.png import read_grey_png
from tui.picture.raster import Raster, read_ppm


def png_of(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["smooth", "noisy", "flat"])
def test_a_png_of_another_program_is_read_value_by_value(kind: str) -> None:
    """Its encoder chooses the filters of the rows by their content."""
    noise = random.Random(3)
    places = [(x, y) for y in range(23) for x in range(31)]
    values = {
        "smooth": bytes((x * 7 + y * 3) & 255 for x, y in places),
        "noisy": bytes(noise.randrange(256) for _ in places),
        "flat": bytes([9]) * len(places),
    }[kind]
    assert read_grey_png(png_of(Image.frombytes("L", (31, 23), values))) == (31, 23, values)


def test_every_filter_of_a_row_is_undone() -> None:
    """Rows as a sender would filter them: none, difference to the left, above, the mean of both, Paeth."""
    rows = [bytes([10, 20, 30]), bytes([5, 1, 1]), bytes([1, 1, 1]), bytes([10, 10, 10]), bytes([1, 2, 3])]
    data = grey_png_of_filtered([(kind, row) for kind, row in enumerate(rows)])
    assert read_grey_png(data) == (3, 5, bytes([10, 20, 30, 5, 6, 7, 6, 7, 8, 13, 20, 24, 14, 22, 27]))


def grey_png_of_filtered(rows: list[tuple[int, bytes]]) -> bytes:
    return grey_png(len(rows[0][1]), len(rows), b"".join(row for _, row in rows), [kind for kind, _ in rows])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P6 1 1 255\n...",
        png_of(Image.new("RGB", (4, 4))),
        png_of(Image.new("L", (4, 4)))[:-40],
        grey_png(4, 4, bytes(7)),
    ],
)
def test_what_is_no_heat_map_is_an_error_and_no_crash(data: bytes) -> None:
    with pytest.raises(XaivaError, match="Heat map"):
        read_grey_png(data)


@pytest.mark.parametrize("size", [(8, 4), (48, 27), (161, 91)])
def test_only_places_that_score_near_the_threshold_change(size: tuple[int, int]) -> None:
    """The map has a hot right half: the left edge stays, the right edge turns red."""
    width, height = size
    grey = Raster(width, height, bytes([100]) * (width * height * 3))
    values = bytes([20, 20, 250, 250] * 2)
    hot = blend(grey, HeatMap(4, 2, values, 0.5))
    assert (hot.width, hot.height, len(hot.rgb)) == (width, height, len(grey.rgb))
    first, last = hot.rgb[:3], hot.rgb[(width - 1) * 3 : width * 3]
    assert first == bytes([100] * 3)
    assert last[0] > 160
    assert last[1] < 60


def test_a_cold_picture_stays_as_it_is() -> None:
    data = picture(96)
    cold = InspectedPicture(lambda _: data, lambda: grey_png(4, 4, bytes([40] * 16)), 0.62)
    assert read_ppm(cold(96)) == read_ppm(data)
    assert cold.why == ""


def test_a_picture_without_a_heat_map_is_shown_with_the_reason() -> None:
    def gone() -> bytes:
        raise XaivaError("Inspection 7", "it has no heat map")

    plain = InspectedPicture(picture, gone, 0.62)
    assert plain(48) == picture(48)
    assert plain.why == "it has no heat map"


def test_the_heat_map_is_fetched_once_for_all_widths() -> None:
    fetched: list[int] = []

    def heat() -> bytes:
        fetched.append(1)
        return grey_png(2, 2, bytes([255] * 4))

    inspected = InspectedPicture(picture, heat, 0.62)
    assert len({inspected(width) for width in (24, 48, 96)}) == 3
    assert len(fetched) == 1
