"""Pictures as bytes: what each kind of terminal gets shows the pixels that the service sent."""

from __future__ import annotations

import base64
import random
import re
import zlib

import pytest

from core.errors import XaivaError
from core.inference.cameras.thumbnail import thumbnail
from tui.picture import blocks, kitty, sixel
from tui.picture.raster import Raster, fit_cells, read_ppm, refine_shape, resize
from tui.picture.rate_control import INTERVAL_WITHOUT_RECEIPTS, TOO_SLOW_FOR_SECONDS, RateControl
from tui.terminal.capabilities import TerminalCapabilities
from tui.terminal.frame import TerminalFrame


def noise(width: int, height: int) -> Raster:
    """What no compression makes small."""
    return Raster(width, height, random.Random(7).randbytes(width * height * 3))


def gradient(width: int, height: int) -> Raster:
    """Red grows to the right, blue downwards."""
    pixels = bytes(
        value for y in range(height) for x in range(width) for value in (x * 255 // width, 40, y * 255 // height)
    )
    return Raster(width, height, pixels)


def ppm(raster: Raster) -> bytes:
    return b"P6 %d %d 255\n" % (raster.width, raster.height) + raster.rgb


def colour_distance(first: bytes, second: bytes) -> int:
    """The largest difference of two colours."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def test_what_the_service_sends_is_read() -> None:
    raster = gradient(16, 9)
    assert read_ppm(ppm(raster)) == raster


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0", b"P6 2 2 255\nshort", b"P6 0 0 255\n"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(XaivaError, match="not a picture"):
        read_ppm(data)


def test_the_thumbnail_of_a_real_jpeg_has_its_colours() -> None:
    av = pytest.importorskip("av")
    import numpy as np

    from core.inference.cameras.conversion import encode_jpeg

    pixels = np.zeros((360, 640, 3), np.uint8)
    pixels[:, :320] = (220, 30, 30)
    pixels[:, 320:] = (30, 30, 220)
    small = read_ppm(thumbnail(encode_jpeg(av.VideoFrame.from_ndarray(pixels, format="rgb24")), 64))
    assert (small.width, small.height) == (64, 36)
    middle = 18 * 64 * 3
    assert colour_distance(small.rgb[middle + 30 : middle + 33], bytes((220, 30, 30))) < 12
    assert colour_distance(small.rgb[middle + 150 : middle + 153], bytes((30, 30, 220))) < 12
    with pytest.raises(XaivaError, match="cannot be decoded"):
        thumbnail(b"no jpeg", 64)


@pytest.mark.parametrize(("area", "shape", "wanted"), [((80, 20), (16, 9), (71, 20)), ((20, 20), (16, 9), (20, 6))])
def test_a_picture_fits_undistorted(area: tuple[int, int], shape: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert fit_cells(*area, *shape) == wanted


def test_a_picture_is_never_nothing() -> None:
    assert fit_cells(1, 1, 640, 360) == (1, 1)
    assert fit_cells(0, 5, 640, 360) == (1, 1)
    assert resize(Raster(1, 1, b"abc"), 3, 2).rgb == b"abc" * 6


def test_a_small_picture_does_not_change_the_shape_that_is_known() -> None:
    assert refine_shape((16, 9), Raster(17, 10, b"")) == (16, 9)  # 9.56 rows, rounded
    assert refine_shape((16, 9), Raster(40, 30, b"")) == (40, 30)
    assert refine_shape((17, 13), Raster(80, 60, b"")) == (80, 60)
    assert refine_shape((16, 9), Raster(8, 1, b"")) == (8, 1)


def test_resizing_takes_the_nearest_pixel() -> None:
    small = resize(gradient(16, 8), 4, 2)
    assert [small.rgb[at : at + 3] for at in (0, 3, 12)] == [
        gradient(16, 8).rgb[at : at + 3] for at in (0, 12, 4 * 16 * 3)
    ]


def test_kittys_pieces_are_the_picture() -> None:
    raster = noise(120, 68)
    sent = kitty.encode(raster, 77, 40, 11)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sent)
    assert all(len(data) <= kitty.PIECE for _, data in pieces)
    assert len(pieces) > 1
    assert [("m=1" in head) for head, _ in pieces] == [True] * (len(pieces) - 1) + [False]
    assert {"i=77", "c=40", "r=11", "s=120", "v=68", "C=1", "q=2"} <= set(pieces[0][0].split(","))
    pixels = zlib.decompress(base64.b64decode("".join(data for _, data in pieces)))
    assert colour_distance(pixels, raster.rgb) < 8


def decoded_sixel(sent: str) -> tuple[int, int, dict[tuple[int, int], bytes]]:
    """A sixel decoder: width, height, and every pixel that is drawn."""
    head = re.match(r'\x1bP0;1;0q"1;1;(\d+);(\d+)', sent)
    assert head is not None
    palette: dict[int, bytes] = {}
    pixels: dict[tuple[int, int], bytes] = {}
    colour = x = top = 0
    for token in re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|([$-])", sent[head.end() : -2]):
        if token[1]:
            palette[int(token[1])] = bytes(round(int(token[part]) * 2.55) for part in (2, 3, 4))
        elif token[5]:
            colour = int(token[5])
        elif token[9] == "$":
            x = 0
        elif token[9] == "-":
            x, top = 0, top + 6
        else:
            bits = ord(token[7] or token[8]) - 63
            count = int(token[6] or 1)
            pixels.update(
                {(x + step, top + bit): palette[colour] for step in range(count) for bit in range(6) if bits >> bit & 1}
            )
            x += count
    return int(head[1]), int(head[2]), pixels


@pytest.mark.parametrize("zoom", [2, 3, 6])
def test_sixel_draws_every_pixel_in_about_its_colour(zoom: int) -> None:
    raster = gradient(31, 13)
    width, height, pixels = decoded_sixel(sixel.encode(raster, zoom))
    assert (width, height) == (31 * zoom, 13 * zoom)
    assert set(pixels) == {(x, y) for x in range(width) for y in range(height)}
    for (x, y), colour in pixels.items():
        at = (y // zoom * 31 + x // zoom) * 3
        assert colour_distance(colour, raster.rgb[at : at + 3]) <= 51


def test_sixels_zooms_fill_at_most_the_cells() -> None:
    for width, zoom in sixel.zooms(9, 47):
        assert 9 * 47 - zoom < width * zoom <= 9 * 47


def test_half_blocks_show_two_pixels_a_cell() -> None:
    raster = Raster(2, 2, bytes((255, 0, 0)) + bytes((0, 255, 0)) + bytes((0, 0, 255)) + bytes((9, 9, 9)))
    (strip,) = blocks.strips(raster)
    assert strip.cell_length == 2
    colours = [(segment.style.color.triplet, segment.style.bgcolor.triplet) for segment in strip if segment.style]
    assert colours == [((255, 0, 0), (0, 0, 255)), ((0, 255, 0), (9, 9, 9))]


def test_noise_does_not_change_a_steady_picture_but_a_change_does() -> None:
    first = blocks.suppress_noise(None, gradient(20, 10))
    noisy = bytes(max(value - 5, 0) for value in gradient(20, 10).rgb)
    assert blocks.suppress_noise(first, Raster(20, 10, noisy)) == first
    darker = bytes(value // 3 for value in gradient(20, 10).rgb)
    assert blocks.suppress_noise(first, Raster(20, 10, darker)) != first


# -- how often and how sharp ------------------------------------------------------------------------------------------


def test_a_quick_line_gets_sharper_pictures_and_a_slow_one_coarser_and_fewer() -> None:
    pace = RateControl(5, interval=1.0)
    now = 100.0
    for _ in range(6):
        assert pace.due(now)
        pace.sent(now)
        assert not pace.due(now + 50)  # never two on their way
        pace.drained(now + 0.1)
        assert not pace.due(now + 0.9)
        now += 1.0
    assert pace.level == 4
    assert pace.sharpest
    pace.sent(now)
    pace.drained(now + 2.0)
    assert pace.level == 3
    assert not pace.due(now + 3.9)  # the line rests for as long as the picture took
    assert pace.due(now + 4.0)


def test_a_level_that_was_too_slow_is_left_alone_for_a_while() -> None:
    pace = RateControl(3, level=2)
    pace.sent(0.0)
    pace.drained(1.0)
    pace.sent(2.0)
    pace.drained(2.1)
    assert pace.level == 1
    late = 2.2 + TOO_SLOW_FOR_SECONDS
    pace.sent(late)
    pace.drained(late + 0.1)
    assert pace.level == 2


def test_a_terminal_that_tells_nothing_gets_few_and_coarse_ones() -> None:
    pace = RateControl(5, lacks_receipts=True)
    pace.sent(0.0)
    pace.drained(0.0)
    assert pace.level == 0
    assert not pace.due(INTERVAL_WITHOUT_RECEIPTS - 0.1)
    assert pace.due(INTERVAL_WITHOUT_RECEIPTS)


# -- what the terminal says of itself ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kitty_too", "sixel_too", "cell"),
    [
        ("\x1b_Gi=31;OK\x1b\\\x1b[6;18;9t\x1b[?62;c", True, False, (9, 18)),
        ("\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\\x1b[?62;4;22c", False, True, None),
        ("\x1b[6;0;0t\x1b[?1;2c", False, False, None),
        ("\x1b[?4;6c", False, False, None),  # a VT132, not sixel: the first number is its class
    ],
)
def test_the_terminals_answers(answer: str, kitty_too: bool, sixel_too: bool, cell: tuple[int, int] | None) -> None:
    abilities = TerminalCapabilities()
    assert abilities.consume_answers(f"a{answer}b") == "ab"
    assert abilities.complete
    assert (abilities.kitty, abilities.sixel, abilities.cell) == (kitty_too, sixel_too, cell)


def test_every_first_part_of_an_answer_is_waited_for() -> None:
    for answer in ("\x1b_Gi=31;OK\x1b\\", "\x1b[6;18;9t", "\x1b[?62;4c"):
        assert all(TerminalCapabilities.may_begin_answer("x" + answer[:size]) for size in range(1, len(answer)))
    for keys in ("\x1b[A", "\x1b[1;1R", "x", "\x1bOP"):
        assert not TerminalCapabilities.may_begin_answer(keys)


def test_multiplexers_are_not_asked_what_they_would_take_for_a_title() -> None:
    assert "\x1b_G" in TerminalCapabilities.query({"TERM": "xterm-256color"})
    assert "\x1b_" not in TerminalCapabilities.query({"TERM": "tmux-256color"})
    assert "\x1b_" not in TerminalCapabilities.query({"TERM": "xterm-256color", "TMUX": "/tmp/tmux-0/default,1,0"})


def test_cells_below_a_picture_that_went_are_drawn_again() -> None:
    frame = TerminalFrame()
    frame.resize(20, 4)
    frame.set_text(0, 1, "hello", "")
    frame.flush()
    assert frame.flush() == ""
    frame.mark_unknown(1, 1, 3, 2)
    again = frame.flush()
    assert "ell" in again
    assert "o" not in again
    assert frame.flush() == ""
    frame.mark_unknown(-5, -5, 100, 100)  # what lies outside is cut
    assert "hello" in frame.flush()
