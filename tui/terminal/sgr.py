"""Terminal styles: parsed SGR codes, and the shortest sequence from one style to another."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

# Attribute -> the code that switches it off. 1 and 2 (bold, dim) share 22, 51 and 52 (frame, circle) share 54.
_OFF = {
    "1": "22",
    "2": "22",
    "3": "23",
    "4": "24",
    "21": "24",
    "5": "25",
    "6": "25",
    "7": "27",
    "8": "28",
    "9": "29",
    "51": "54",
    "52": "54",
    "53": "55",
}
_VISIBLE_ON_BLANKS = frozenset({"4", "21", "7", "9", "51", "52", "53"})  # attributes that show on a space
_NOT_PLAIN_COLOUR = 38  # 38 and 48 start a colour of several parameters


class CellStyle(NamedTuple):
    """How a cell is drawn: foreground and background as SGR parameters ("" for the default), and attributes.

    `blank` marks a space, whose foreground is invisible.
    """

    foreground: str = ""
    background: str = ""
    attributes: frozenset[str] = frozenset()
    blank: bool = False


DEFAULT_STYLE = CellStyle()


@lru_cache(4096)
def parse_sgr(codes: str) -> CellStyle:
    """The style of SGR parameters such as "1;38;2;255;0;0"."""
    foreground = background = ""
    attributes: set[str] = set()
    items = codes.split(";") if codes else []
    at = 0
    while at < len(items):
        item = items[at]
        number = int(item)
        size = 1
        if number in (_NOT_PLAIN_COLOUR, _NOT_PLAIN_COLOUR + 10):
            size = 5 if items[at + 1] == "2" else 3
        value = ";".join(items[at : at + size])
        if 30 <= number <= 39 or 90 <= number <= 97:
            foreground = "" if number == 39 else value
        elif 40 <= number <= 49 or 100 <= number <= 107:
            background = "" if number == 49 else value
        else:
            attributes.add(item)
        at += size
    return CellStyle(foreground, background, frozenset(attributes))


@lru_cache(4096)
def parse_blank_sgr(codes: str) -> CellStyle:
    """The style of a space drawn with `codes`, without the parts that are invisible on a space."""
    style = parse_sgr(codes)
    if style.attributes & _VISIBLE_ON_BLANKS:
        return style
    return CellStyle("", style.background, frozenset(), blank=True)


@lru_cache(8192)
def style_change(current: CellStyle, target: CellStyle) -> tuple[str, CellStyle]:
    """The shortest escape sequence that turns style `current` into `target`, and the style that the terminal then has.

    A blank style keeps the current foreground, unless an attribute is visible on a space.
    """
    if target.blank:
        if not current.attributes & _VISIBLE_ON_BLANKS:
            target = CellStyle(current.foreground, target.background, current.attributes)
        else:
            target = CellStyle("", target.background, frozenset())
    if current == target:
        return "", target
    if target == DEFAULT_STYLE:
        return "\x1b[m", target
    delta = _delta(current, target)
    fresh = ";".join(["0", *sorted(target.attributes), *filter(None, (target.foreground, target.background))])
    return f"\x1b[{delta if len(delta) <= len(fresh) else fresh}m", target


def _delta(current: CellStyle, target: CellStyle) -> str:
    off = {_OFF[attribute] for attribute in current.attributes - target.attributes if attribute in _OFF}
    kept_but_cleared = {item for item in current.attributes & target.attributes if _OFF.get(item) in off}
    parts = [*sorted(off), *sorted((target.attributes - current.attributes) | kept_but_cleared)]
    if current.foreground != target.foreground:
        parts.append(target.foreground or "39")
    if current.background != target.background:
        parts.append(target.background or "49")
    return ";".join(parts)
