"""A picture in a frame: live or still, as sharp and as often as the line to the terminal carries."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from core.errors import XaivaError
from tui.console_app import console_of
from tui.picture import blocks, kitty, sixel
from tui.picture.pace import Pace
from tui.picture.raster import CELL, Raster, fit, read_ppm, refined, resized
from tui.present.cells import Line, Span, wrap
from tui.present.figures import coarse
from tui.terminal.surface import Graphics, Surface, surface_of
from tui.widgets.lines import ROLE_CLASSES, Brush

Fetch: TypeAlias = Callable[[int], bytes]  # a width in pixels → the picture as PPM; raises XaivaError

STEP = 0.1  # seconds between two looks at what is to be done
EVERY = 1.0  # seconds between two live pictures, at least
SHARPEN = 0.2  # seconds between two of a still one, until it is sharp
CALM = 0.25  # seconds a cursor rests on a row before its picture is asked for
RETRY = 3.0  # seconds after a failure
STALE = 4.0  # seconds after which a live picture is said to be old
KITTY_WIDTHS = (48, 80, 120, 160, 240, 320, 480)
_NUMBERS = itertools.count((os.getpid() & 0xFFFF) << 8 | 1)  # of kitty's pictures; another program may have some, too
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Drawn:
    """A picture ready to be shown: `strips` of cells, or `text` for the terminal to draw over `columns` x `rows`.

    `sharpness` is the width that was asked for.
    """

    raster: Raster
    sharpness: int
    shape: tuple[int, int]
    columns: int
    rows: int
    strips: list[Strip]
    text: str = ""
    number: int = 0


class PictureView(Widget):
    """Shows what `aim` points it at. The next picture is asked for when the terminal has drawn the last: no queue."""

    COMPONENT_CLASSES: ClassVar[set[str]] = ROLE_CLASSES
    can_focus = False

    def __init__(self, title: str = "Picture", *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.border_title = title
        self._brush = Brush(self)
        self._fetch: Fetch | None = None
        self._key = ""
        self._live = False
        self._generation = 0
        self._asking = False
        self._wanted_once = False
        self._not_before = 0.0
        self._pace = Pace(1)
        self._shape = (16, 9)
        self._words = ""
        self._blank = False  # whether no words stand where the terminal draws a picture of its own
        self._waiting: _Drawn | None = None
        self._drawn: _Drawn | None = None
        self._arrived = 0.0
        self._graphics: Graphics | None = None
        self._surface: Surface | None = None
        self._placed: tuple[Region, int] | None = None  # where the terminal shows it, and after how many clearings
        self._in_view = True
        self._timer: Timer | None = None

    # -- what screens say ---------------------------------------------------------------------------------------------

    def aim(self, key: str, fetch: Fetch | None, *, live: bool = False, words: str = "", title: str = "") -> None:
        """Show another picture: `key` names it for as long as it is the same; `words` stand where there is none."""
        if title:
            self.border_title = title
        if key == self._key and (fetch is None) == (self._fetch is None):
            if fetch is None:
                self._say(words)
            return
        self._key, self._fetch, self._live = key, fetch, live
        self._generation += 1
        self._asking = self._wanted_once = False
        self._waiting = None
        self._shape = (16, 9)
        self._not_before = time.monotonic() + CALM
        self._pace = Pace(1)
        self._forget(words)

    def show_now(self) -> None:
        """One picture at once: how a thin line gets any, and how a still one is made anew."""
        self._wanted_once = True
        self._not_before = 0.0
        self._pace.at_once()

    def set_in_view(self, in_view: bool) -> None:
        """Whether the screen is in view. One that is not leaves nothing over the cells, and asks nobody."""
        self._in_view = in_view
        if not in_view:
            self._take_away()
        if self._timer is not None:
            (self._timer.resume if in_view else self._timer.pause)()

    # -- life ---------------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Ask which graphics there are, and begin to look."""
        self._timer = self.set_interval(STEP, self._step)
        self._surface = surface_of(self.app)
        self._surface.ask(self._learned)

    def on_unmount(self) -> None:
        """Nothing stays on the screen."""
        self._take_away()

    def on_resize(self) -> None:
        """Another size: the same picture, until the next one."""
        if self._drawn is not None and not self._drawn.text:
            self._drawn = None
        self._take_away()
        self._pace.at_once()
        self._wanted_once = self._wanted_once or self._arrived > 0

    def _learned(self, graphics: Graphics) -> None:
        self._graphics = graphics

    def _step(self) -> None:
        """One look: what is in flight, what waits to go out, what is to be asked for."""
        now, surface = time.monotonic(), self._surface
        if surface is None or self._graphics is None or not self._in_view:
            return
        self._tell_age(now)
        if self._pace.in_flight:
            if not surface.ready:
                return
            self._pace.drained(now)
        if self._placed and (surface.clearings != self._placed[1] or self._place() != self._placed[0]):
            self._take_away()
        if self._waiting is None and self._placed is None and self._drawn is not None and self._drawn.text:
            self._waiting = self._drawn
        if self._waiting is not None:
            if surface.ready and (not self._waiting.text or self._made_blank()):
                drawn, self._waiting = self._waiting, None
                self._show(drawn, now)
        elif self._is_due(now):
            self._ask()

    def _is_due(self, now: float) -> bool:
        if self._fetch is None or self._asking or now < self._not_before or not self.content_size.area:
            return False
        if self._wanted_once:
            return self._pace.due(now)
        if console_of(self).low_bandwidth:
            return False
        return self._pace.due(now) and (self._live or not self._arrived or not self._pace.sharpest)

    # -- asking and drawing, in a thread of its own -------------------------------------------------------------------

    def _ask(self) -> None:
        assert self._graphics is not None
        graphics, size, key = self._graphics, self.content_size, self._generation
        widths = _widths(graphics, size.width, size.height, self._shape)
        if self._pace.levels != len(widths):
            blind = self._surface is not None and self._surface.blind
            every = EVERY if self._live else SHARPEN
            self._pace = Pace(len(widths), every, blind, min(self._pace.level, len(widths) - 1))
            if console_of(self).low_bandwidth:
                self._pace.level = min(1, len(widths) - 1)
        width, zoom = widths[self._pace.level]
        # A sharper picture begins anew: it must not keep pixels of a coarse one that are nearly right.
        before = self._drawn.raster if self._drawn is not None and self._drawn.sharpness == width else None
        fetch, shape = self._fetch, self._shape
        assert fetch is not None
        self._asking, self._wanted_once = True, False

        def work() -> None:
            result: _Drawn | XaivaError
            try:
                raster = read_ppm(fetch(width))
                result = _draw(raster, refined(shape, raster), graphics, size, (width, zoom), before)
            except XaivaError as error:
                result = error
            except Exception as error:
                log.exception("picture %s", self._key)
                result = XaivaError("Picture", f"{type(error).__name__}: {error}")
            self.app.call_later(self._answered, key, result)

        threading.Thread(target=work, name="picture", daemon=True).start()

    def _answered(self, generation: int, result: _Drawn | XaivaError) -> None:
        if generation != self._generation:
            return
        self._asking = False
        if isinstance(result, XaivaError):
            self._not_before = time.monotonic() + RETRY
            if not self._arrived or time.monotonic() - self._arrived > STALE:
                self._forget(result.why or result.what)
            return
        self._shape = result.shape
        self._waiting = result

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show(self, drawn: _Drawn, now: float) -> None:
        surface = self._surface
        assert surface is not None
        before, self._drawn = self._drawn, drawn
        self._arrived = now
        self._say("")
        if drawn.text:
            if (place := self._place()) is None:
                return
            text = f"\x1b7\x1b[{place.y + 1};{place.x + 1}H{drawn.text}\x1b8"
            if before is not None and before.number and before.number != drawn.number:
                text += kitty.delete(before.number)
            surface.draw_over(text)
            self._placed = (place, surface.clearings)
        else:
            self._refresh_changed(before, drawn)
        self._pace.sent(now)

    def _made_blank(self) -> bool:
        """Whether the cells below are blank; if not, they will be with the next frame, before the picture."""
        if self._blank:
            return True
        self._blank = True
        self.refresh()
        return False

    def _refresh_changed(self, before: _Drawn | None, drawn: _Drawn) -> None:
        """Only the lines that differ: a still scene costs nothing."""
        if before is None or (before.columns, before.rows) != (drawn.columns, drawn.rows):
            self.refresh()
            return
        left, top = self._margin(drawn)
        for y, (old, new) in enumerate(zip(before.strips, drawn.strips, strict=True)):
            if old._segments != new._segments:
                self.refresh(Region(left, top + y, drawn.columns, 1))

    def _place(self) -> Region | None:
        """Where on the screen the terminal's own picture goes: never over the edge."""
        if self._drawn is None:
            return None
        left, top = self._margin(self._drawn)
        inner = self.content_region
        place = Region(inner.x + left, inner.y + top, self._drawn.columns, self._drawn.rows)
        return place if self.screen.region.contains_region(place) and inner.contains_region(place) else None

    def _margin(self, drawn: _Drawn) -> tuple[int, int]:
        return max(self.content_size.width - drawn.columns, 0) // 2, max(self.content_size.height - drawn.rows, 0) // 2

    def _take_away(self) -> None:
        """Off the screen; the cells below are drawn again."""
        if self._placed is None or self._surface is None:
            return
        place, self._placed = self._placed[0], None
        number = self._drawn.number if self._drawn else 0
        self._surface.uncover(place, kitty.delete(number) if number else "")

    def _forget(self, words: str) -> None:
        self._take_away()
        self._drawn, self._arrived, self._blank = None, 0.0, False
        self._say(words)
        self.refresh()

    def _say(self, words: str) -> None:
        if words != self._words:
            self._words = words
            self.refresh()

    def _tell_age(self, now: float) -> None:
        """A live picture that stands still says so."""
        age = int(now - self._arrived) if self._arrived and self._live else 0
        thin = console_of(self).low_bandwidth
        state = f"of {coarse(age)} ago" if age >= STALE else ""
        if thin and self._arrived and self._fetch is not None:
            state = " · ".join(word for word in (state, "v: another") if word)
        if (self.border_subtitle or "") != state:
            self.border_subtitle = state
        self.set_class(bool(state) and not thin, "-stale")

    # -- drawing in cells ---------------------------------------------------------------------------------------------

    def notify_style_update(self) -> None:
        """The theme changed."""
        super().notify_style_update()
        self._brush.forget()

    def render_line(self, y: int) -> Strip:
        """Half blocks, words, or blanks below the terminal's own picture."""
        width = self.content_size.width
        if self._drawn is None or not self._drawn.strips:
            return self._brush.strip(self._word_line(y, width), width)
        left, top = self._margin(self._drawn)
        if not 0 <= y - top < len(self._drawn.strips):
            return self._brush.strip((), width)
        middle = self._drawn.strips[y - top]
        right = width - left - middle.cell_length
        blank = self._brush.strip
        return Strip.join([blank((), left), middle, blank((), right)]) if right >= 0 else middle.crop(0, width)

    def _word_line(self, y: int, width: int) -> Line:
        if self._blank:
            return ()
        words = self._words
        if not words and self._fetch is not None:
            words = "v shows the picture" if console_of(self).low_bandwidth else "…"
        lines = wrap(words, max(width - 4, 1), "dim") if words else []
        at = y - max(self.content_size.height - len(lines), 0) // 2
        if not 0 <= at < len(lines):
            return ()
        text = lines[at]
        return (Span(" " * ((width - sum(len(span.text) for span in text)) // 2)), *text)


def _widths(graphics: Graphics, columns: int, rows: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The widths in pixels to choose from, coarsest first, each with sixel's zoom."""
    wide, _ = fit(columns, rows, *shape, graphics.cell or CELL)
    if graphics.kind == "kitty":
        most = wide * (graphics.cell or CELL)[0]
        return [(width, 1) for width in KITTY_WIDTHS if width <= max(most * 2 // 3, KITTY_WIDTHS[0])]
    if graphics.kind == "sixel" and graphics.cell:
        return sixel.zooms(graphics.cell[0], wide)
    return [(max(wide // part, 8), 1) for part in (4, 2, 1)]


def _draw(
    raster: Raster,
    shape: tuple[int, int],
    graphics: Graphics,
    area: Size,
    wanted: tuple[int, int],
    before: Raster | None,
) -> _Drawn:
    """What the terminal is to get for a picture in an area of cells; `wanted`: its width, and sixel's zoom."""
    width, zoom = wanted
    wide, high = fit(area.width, area.height, *shape, graphics.cell or CELL)
    if graphics.kind == "kitty":
        number = next(_NUMBERS)
        return _Drawn(raster, width, shape, wide, high, [], kitty.encode(raster, number, wide, high), number)
    if graphics.kind == "sixel" and graphics.cell:
        most = Raster(raster.width, min(raster.height, high * graphics.cell[1] // zoom), raster.rgb)
        return _Drawn(raster, width, shape, wide, high, [], sixel.encode(most, zoom))
    shown = blocks.steady(before, resized(raster, wide, high * 2))
    return _Drawn(shown, width, shape, wide, high, blocks.strips(shown))
