"""A gate with a barrier, seen from the side of the road."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

from core.demo.cameras.canvas import HEIGHT, WIDTH, Canvas, Colour, Point, Rgb
from core.demo.cameras.film import Film

_GATE_PICTURES = 150
_ROAD_Y = 292
_BARRIER = (408.0, 268.0)


def gate() -> Film:
    """A car comes, the barrier opens for it; then somebody walks past."""
    return Film(_GATE_PICTURES, lambda number: _draw_gate(number, lorry=False))


def gate_with_lorry() -> Film:
    """The same traffic, but a lorry stands on the lawn. It begins and ends like `gate`."""
    return Film(_GATE_PICTURES, lambda number: _draw_gate(number, lorry=True))


def _draw_gate(number: int, lorry: bool) -> Rgb:
    canvas = Canvas(_yard())
    if lorry and 15 <= number < 110:
        _draw_lorry(canvas, (190, 214))
    car = _travelled(number, [(5, -160), (35, 260), (50, 260), (85, 860)])
    walker = _travelled(number, [(80, -40), (145, 690)])
    opened = _travelled(number, [(36, 0), (46, 1), (68, 1), (80, 0)])
    x, y = _BARRIER
    angle = math.pi + opened * 1.35
    tip = (x + 180 * math.cos(angle), y + 180 * math.sin(angle))
    for stripe in range(6):
        ends = [(x + (tip[0] - x) * share, y + (tip[1] - y) * share) for share in (stripe / 6, (stripe + 1) / 6)]
        canvas.line(ends[0], ends[1], 7, (206, 52, 44) if stripe % 2 else (236, 236, 232))
    if -40 < walker < 690:
        _draw_person(canvas, (walker, 236), math.sin(number * 0.9))
    if -160 < car < 860:
        _draw_car(canvas, (car, _ROAD_Y), number)
    canvas.box((x + 8, y + 14), (26, 70), (222, 178, 40), radius=4)  # the barrier's post
    return canvas.pixels


@cache
def _yard() -> Rgb:
    canvas = Canvas()
    canvas.gradient(0, 170, (126, 170, 214), (206, 222, 232))
    canvas.gradient(170, 250, (104, 138, 82), (88, 122, 70))
    canvas.gradient(250, HEIGHT, (96, 98, 102), (74, 76, 80))
    canvas.box((520, 122), (210, 118), (178, 164, 148))  # the gatehouse
    canvas.box((520, 60), (234, 16), (112, 74, 62), radius=3)
    for window in (456, 520, 584):
        canvas.box((window, 112), (38, 44), (70, 92, 112), radius=2)
        canvas.box((window, 112), (3, 44), (206, 198, 186))
    for tree in (60, 150, 300):
        canvas.box((tree, 150), (10, 50), (96, 72, 52))
        canvas.disc((tree, 108), 34, (62, 108, 58))
        canvas.disc((tree + 16, 122), 24, (74, 122, 66))
    for post in range(10, 410, 40):  # the fence
        canvas.box((post, 176), (4, 46), (92, 98, 104))
    for wire in (160, 172, 184):
        canvas.line((0, wire), (400, wire), 1.6, (128, 134, 140))
    for dash in range(20, WIDTH, 90):
        canvas.box((dash, 344), (50, 6), (212, 210, 196))
    canvas.box((WIDTH / 2, 252), (WIDTH + 20, 6), (168, 166, 160))
    canvas.grain(4, seed=2)
    canvas.text((14, 12), "DEMO", (24, 40, 60))
    return canvas.pixels


def _travelled(number: int, points: list[tuple[int, float]]) -> float:
    """The place at a picture's number on the way through the points (number, place)."""
    for (first, start), (last, end) in pairwise(points):
        if number <= last:
            return start + (end - start) * max(0.0, (number - first) / (last - first))
    return points[-1][1]


