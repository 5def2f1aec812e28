"""Styles as a terminal knows them: parsed SGR codes, and the shortest way from one style to another."""

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
_SEEN_ON_BLANKS = frozenset({"4", "21", "7", "9", "51", "52", "53"})  # attributes that show on a space
_NOT_PLAIN_COLOUR = 38  # 38 and 48 start a colour of several parameters


class Look(NamedTuple):
    """How a cell is drawn: foreground and background as SGR parameters ("" for the default), and attributes.

    `blank` marks a space whose foreground nobody sees.
    """

    foreground: str = ""
    background: str = ""
    attributes: frozenset[str] = frozenset()
    blank: bool = False


PLAIN = Look()


@lru_cache(4096)
def parse(codes: str) -> Look:
    """The look of SGR parameters such as "1;38;2;255;0;0"."""
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
    return Look(foreground, background, frozenset(attributes))


@lru_cache(4096)
def parse_blank(codes: str) -> Look:
    """The look of a space drawn with `codes`: what cannot be seen on a space is dropped."""
    look = parse(codes)
    if look.attributes & _SEEN_ON_BLANKS:
        return look
    return Look("", look.background, frozenset(), blank=True)


@lru_cache(8192)
def change(now: Look, wanted: Look) -> tuple[str, Look]:
    """The shortest escape sequence that turns the terminal's style `now` into `wanted`, and the style it then has.

    A blank look takes whatever foreground stands, as long as no attribute shows on a space.
    """
    if wanted.blank:
        if not now.attributes & _SEEN_ON_BLANKS:
            wanted = Look(now.foreground, wanted.background, now.attributes)
        else:
            wanted = Look("", wanted.background, frozenset())
    if now == wanted:
        return "", wanted
    if wanted == PLAIN:
        return "\x1b[m", wanted
    delta = _delta(now, wanted)
    fresh = ";".join(["0", *sorted(wanted.attributes), *filter(None, (wanted.foreground, wanted.background))])
    return f"\x1b[{delta if len(delta) <= len(fresh) else fresh}m", wanted


def _delta(now: Look, wanted: Look) -> str:
    off = {_OFF[attribute] for attribute in now.attributes - wanted.attributes if attribute in _OFF}
    kept_but_cleared = {item for item in now.attributes & wanted.attributes if _OFF.get(item) in off}
    parts = [*sorted(off), *sorted((wanted.attributes - now.attributes) | kept_but_cleared)]
    if now.foreground != wanted.foreground:
        parts.append(wanted.foreground or "39")
    if now.background != wanted.background:
        parts.append(wanted.background or "49")
    return ";".join(parts)
