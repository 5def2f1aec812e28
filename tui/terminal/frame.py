"""A frame of terminal cells, and the shortest bytes that turn the shown frame into the wanted one.

Pure: it knows neither Textual's widgets nor a terminal. A row is a list of cells; a cell is `(text, look)` where
`text` is one grapheme, or "" for the right half of a wide one.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from rich.cells import split_graphemes

from tui.terminal.moves import UNKNOWN, move
from tui.terminal.sgr import PLAIN, Look, change, parse, parse_blank

Cell = tuple[str, Look]
Row = list[Cell]

EMPTY: Cell = (" ", parse_blank(""))
LOST: Cell = ("\0", PLAIN)  # whatever is wanted there, the terminal shows something else
_SORTED_RUNS = 64  # up to so many runs go out in the cheapest order; more of them would cost too much thought
_SORTED_CELLS = 400  # a larger frame is seen coming in on a thin line: from top to bottom, as one reads
# DECSC and DECRC: a style of 20 bytes comes back for 4. Saved again at once, for emulators that forget it.
_SAVE = "\x1b7"
_RESTORE = "\x1b8\x1b7"
_NO_WAY = 1 << 10
# They take no cell, and must never reach a terminal: controls, and what turns the rest of its line around.
_DIRECTIONS = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), *_DIRECTIONS))
_ERASE_FROM = 9  # a run of blanks this long is cheaper erased (ECH and a move) than written
_SHIFT_SAVES = 12  # so many cells must be saved for moving part of a row sideways to be worth it
_EMOJI = 0x1F000  # from here on, and for graphemes of several code points, terminals disagree on the width


class _Drawn(dict[str, Cell]):
    """Graphemes → their cells in one style. Like cells are one object: that saves memory, and time in comparing."""

    def __init__(self, codes: str) -> None:
        blank = (" ", parse_blank(codes))
        super().__init__({" ": blank, "\xa0": blank})
        self._look = parse(codes)

    def __missing__(self, grapheme: str) -> Cell:
        cell = self[grapheme] = (grapheme, self._look)
        return cell


_drawn = lru_cache(256)(_Drawn)


@lru_cache(4096)
def cells_of(text: str, codes: str) -> tuple[Cell, ...]:
    """The cells of `text` drawn with SGR parameters `codes`."""
    drawn = _drawn(codes)
    if text.isascii() and text.isprintable():
        return tuple(map(drawn.__getitem__, text))
    text = text.translate(_CONTROLS)
    cells: list[Cell] = []
    for start, end, width in split_graphemes(text)[0]:
        grapheme = text[start:end]
        if width:
            cells.append(drawn[grapheme])
        if width == 2:
            cells.append(drawn[""])
    return tuple(cells)


class _Run(NamedTuple):
    """Cells [x, stop) of row `y` that are to be drawn, or a row's blank end that is to be erased."""

    y: int
    x: int
    stop: int
    erase: bool = False


class _Kept(NamedTuple):
    """What the terminal has saved of itself: a style, and with it a place of the cursor."""

    look: Look
    x: int
    y: int


