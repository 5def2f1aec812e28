"""A machine hall with a clock."""

from __future__ import annotations

import math
from functools import cache

from core.demo.cameras.canvas import HEIGHT, WIDTH, Canvas, Point, Rgb
from core.demo.cameras.film import FPS, Film

_HALL_SECONDS = 10


def hall() -> Film:
    """Machines at work under a clock, whose hand moves once a second."""
    return Film(_HALL_SECONDS * FPS, _draw_hall)


def frozen_hall() -> Film:
    """The last picture of `hall`, again and again."""
    last = _HALL_SECONDS * FPS - 1
    return Film(2, lambda _: _draw_hall(last))


def _draw_hall(number: int) -> Rgb:
    canvas = Canvas(_machines())
    _draw_clock(canvas, (320, 78), seconds=number // FPS)
    for machine, phase in ((120, 0.0), (520, 2.1)):
        stroke = 26 * math.sin(number * 0.45 + phase)
        canvas.box((machine, 176 + stroke), (26, 84), (196, 202, 208), radius=3)
        canvas.box((machine, 222 + stroke), (62, 20), (222, 150, 48), radius=4)
    for wheel, x in enumerate((286, 356)):
        turned = (number * 0.16 + 0.2) * (-1 if wheel else 1)
        for tooth in range(10):
            angle = turned + tooth * math.tau / 10
            centre = (x + 36 * math.cos(angle), 252 + 36 * math.sin(angle))
            canvas.box(centre, (14, 12), (128, 134, 142), radius=2, angle=angle)
        canvas.disc((x, 252), 34, (142, 148, 156))
        canvas.disc((x, 252), 10, (64, 70, 78))
        for hole in range(5):
            angle = turned + hole * math.tau / 5
            canvas.disc((x + 22 * math.cos(angle), 252 + 22 * math.sin(angle)), 6, (84, 92, 100))
    lamp = (86, 206, 110) if number // 5 % 2 else (36, 84, 50)
    canvas.disc((194, 146), 7, lamp)
    canvas.disc((446, 146), 7, lamp)
    return canvas.pixels


@cache
def _machines() -> Rgb:
    canvas = Canvas()
    canvas.gradient(0, 250, (150, 158, 162), (188, 190, 186))
    canvas.gradient(250, HEIGHT, (118, 112, 104), (86, 82, 78))
    for window in (30, 118, 476, 564):
        canvas.box((window + 22, 62), (72, 74), (110, 120, 128), radius=2)
        canvas.box((window + 22, 62), (64, 66), (204, 224, 236))
        canvas.box((window + 22, 62), (3, 66), (110, 120, 128))
        canvas.box((window + 22, 62), (64, 3), (110, 120, 128))
    for machine in (120, 520):
        canvas.box((machine, 306), (196, 26), (58, 62, 68), radius=4)
        canvas.box((machine, 276), (150, 40), (70, 98, 118), radius=6)
        for pillar in (-64, 64):
            canvas.box((machine + pillar, 198), (20, 130), (84, 114, 136), radius=3)
        canvas.box((machine, 136), (168, 30), (70, 98, 118), radius=6)
    canvas.box((321, 306), (176, 24), (58, 62, 68), radius=4)
    canvas.box((321, 264), (160, 62), (96, 102, 110), radius=6)
    for stripe in range(0, WIDTH, 32):
        canvas.polygon([(stripe + 8, 334), (stripe + 24, 334), (stripe + 16, 346), (stripe, 346)], (206, 172, 48))
    canvas.grain(4, seed=3)
    canvas.text((228, 132), "DEMO", (50, 58, 66))
    return canvas.pixels


def _draw_clock(canvas: Canvas, centre: Point, seconds: int) -> None:
    x, y = centre
    canvas.disc(centre, 44, (58, 64, 70))
    canvas.disc(centre, 39, (246, 246, 240))
    for hour in range(12):
        angle = hour * math.tau / 12
        outer = (x + 35 * math.sin(angle), y - 35 * math.cos(angle))
        inner = (x + 30 * math.sin(angle), y - 30 * math.cos(angle))
        canvas.line(inner, outer, 2.4 if hour % 3 else 4, (58, 64, 70))
    for turns, length, width, colour in (
        (10 / 12, 19, 5.0, (40, 44, 50)),
        (9 / 60, 29, 4.0, (40, 44, 50)),
        (seconds / 60, 33, 2.0, (206, 48, 40)),
    ):
        angle = turns * math.tau
        canvas.line(centre, (x + length * math.sin(angle), y - length * math.cos(angle)), width, colour)
    canvas.disc(centre, 4, (206, 48, 40))
