"""The shortest ways to move the cursor from one cell to another."""

from __future__ import annotations

from functools import lru_cache

UNKNOWN_POSITION = -1  # a cursor column or row that is not certain
_MAX_BACKSPACES = 3  # with more, a sequence is as short
_MAX_TABS = 3  # the same for vertical tabs, which go down a row and keep the column, as a line feed does not always


@lru_cache(4096)
def move(x: int, y: int, to_x: int, to_y: int) -> str:
    """The bytes that move the cursor from (x, y) to (to_x, to_y); "" when it is there. Rows and columns from 0."""
    absolute = f"\x1b[{to_y + 1};{to_x + 1}H" if to_x else f"\x1b[{to_y + 1}H" if to_y else "\x1b[H"
    if y == UNKNOWN_POSITION:
        return absolute
    relative = _vertical(y, to_y) + _horizontal(x, to_x)
    return relative if len(relative) < len(absolute) else absolute


def _vertical(y: int, to: int) -> str:
    if y == to:
        return ""
    step = abs(to - y)
    if 0 < to - y <= _MAX_TABS:
        return "\v" * step
    return min(f"\x1b[{step if step > 1 else ''}{'B' if to > y else 'A'}", f"\x1b[{to + 1}d", key=len)


def _horizontal(x: int, to: int) -> str:
    if x == to:
        return ""
    if to == 0:
        return "\r"
    ways = [f"\x1b[{to + 1}G"]
    if x != UNKNOWN_POSITION:
        step = abs(to - x)
        ways.append(f"\x1b[{step if step > 1 else ''}{'C' if to > x else 'D'}")
        if to < x and step <= _MAX_BACKSPACES:
            ways.append("\b" * step)
    return min(ways, key=len)