class Frame:
    """What is wanted on the screen and what is shown there, and the way from one to the other.

    `fold` takes new content in; `flush` returns the bytes that bring the terminal up to date. Between two flushes
    any number of folds may happen: only the newest content is sent.
    """

    def __init__(self, *, erase_keeps_background: bool = True) -> None:
        self.width = 0
        self.height = 0
        self.sent_cells = 0  # cells drawn so far, for measuring
        self.clearings = 0  # how often everything was drawn anew
        self._erase_keeps_background = erase_keeps_background
        self._wanted: list[Row] = []
        self._shown: list[Row] = []
        self._dirty: set[int] = set()
        self._clear = True
        self._out: list[str] = []
        self._x = UNKNOWN
        self._y = UNKNOWN
        self._look = PLAIN
        self._kept: _Kept | None = None
        self._asked: Counter[Look] = Counter()  # how often a run has begun with a change to this style

    def resize(self, width: int, height: int) -> None:
        """Start over with an empty frame of this size."""
        self.width, self.height = width, height
        self._wanted = [[EMPTY] * width for _ in range(height)]
        self.forget()

    def forget(self) -> None:
        """The terminal's content is unknown: the next flush clears it and draws everything."""
        self._clear = True

    def lose(self, x: int, y: int, width: int, height: int) -> None:
        """Something else was drawn over these cells: the next flush draws them again."""
        for row in range(max(y, 0), min(y + height, len(self._shown))):
            first, last = max(x, 0), min(x + width, self.width)
            self._shown[row][first:last] = [LOST] * max(last - first, 0)
            self._dirty.add(row)

    def saved_over(self) -> None:
        """Something else had the terminal save its cursor and style: ours is not there any more."""
        self._kept = None

    @property
    def pending(self) -> bool:
        """Whether a flush may have something to send."""
        return self._clear or bool(self._dirty)

    def fold(self, x: int, y: int, text: str, codes: str) -> int:
        """Put `text` at a place; what lies outside the frame is cut. Returns the column after it."""
        cells = cells_of(text, codes)
        end = x + len(cells)
        if 0 <= y < self.height:
            row = self._wanted[y]
            if x >= 0 and end <= self.width:
                row[x:end] = cells
            else:
                first, last = max(0, x), min(self.width, end)
                row[first:last] = cells[first - x : max(first, last) - x]
            self._dirty.add(y)
        return end

    def flush(self) -> str:
        """The bytes that make the terminal show the wanted frame; "" when it does already."""
        self._out = out = []
        if self._clear:
            out.append("\x1b[m\x1b[H\x1b[2J")
            self._x = self._y = 0
            self._look = PLAIN
            self._kept = None
            self._asked.clear()
            self._shown = [[EMPTY] * self.width for _ in range(self.height)]
            self._dirty = set(range(self.height))
            self._clear = False
            self.clearings += 1
        dirty = [y for y in sorted(self._dirty) if self._wanted[y] != self._shown[y]]
        runs = [run for y in dirty for run in self._runs(y)]
        if len(runs) <= _SORTED_RUNS and sum(run.stop - run.x for run in runs if not run.erase) <= _SORTED_CELLS:
            while runs:
                nearest = min(runs, key=self._way)
                runs.remove(nearest)
                self._draw_run(nearest)
        for run in runs:
            self._draw_run(run)
        for y in dirty:
            self._shown[y] = self._wanted[y].copy()
        self._dirty.clear()
        return "".join(out)

    def cursor_to(self, x: int, y: int) -> str:
        """The bytes that put the cursor at a place; "" when it is there."""
        self._out = []
        self._move(max(0, min(x, self.width - 1)), max(0, min(y, self.height - 1)))
        return "".join(self._out)

    # ------------------------------------------------------------------ one row

    def _runs(self, y: int) -> list[_Run]:
        """The stretches of a row that changed; its blank end, if it can be erased at one stroke, is one of its own."""
        wanted = self._wanted[y]
        changed = self._changed(y)
        if len(changed) >= _SHIFT_SAVES and self._shift(y, changed):
            changed = self._changed(y)
        tail = self._blank_tail(wanted)
        runs: list[_Run] = []
        for x in changed:
            if x >= tail:
                runs.append(_Run(y, x, self.width, erase=True))
                break
            if runs and runs[-1].stop == x:
                runs[-1] = runs[-1]._replace(stop=x + 1)
            else:
                runs.append(_Run(y, x, x + 1))
        return runs

    def _changed(self, y: int) -> list[int]:
        pairs = enumerate(zip(self._wanted[y], self._shown[y], strict=True))
        return [x for x, (wanted, shown) in pairs if wanted is not shown and wanted != shown]

    def _way(self, run: _Run) -> int:
        """The bytes it takes before a run can be drawn next: a move, and a change of style."""
        look = self._wanted[run.y][run.x][1]
        plain = len(move(self._x, self._y, run.x, run.y)) + len(change(self._look, look)[0])
        return min(plain, self._way_back(run, look))

    def _way_back(self, run: _Run, look: Look) -> int:
        """The same by way of what the terminal has saved."""
        kept = self._kept
        if kept is None or change(kept.look, look)[0]:
            return _NO_WAY
        return len(_RESTORE) + len(move(kept.x, kept.y, run.x, run.y))

    def _draw_run(self, run: _Run) -> None:
        wanted, shown = self._wanted[run.y], self._shown[run.y]
        self._begin(run, wanted[run.x][1])
        if run.erase:
            self._erase_tail(run.x, run.y, wanted)
            return
        x = run.x
        while x < run.stop:
            x = self._draw_from(x, run, wanted, shown)

    def _begin(self, run: _Run, look: Look) -> None:
        """Bring back the saved style where that is shorter than naming it; save the style that is asked for most."""
        sequence, after = change(self._look, look)
        if len(sequence) <= len(_RESTORE) or look.blank:
            return
        self._asked[after] += 1
        if self._kept and self._way_back(run, look) < len(sequence) + len(move(self._x, self._y, run.x, run.y)):
            self._out.append(_RESTORE)
            self._look, self._x, self._y = self._kept
        elif self._kept is None or self._asked[after] > self._asked[self._kept.look]:
            self._move(run.x, run.y)
            self._style(look)
            self._out.append(_SAVE)
            self._kept = _Kept(self._look, self._x, self._y)

    def _draw_from(self, x: int, run: _Run, wanted: Row, shown: Row) -> int:
        """Draw the run's cells from `x` on, to its end or behind a stretch of blanks. Returns the column reached."""
        y = run.y
        if wanted[x][0] == "" and x:
            x -= 1  # half of a wide character: draw the whole
        self._reach(x, y, wanted, shown)
        while x < run.stop:
            text, look = wanted[x]
            blanks = self._blank_run(x, run.stop, wanted) if look.blank else 0
            if blanks:
                self._style(look)
                self._out.append(f"\x1b[{blanks}X")
                self.sent_cells += blanks
                return x + blanks
            if self._x == UNKNOWN:
                self._move(x, y)
            self._style(look)
            self._put(text, 2 if x + 1 < self.width and wanted[x + 1][0] == "" else 1)
            x += 2 if x + 1 < self.width and wanted[x + 1][0] == "" else 1
        return x

    def _put(self, text: str, width: int) -> None:
        self._out.append(text)
        self.sent_cells += width
        self._x += width
        doubtful = len(text) > 1 or ord(text[0]) >= _EMOJI
        if self._x >= self.width or doubtful:
            self._x = UNKNOWN  # after the last column, and where terminals disagree, only an absolute move is safe

    def _blank_run(self, x: int, stop: int, wanted: Row) -> int:
        """The length of the run of like blanks from `x` that is worth erasing at one stroke, or 0."""
        cell = wanted[x]
        end = x
        while end < stop and wanted[end] == cell:
            end += 1
        return end - x if end - x >= _ERASE_FROM and self._can_erase(cell[1]) else 0

    def _blank_tail(self, wanted: Row) -> int:
        """The column from which on the row is one run of like blanks that may be erased; the width if there is none."""
        last = wanted[-1] if wanted else EMPTY
        if not last[1].blank or not self._can_erase(last[1]):
            return self.width
        x = self.width
        while x and wanted[x - 1] == last:
            x -= 1
        return x if self.width - x > 3 else self.width  # EL costs three bytes

    def _erase_tail(self, x: int, y: int, wanted: Row) -> None:
        self._move(x, y)
        self._style(wanted[-1][1])
        self._out.append("\x1b[K")
        self.sent_cells += self.width - x

    def _can_erase(self, look: Look) -> bool:
        return self._erase_keeps_background or not look.background

    def _shift(self, y: int, changed: list[int]) -> bool:
        """Move part of a row one cell to the left, as a scrolling graph does: delete a cell here, insert one there.

        False when that would not save much.
        """
        wanted, shown = self._wanted[y], self._shown[y]
        start, end = changed[0], changed[-1] + 1
        left = sum(wanted[x] != shown[x + 1] for x in range(start, end - 1))
        if len(changed) - left < _SHIFT_SAVES or any(text == "" for text, _ in shown[start:]):
            return False
        self._move(start, y)
        self._style(EMPTY[1])
        self._out.append("\x1b[P")
        self._move(end - 1, y)
        self._out.append("\x1b[@")
        self._shown[y] = [*shown[:start], *shown[start + 1 : end], EMPTY, *shown[end:]]
        return True

    # ------------------------------------------------------------- cursor and style

    def _style(self, look: Look) -> None:
        sequence, self._look = change(self._look, look)
        if sequence:
            self._out.append(sequence)

    def _reach(self, x: int, y: int, wanted: Row, shown: Row) -> None:
        """Move to a column ahead, by writing what stands between again when that is shorter."""
        gap = x - self._x
        if self._y == y and self._x != UNKNOWN and 0 < gap <= 4:
            between = wanted[self._x : x]
            plain = all(len(text) == 1 and text.isascii() for text, _ in between)
            if (
                plain
                and between == shown[self._x : x]
                and all(change(self._look, look)[0] == "" for _, look in between)
            ):
                self._out.append("".join([text for text, _ in between]))
                self._x = x
                return
        self._move(x, y)

    def _move(self, x: int, y: int) -> None:
        self._out.append(move(self._x, self._y, x, y))
        self._x, self._y = x, y