def _draw_car(canvas: Canvas, at: Point, number: int, paint: Colour = (176, 40, 46)) -> None:
    x, y = at
    dark = (paint[0] * 2 // 3, paint[1] * 2 // 3, paint[2] * 2 // 3)
    canvas.box((x, y + 38), (214, 10), (50, 52, 56), radius=5)  # its shadow
    canvas.polygon([(x - 62, y - 12), (x - 34, y - 46), (x + 40, y - 46), (x + 74, y - 12)], paint)
    canvas.polygon([(x - 50, y - 13), (x - 29, y - 40), (x + 2, y - 40), (x + 2, y - 13)], (92, 116, 134))
    canvas.polygon([(x + 8, y - 13), (x + 8, y - 40), (x + 36, y - 40), (x + 60, y - 13)], (92, 116, 134))
    canvas.box((x, y + 6), (210, 40), paint, radius=16)
    canvas.box((x, y + 20), (200, 12), dark, radius=6)
    canvas.box((x + 98, y + 2), (14, 12), (250, 240, 190), radius=4)
    canvas.box((x - 100, y + 2), (10, 12), (120, 16, 18), radius=4)
    canvas.line((x + 5, y - 10), (x + 5, y + 20), 1.6, dark)
    canvas.box((x - 12, y), (14, 3), dark, radius=1.5)
    for wheel in (-62, 64):
        canvas.disc((x + wheel, y + 24), 21, (28, 28, 30))
        canvas.disc((x + wheel, y + 24), 12, (168, 172, 178))
        turned = number * 0.9
        for spoke in range(3):
            angle = turned + spoke * 2.094
            end = (x + wheel + 11 * math.cos(angle), y + 24 + 11 * math.sin(angle))
            canvas.line((x + wheel, y + 24), end, 2, (88, 92, 98))


def _draw_person(canvas: Canvas, at: Point, swing: float) -> None:
    """Somebody walking; `at` is between the feet, `swing` from -1 to 1 the phase of a step."""
    x, y = at
    hip, shoulder = y - 46, y - 86
    canvas.box((x, y + 2), (44, 6), (70, 96, 58), radius=3)
    for side in (-1, 1):
        foot = (x + side * swing * 20, y)
        knee = (x + side * swing * 11 + 3, y - 24)
        canvas.line((x, hip), knee, 11, (38, 46, 66))
        canvas.line(knee, foot, 9, (38, 46, 66))
        canvas.line(foot, (foot[0] + 7, y), 7, (26, 24, 24))
        hand = (x - side * swing * 17, hip - 2)
        canvas.line((x, shoulder + 8), ((x + hand[0]) / 2 - 3, y - 64), 8, (222, 156, 44))
        canvas.line(((x + hand[0]) / 2 - 3, y - 64), hand, 7, (222, 156, 44))
        canvas.disc(hand, 4, (214, 168, 138))
    canvas.box((x, (hip + shoulder) / 2), (26, 48), (240, 172, 48), radius=10)
    canvas.line((x, shoulder - 2), (x, shoulder - 8), 8, (214, 168, 138))
    canvas.disc((x + 1, shoulder - 17), 11, (214, 168, 138))
    canvas.disc((x - 1, shoulder - 20), 10, (64, 44, 34))
    canvas.disc((x + 4, shoulder - 15), 8, (214, 168, 138))


def _draw_lorry(canvas: Canvas, at: Point) -> None:
    x, y = at
    canvas.box((x, y + 34), (250, 10), (58, 84, 48), radius=5)
    canvas.box((x - 26, y - 34), (186, 104), (226, 226, 222), radius=4)
    canvas.box((x - 26, y - 34), (170, 26), (44, 96, 160))
    canvas.box((x + 98, y - 12), (62, 76), (44, 96, 160), radius=8)
    canvas.polygon([(x + 96, y - 44), (x + 122, y - 44), (x + 126, y - 14), (x + 96, y - 14)], (150, 178, 198))
    canvas.box((x, y + 22), (248, 10), (48, 50, 54))
    for wheel in (-88, -50, 94):
        canvas.disc((x + wheel, y + 26), 17, (28, 28, 30))
        canvas.disc((x + wheel, y + 26), 8, (150, 154, 158))
