"""A belt with parts, seen from above."""

from __future__ import annotations

from functools import cache

from core.demo.cameras.canvas import HEIGHT, WIDTH, Canvas, Point, Rgb
from core.demo.cameras.film import Film

_PART_SPACING, _BELT_STEP = 180, 12  # pixels between two parts, and that the belt moves from one picture to the next
_BELT_PERIOD = _PART_SPACING // _BELT_STEP  # pictures until the belt looks the same again
_BELT_Y = 190
_WRONG_PART_PERIODS = 5  # until the wrong part has left the picture


def belt() -> Film:
    """Equal parts that pass at equal distances."""
    return Film(2 * _BELT_PERIOD, lambda number: _draw_belt(number, wrong=False))


def belt_with_wrong_part() -> Film:
    """The same belt; one part is another one, and lies askew. It begins and ends like `belt`."""
    return Film(_WRONG_PART_PERIODS * _BELT_PERIOD, lambda number: _draw_belt(number, wrong=True))


def _draw_belt(number: int, wrong: bool) -> Rgb:
    canvas = Canvas(_factory_floor())
    shift = number * _BELT_STEP
    for seam in range(-1, WIDTH // 60 + 2):
        x = seam * 60 + shift % 60
        canvas.box((x, _BELT_Y), (3, 146), (40, 43, 48))
    first = -1 - shift // _PART_SPACING
    for part in range(first, first + WIDTH // _PART_SPACING + 3):
        place = (part * _PART_SPACING + shift + _PART_SPACING / 4, _BELT_Y)
        if wrong and part == -1:
            _draw_wrong_part(canvas, place)
        else:
            _draw_part(canvas, place)
    return canvas.pixels


@cache
def _factory_floor() -> Rgb:
    canvas = Canvas()
    canvas.gradient(0, HEIGHT, (66, 74, 84), (92, 98, 104))
    for x in range(0, WIDTH, 80):
        canvas.box((x, HEIGHT / 2), (2, HEIGHT), (60, 66, 74))
    canvas.box((WIDTH / 2, _BELT_Y), (WIDTH + 40, 186), (112, 118, 124))
    canvas.box((WIDTH / 2, _BELT_Y), (WIDTH + 40, 150), (52, 55, 60))
    for x in range(20, WIDTH, 60):  # the covers of its rollers
        canvas.box((x, _BELT_Y - 86), (40, 12), (176, 148, 52), radius=4)
        canvas.box((x, _BELT_Y + 86), (40, 12), (176, 148, 52), radius=4)
    canvas.box((WIDTH / 2 + 60, 40), (220, 34), (44, 50, 58), radius=6)  # a sensor bridge with its lamps
    for lamp, colour in enumerate([(60, 190, 90), (60, 190, 90), (210, 180, 60)]):
        canvas.disc((320 + lamp * 60, 40), 7, colour)
    canvas.grain(5, seed=1)
    canvas.text((14, 12), "DEMO", (214, 222, 230))
    return canvas.pixels


def _draw_part(canvas: Canvas, at: Point) -> None:
    x, y = at
    canvas.box((x + 4, y + 5), (104, 84), (34, 36, 40), radius=12)
    canvas.box(at, (104, 84), (88, 128, 168), radius=12)
    canvas.box(at, (92, 72), (120, 162, 204), radius=9)
    canvas.disc(at, 21, (82, 112, 142))
    canvas.disc(at, 15, (38, 46, 54))
    for across in (-36, 36):
        for down in (-26, 26):
            canvas.disc((x + across, y + down), 5, (204, 214, 224))


def _draw_wrong_part(canvas: Canvas, at: Point) -> None:
    x, y = at
    canvas.box((x + 4, y + 5), (112, 62), (34, 36, 40), radius=6, angle=0.5)
    canvas.box(at, (112, 62), (196, 86, 44), radius=6, angle=0.5)
    canvas.box(at, (96, 46), (232, 128, 62), radius=4, angle=0.5)
    canvas.line((x - 30, y - 22), (x + 8, y + 4), 6, (66, 26, 14))  # it is broken, and has no bore
    canvas.line((x + 8, y + 4), (x - 2, y + 24), 6, (66, 26, 14))
