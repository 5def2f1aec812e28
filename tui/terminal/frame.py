"""A frame of terminal cells, and the shortest output that turns the current frame into the target frame.

This module knows neither Textual nor a real terminal. A row is a list of cells. A cell is `(text, style)`; `text` is
one grapheme, or "" for the right half of a wide one.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from rich.cells import split_graphemes

from tui.terminal.cursor_moves import UNKNOWN_POSITION, move
from tui.terminal.runs import CellRow, Run, TerminalCell, by_style
from tui.terminal.sgr import DEFAULT_STYLE, CellStyle, parse_blank_sgr, parse_sgr, style_change

EMPTY: TerminalCell = (" ", parse_blank_sgr(""))
UNKNOWN_CELL: TerminalCell = ("\0", DEFAULT_STYLE)  # differs from every target: the terminal shows something else there
_SORTED_RUNS = 64  # up to so many runs are sorted by cost; more would take too much CPU
_SORTED_CELLS = 400  # a larger frame goes out row by row, or style by style, whichever takes fewer bytes
# DECSC and DECRC: a style of 20 bytes comes back for 4. Saved again at once, for emulators that forget it.
_SAVE = "\x1b7"
_RESTORE = "\x1b8\x1b7"
_UNREACHABLE_COST = 1 << 10
# They occupy no cell and must never reach a terminal: controls, and marks that reverse the rest of a line.
_DIRECTIONS = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), *_DIRECTIONS))
_ERASE_FROM = 9  # a run of blanks this long is cheaper erased (ECH and a move) than written
_SHIFT_SAVES = 12  # so many cells must be saved for moving part of a row sideways to be worth it
_EMOJI = 0x1F000  # from here on, and for graphemes of several code points, terminals disagree on the width


class _CellCache(dict[str, TerminalCell]):
    """Grapheme → its cell in one style. Equal cells are one object, which saves memory and makes comparing fast."""

    def __init__(self, codes: str) -> None:
        blank = (" ", parse_blank_sgr(codes))
        super().__init__({" ": blank, "\xa0": blank})
        self._style = parse_sgr(codes)

    def __missing__(self, grapheme: str) -> TerminalCell:
        cell = self[grapheme] = (grapheme, self._style)
        return cell


_cell_cache = lru_cache(256)(_CellCache)


@lru_cache(4096)
def cells_of(text: str, codes: str) -> tuple[TerminalCell, ...]:
    """The cells of `text` drawn with SGR parameters `codes`."""
    cache = _cell_cache(codes)
    if text.isascii() and text.isprintable():
        return tuple(map(cache.__getitem__, text))
    text = text.translate(_CONTROLS)
    cells: list[TerminalCell] = []
    for start, end, width in split_graphemes(text)[0]:
        grapheme = text[start:end]
        if width:
            cells.append(cache[grapheme])
        if width == 2:
            cells.append(cache[""])
    return tuple(cells)


class _SavedStyle(NamedTuple):
    """The style and the cursor position that the terminal has saved."""

    look: CellStyle
    x: int
    y: int


class TerminalFrame:
    """The target and the current content of the screen, and the output that turns one into the other.

    `set_text` changes the target; `flush` returns the output that brings the terminal up to date. Only the newest
    target is sent, however often it changed since the last flush.
    """

    def __init__(self, *, erase_keeps_background: bool = True) -> None:
        self.width = 0
        self.height = 0
        self.sent_cells = 0  # cells drawn so far, for measuring
        self.full_redraws = 0  # how often everything was drawn again
        self.can_repeat = False  # whether the terminal is known to repeat a character (REP)
        self._erase_keeps_background = erase_keeps_background
        self._target: list[CellRow] = []
        self._current: list[CellRow] = []
        self._dirty: set[int] = set()
        self._clear = True
        self._out: list[str] = []
        self._x = UNKNOWN_POSITION
        self._y = UNKNOWN_POSITION
        self._style = DEFAULT_STYLE
        self._saved: _SavedStyle | None = None
        self._style_changes: Counter[CellStyle] = Counter()  # how often a run has begun with a change to this style

    def resize(self, width: int, height: int) -> None:
        """Start over with an empty frame of this size."""
        self.width, self.height = width, height
        self._target = [[EMPTY] * width for _ in range(height)]
        self.invalidate()

    def invalidate(self) -> None:
        """Forget what the terminal shows: the next flush clears it and draws everything."""
        self._clear = True

    def mark_unknown(self, x: int, y: int, width: int, height: int) -> None:
        """Mark cells that something else was drawn over: the next flush draws them again."""
        for row in range(max(y, 0), min(y + height, len(self._current))):
            first, last = max(x, 0), min(x + width, self.width)
            self._current[row][first:last] = [UNKNOWN_CELL] * max(last - first, 0)
            self._dirty.add(row)

    def forget_saved_style(self) -> None:
        """Forget the saved style: something else had the terminal save another one."""
        self._saved = None

    @property
    def pending(self) -> bool:
        """Whether a flush may have something to send."""
        return self._clear or bool(self._dirty)

    def set_text(self, x: int, y: int, text: str, codes: str) -> int:
        """Put `text` at a position, cut to the frame. Returns the column after it."""
        cells = cells_of(text, codes)
        end = x + len(cells)
        if 0 <= y < self.height:
            row = self._target[y]
            if x >= 0 and end <= self.width:
                row[x:end] = cells
            else:
                first, last = max(0, x), min(self.width, end)
                row[first:last] = cells[first - x : max(first, last) - x]
            self._dirty.add(y)
        return end

    def flush(self) -> str:
        """The output that makes the terminal show the target; "" when it does already."""
        self._out = out = []
        if self._clear:
            out.append("\x1b[m\x1b[H\x1b[2J")
            self._x = self._y = 0
            self._style = DEFAULT_STYLE
            self._saved = None
            self._style_changes.clear()
            self._current = [[EMPTY] * self.width for _ in range(self.height)]
            self._dirty = set(range(self.height))
            self._clear = False
            self.full_redraws += 1
        dirty = [y for y in sorted(self._dirty) if self._target[y] != self._current[y]]
        runs = [run for y in dirty for run in self._runs(y)]
        if len(runs) <= _SORTED_RUNS and sum(run.stop - run.x for run in runs if not run.erase) <= _SORTED_CELLS:
            while runs:
                nearest = min(runs, key=self._cost_to_begin)
                runs.remove(nearest)
                self._draw_run(nearest)
        self._draw_cheaper(runs, by_style(runs, self._target, self._style))
        for y in dirty:
            self._current[y] = self._target[y].copy()
        self._dirty.clear()
        return "".join(out)

    def cursor_to(self, x: int, y: int) -> str:
        """The output that moves the cursor to a position; "" when it is there."""
        self._out = []
        self._move(max(0, min(x, self.width - 1)), max(0, min(y, self.height - 1)))
        return "".join(self._out)

    # ------------------------------------------------------------------ order

    def _draw_cheaper(self, runs: list[Run], other: list[Run]) -> None:
        """Draw in whichever of two orders takes fewer bytes."""
        start, changes = self._state, self._style_changes.copy()
        before = len(self._out)
        for run in other:
            self._draw_run(run)
        drawn, end, changes_then = self._out[before:], self._state, self._style_changes
        del self._out[before:]
        self._state, self._style_changes = start, changes
        for run in runs:
            self._draw_run(run)
        if len("".join(drawn)) < len("".join(self._out[before:])):
            self._out[before:] = drawn
            self._state, self._style_changes = end, changes_then

    @property
    def _state(self) -> tuple[int, int, CellStyle, _SavedStyle | None, int]:
        """The part of the state that drawing changes."""
        return self._x, self._y, self._style, self._saved, self.sent_cells

    @_state.setter
    def _state(self, state: tuple[int, int, CellStyle, _SavedStyle | None, int]) -> None:
        self._x, self._y, self._style, self._saved, self.sent_cells = state

    # ------------------------------------------------------------------ one row

    def _runs(self, y: int) -> list[Run]:
        """The changed runs of a row. A blank end that one sequence can erase is a run of its own."""
        target = self._target[y]
        changed = self._changed(y)
        if len(changed) >= _SHIFT_SAVES and self._shift(y, changed):
            changed = self._changed(y)
        tail = self._blank_tail(target)
        runs: list[Run] = []
        for x in changed:
            if x >= tail:
                runs.append(Run(y, x, self.width, erase=True))
                break
            if runs and (runs[-1].stop == x or self._is_one_stroke(target, runs[-1].stop - 1, x)):
                runs[-1] = runs[-1]._replace(stop=x + 1)
            else:
                runs.append(Run(y, x, x + 1))
        return runs

    def _is_one_stroke(self, target: CellRow, first: int, last: int) -> bool:
        """Whether these cells are equal, and one sequence erases or repeats them all, unchanged ones included."""
        cell = target[first]
        one_stroke = self._can_erase(cell[1]) if cell[1].blank else self.can_repeat
        return one_stroke and all(target[x] == cell for x in range(first + 1, last + 1))

    def _changed(self, y: int) -> list[int]:
        pairs = enumerate(zip(self._target[y], self._current[y], strict=True))
        return [x for x, (target, current) in pairs if target is not current and target != current]

    def _cost_to_begin(self, run: Run) -> int:
        """The bytes needed before a run can be drawn: a move and a change of style."""
        style = self._target[run.y][run.x][1]
        plain = len(move(self._x, self._y, run.x, run.y)) + len(style_change(self._style, style)[0])
        return min(plain, self._cost_to_restore(run, style))

    def _cost_to_restore(self, run: Run, style: CellStyle) -> int:
        """The same, starting from the saved style and position."""
        saved = self._saved
        if saved is None or style_change(saved.look, style)[0]:
            return _UNREACHABLE_COST
        return len(_RESTORE) + len(move(saved.x, saved.y, run.x, run.y))

    def _draw_run(self, run: Run) -> None:
        target, current = self._target[run.y], self._current[run.y]
        self._begin_run(run, target[run.x][1])
        if run.erase:
            self._erase_tail(run.x, run.y, target)
            return
        x = run.x
        while x < run.stop:
            x = self._draw_from(x, run, target, current)

    def _begin_run(self, run: Run, style: CellStyle) -> None:
        """Restore the saved style where that is shorter than sending it; save the style that is used most."""
        sequence, after = style_change(self._style, style)
        if len(sequence) <= len(_RESTORE) or style.blank:
            return
        self._style_changes[after] += 1
        if self._saved and self._cost_to_restore(run, style) < len(sequence) + len(
            move(self._x, self._y, run.x, run.y)
        ):
            self._out.append(_RESTORE)
            self._style, self._x, self._y = self._saved
        elif self._saved is None or self._style_changes[after] > self._style_changes[self._saved.look]:
            self._move(run.x, run.y)
            self._set_style(style)
            self._out.append(_SAVE)
            self._saved = _SavedStyle(self._style, self._x, self._y)

    def _draw_from(self, x: int, run: Run, target: CellRow, current: CellRow) -> int:
        """Draw the run's cells from `x` to its end, or past a run of blanks. Returns the column reached."""
        y = run.y
        if target[x][0] == "" and x:
            x -= 1  # half of a wide character: draw the whole
        self._advance_to(x, y, target, current)
        while x < run.stop:
            text, style = target[x]
            blanks = self._blank_run(x, run.stop, target) if style.blank else 0
            if blanks:
                self._set_style(style)
                self._out.append(f"\x1b[{blanks}X")
                self.sent_cells += blanks
                return x + blanks
            if self._x == UNKNOWN_POSITION:
                self._move(x, y)
            self._set_style(style)
            width = 2 if x + 1 < self.width and target[x + 1][0] == "" else 1
            self._put(text, width)
            x += width
            if self.can_repeat and self._x == x:
                x += self._repeat(x, run.stop, target)
        return x

    def _repeat(self, x: int, stop: int, target: CellRow) -> int:
        """Have the character before column `x` repeated; returns how often, 0 where that saves nothing."""
        cell = target[x - 1]
        end = x
        while end < stop and target[end] == cell:
            end += 1
        sequence = f"\x1b[{end - x}b"
        if len(cell[0].encode()) * (end - x) <= len(sequence):
            return 0
        self._out.append(sequence)
        self.sent_cells += end - x
        self._x = end if end < self.width else UNKNOWN_POSITION
        return end - x

    def _put(self, text: str, width: int) -> None:
        self._out.append(text)
        self.sent_cells += width
        self._x += width
        doubtful = len(text) > 1 or ord(text[0]) >= _EMOJI
        if self._x >= self.width or doubtful:
            self._x = UNKNOWN_POSITION  # only an absolute move is safe in the last column, and where terminals disagree

    def _blank_run(self, x: int, stop: int, target: CellRow) -> int:
        """The number of equal blanks from `x` that one sequence should erase, or 0."""
        cell = target[x]
        end = x
        while end < stop and target[end] == cell:
            end += 1
        return end - x if end - x >= _ERASE_FROM and self._can_erase(cell[1]) else 0

    def _blank_tail(self, target: CellRow) -> int:
        """The column from which the row ends in equal blanks that may be erased; the width if there are none."""
        last = target[-1] if target else EMPTY
        if not last[1].blank or not self._can_erase(last[1]):
            return self.width
        x = self.width
        while x and target[x - 1] == last:
            x -= 1
        return x if self.width - x > 3 else self.width  # EL costs three bytes

    def _erase_tail(self, x: int, y: int, target: CellRow) -> None:
        self._move(x, y)
        self._set_style(target[-1][1])
        self._out.append("\x1b[K")
        self.sent_cells += self.width - x

    def _can_erase(self, style: CellStyle) -> bool:
        return self._erase_keeps_background or not style.background

    def _shift(self, y: int, changed: list[int]) -> bool:
        """Move part of a row one cell to the left, as a scrolling graph does: delete a cell here, insert one there.

        Returns False when that would not save much.
        """
        target, current = self._target[y], self._current[y]
        start, end = changed[0], changed[-1] + 1
        left = sum(target[x] != current[x + 1] for x in range(start, end - 1))
        if len(changed) - left < _SHIFT_SAVES or any(text == "" for text, _ in current[start:]):
            return False
        self._move(start, y)
        self._set_style(EMPTY[1])
        self._out.append("\x1b[P")
        self._move(end - 1, y)
        self._out.append("\x1b[@")
        self._current[y] = [*current[:start], *current[start + 1 : end], EMPTY, *current[end:]]
        return True

    # ------------------------------------------------------------- cursor and style

    def _set_style(self, style: CellStyle) -> None:
        sequence, self._style = style_change(self._style, style)
        if sequence:
            self._out.append(sequence)

    def _advance_to(self, x: int, y: int, target: CellRow, current: CellRow) -> None:
        """Move to a column ahead, by writing the cells in between again when that is shorter."""
        gap = x - self._x
        if self._y == y and self._x != UNKNOWN_POSITION and 0 < gap <= 4:
            between = target[self._x : x]
            plain = all(len(text) == 1 and text.isascii() for text, _ in between)
            if (
                plain
                and between == current[self._x : x]
                and all(style_change(self._style, look)[0] == "" for _, look in between)
            ):
                self._out.append("".join([text for text, _ in between]))
                self._x = x
                return
        self._move(x, y)

    def _move(self, x: int, y: int) -> None:
        self._out.append(move(self._x, self._y, x, y))
        self._x, self._y = x, y
