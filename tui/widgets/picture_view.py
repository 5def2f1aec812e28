"""A live or still picture in a frame, as sharp and as frequent as the line to the terminal allows."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from core.errors import XaivaError
from tui.app_protocol import console_of
from tui.formatters.cells import Line, Span, wrap
from tui.formatters.numbers import coarse_duration
from tui.picture import blocks, kitty, sixel
from tui.picture.raster import DEFAULT_CELL_SIZE, Raster, fit_cells, read_ppm, refine_shape, resize
from tui.picture.rate_control import RateControl
from tui.terminal.picture_surface import Graphics, PictureSurface, surface_of
from tui.widgets.role_styles import RoleStyled

Fetch: TypeAlias = Callable[[int], bytes]  # a width in pixels → the picture as PPM; raises XaivaError

POLL_PERIOD = 0.1  # seconds between two checks for work
LIVE_SECONDS = 1.0  # seconds between two live pictures, at least
SHARPEN_SECONDS = 0.2  # seconds between two of a still one, until it is sharp
CURSOR_REST_SECONDS = 0.25  # seconds before the picture of the row under the cursor is requested
RETRY_SECONDS = 3.0  # seconds after a failure
STALE_SECONDS = 4.0  # seconds after which a live picture is marked as old
KITTY_WIDTHS = (48, 80, 120, 160, 240, 320, 480)
_NUMBERS = itertools.count((os.getpid() & 0xFFFF) << 8 | 1)  # of kitty's pictures; another program may have some, too
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _RenderedPicture:
    """A picture ready to be shown: `strips` of cells, or `text` for the terminal to draw over `columns` x `rows`.

    `sharpness` is the requested width in pixels.
    """

    raster: Raster
    sharpness: int
    shape: tuple[int, int]
    columns: int
    rows: int
    strips: list[Strip]
    text: str = ""
    number: int = 0


class PictureView(RoleStyled, Widget):
    """Shows the source that `set_source` names. It requests a picture when the terminal has drawn the last one."""

    can_focus = False

    def __init__(self, title: str = "Picture", *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.border_title = title
        self._fetch: Fetch | None = None
        self._key = ""
        self._live = False
        self._generation = 0
        self._is_fetching = False
        self._is_requested = False
        self._not_before = 0.0
        self._rate = RateControl(1)
        self._shape = (16, 9)
        self._placeholder = ""
        self._is_blank = False  # whether the cells under a picture that the terminal draws are blank
        self._next_rendered: _RenderedPicture | None = None
        self._rendered: _RenderedPicture | None = None
        self._arrived = 0.0
        self._graphics: Graphics | None = None
        self._surface: PictureSurface | None = None
        self._placed: tuple[Region, int] | None = None  # its cells, and the number of full redraws then
        self._in_view = True
        self._timer: Timer | None = None

    # -- what screens say ---------------------------------------------------------------------------------------------

    def set_source(
        self, key: str, fetch: Fetch | None, *, live: bool = False, words: str = "", title: str = ""
    ) -> None:
        """Show the picture that `key` identifies; `words` are shown when there is none."""
        if title:
            self.border_title = title
        if key == self._key and (fetch is None) == (self._fetch is None):
            if fetch is None:
                self._set_placeholder(words)
            return
        self._key, self._fetch, self._live = key, fetch, live
        self._generation += 1
        self._is_fetching = self._is_requested = False
        self._next_rendered = None
        self._shape = (16, 9)
        self._not_before = time.monotonic() + CURSOR_REST_SECONDS
        self._rate = RateControl(1)
        self._clear(words)

    def show_now(self) -> None:
        """Request one picture now. With low bandwidth this is the only way to get one."""
        self._is_requested = True
        self._not_before = 0.0
        self._rate.at_once()

    def set_in_view(self, in_view: bool) -> None:
        """Stop and remove the picture while its screen is hidden, and start again when it is shown."""
        self._in_view = in_view
        if not in_view:
            self._remove_picture()
        if self._timer is not None:
            (self._timer.resume if in_view else self._timer.pause)()

    # -- life ---------------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Ask the terminal for its graphics, and start the timer."""
        self._timer = self.set_interval(POLL_PERIOD, self._poll)
        self._surface = surface_of(self.app)
        self._surface.query_graphics(self._set_graphics)

    def on_unmount(self) -> None:
        """Nothing stays on the screen."""
        self._remove_picture()

    def on_resize(self) -> None:
        """Keep the picture until one for the new size arrives."""
        if self._rendered is not None and not self._rendered.text:
            self._rendered = None
        self._remove_picture()
        self._rate.at_once()
        self._is_requested = self._is_requested or self._arrived > 0

    def _set_graphics(self, graphics: Graphics) -> None:
        self._graphics = graphics

    def _poll(self) -> None:
        """Check the picture in flight, show the next one, or request one."""
        now, surface = time.monotonic(), self._surface
        if surface is None or self._graphics is None or not self._in_view:
            return
        self._show_age(now)
        if self._rate.in_flight:
            if not surface.ready:
                return
            self._rate.drained(now)
        if self._placed and (surface.full_redraws != self._placed[1] or self._region_on_screen() != self._placed[0]):
            self._remove_picture()
        was_removed = self._placed is None and self._rendered is not None and bool(self._rendered.text)
        if self._next_rendered is None and was_removed and self._region_on_screen() is not None:  # it still fits
            self._next_rendered = self._rendered
        if self._next_rendered is not None:
            if surface.ready and (not self._next_rendered.text or self._ensure_blank()):
                drawn, self._next_rendered = self._next_rendered, None
                self._show(drawn, now)
        elif self._is_due(now):
            self._fetch_next()

    def _is_due(self, now: float) -> bool:
        if self._fetch is None or self._is_fetching or now < self._not_before or not self.content_size.area:
            return False
        if self._is_requested:
            return self._rate.due(now)
        if console_of(self).low_bandwidth:
            return False
        return self._rate.due(now) and (self._live or not self._arrived or not self._rate.sharpest)

    # -- asking and drawing, in a thread of its own -------------------------------------------------------------------

    def _fetch_next(self) -> None:
        assert self._graphics is not None
        graphics, size, key = self._graphics, self.content_size, self._generation
        widths = _widths(graphics, size.width, size.height, self._shape)
        if self._rate.levels != len(widths):
            blind = self._surface is not None and self._surface.lacks_receipts
            every = LIVE_SECONDS if self._live else SHARPEN_SECONDS
            self._rate = RateControl(len(widths), every, blind, min(self._rate.level, len(widths) - 1))
            if console_of(self).low_bandwidth:
                self._rate.level = min(1, len(widths) - 1)
        width, zoom = widths[self._rate.level]
        # A sharper picture starts fresh: it must not keep similar pixels of a coarse one.
        before = self._rendered.raster if self._rendered is not None and self._rendered.sharpness == width else None
        fetch, shape = self._fetch, self._shape
        assert fetch is not None
        self._is_fetching, self._is_requested = True, False

        def work() -> None:
            result: _RenderedPicture | XaivaError
            try:
                raster = read_ppm(fetch(width))
                result = _render_picture(raster, refine_shape(shape, raster), graphics, size, (width, zoom), before)
            except XaivaError as error:
                result = error
            except Exception as error:
                log.exception("picture %s", self._key)
                result = XaivaError("Picture", f"{type(error).__name__}: {error}")
            self.app.call_later(self._take_result, key, result)

        threading.Thread(target=work, name="picture", daemon=True).start()

    def _take_result(self, generation: int, result: _RenderedPicture | XaivaError) -> None:
        if generation != self._generation:
            return
        self._is_fetching = False
        if isinstance(result, XaivaError):
            self._not_before = time.monotonic() + RETRY_SECONDS
            if not self._arrived or time.monotonic() - self._arrived > STALE_SECONDS:
                self._clear(result.why or result.what)
            return
        self._shape = result.shape
        self._next_rendered = result

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show(self, drawn: _RenderedPicture, now: float) -> None:
        surface = self._surface
        assert surface is not None
        before, self._rendered = self._rendered, drawn
        self._arrived = now
        self._set_placeholder("")
        if drawn.text:
            if (place := self._region_on_screen()) is None:
                self._not_before = now + RETRY_SECONDS
                return
            text = f"\x1b7\x1b[{place.y + 1};{place.x + 1}H{drawn.text}\x1b8"
            if before is not None and before.number and before.number != drawn.number:
                text += kitty.delete(before.number)
            surface.draw_over(text)
            self._placed = (place, surface.full_redraws)
        else:
            self._refresh_changed(before, drawn)
        self._rate.sent(now)

    def _ensure_blank(self) -> bool:
        """Whether the cells under the picture are blank. If not, the next frame blanks them."""
        if self._is_blank:
            return True
        self._is_blank = True
        self.refresh()
        return False

    def _refresh_changed(self, before: _RenderedPicture | None, drawn: _RenderedPicture) -> None:
        """Refresh only the lines that differ: a still scene sends nothing."""
        if before is None or (before.columns, before.rows) != (drawn.columns, drawn.rows):
            self.refresh()
            return
        left, top = self._margin(drawn)
        for y, (old, new) in enumerate(zip(before.strips, drawn.strips, strict=True)):
            if [*old] != [*new]:
                self.refresh(Region(left, top + y, drawn.columns, 1))

    def _region_on_screen(self) -> Region | None:
        """The cells that a picture drawn by the terminal covers; None when it would cross an edge."""
        if self._rendered is None:
            return None
        left, top = self._margin(self._rendered)
        inner = self.content_region
        place = Region(inner.x + left, inner.y + top, self._rendered.columns, self._rendered.rows)
        return place if self.screen.region.contains_region(place) and inner.contains_region(place) else None

    def _margin(self, drawn: _RenderedPicture) -> tuple[int, int]:
        return max(self.content_size.width - drawn.columns, 0) // 2, max(self.content_size.height - drawn.rows, 0) // 2

    def _remove_picture(self) -> None:
        """Remove a picture drawn by the terminal, and draw its cells again."""
        if self._placed is None or self._surface is None:
            return
        place, self._placed = self._placed[0], None
        number = self._rendered.number if self._rendered else 0
        self._surface.uncover(place, kitty.delete(number) if number else "")

    def _clear(self, words: str) -> None:
        self._remove_picture()
        self._rendered, self._arrived, self._is_blank = None, 0.0, False
        self._set_placeholder(words)
        self.refresh()

    def _set_placeholder(self, words: str) -> None:
        if words != self._placeholder:
            self._placeholder = words
            self.refresh()

    def _show_age(self, now: float) -> None:
        """Show the age of a live picture that no longer changes."""
        age = int(now - self._arrived) if self._arrived and self._live else 0
        thin = console_of(self).low_bandwidth
        state = f"of {coarse_duration(age)} ago" if age >= STALE_SECONDS else ""
        if thin and self._arrived and self._fetch is not None:
            state = " · ".join(word for word in (state, "v: new picture") if word)
        if (self.border_subtitle or "") != state:
            self.border_subtitle = state
        self.set_class(bool(state) and not thin, "-stale")

    # -- drawing in cells ---------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """Draw half blocks, the placeholder, or blanks under a picture drawn by the terminal."""
        width = self.content_size.width
        if self._rendered is None or not self._rendered.strips:
            return self.role_strip(self._placeholder_line(y, width), width)
        left, top = self._margin(self._rendered)
        if not 0 <= y - top < len(self._rendered.strips):
            return self.role_strip((), width)
        middle = self._rendered.strips[y - top]
        right = width - left - middle.cell_length
        blank = self.role_strip
        return Strip.join([blank((), left), middle, blank((), right)]) if right >= 0 else middle.crop(0, width)

    def _placeholder_line(self, y: int, width: int) -> Line:
        if self._is_blank:
            return ()
        words = self._placeholder
        if not words and self._fetch is not None:
            words = "v shows the picture" if console_of(self).low_bandwidth else "…"
        lines = wrap(words, max(width - 4, 1), "dim") if words else []
        at = y - max(self.content_size.height - len(lines), 0) // 2
        if not 0 <= at < len(lines):
            return ()
        text = lines[at]
        return (Span(" " * ((width - sum(len(span.text) for span in text)) // 2)), *text)


def _widths(graphics: Graphics, columns: int, rows: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The possible widths in pixels, coarsest first, each with its zoom for sixel."""
    wide, _ = fit_cells(columns, rows, *shape, graphics.cell or DEFAULT_CELL_SIZE)
    if graphics.kind == "kitty":
        most = wide * (graphics.cell or DEFAULT_CELL_SIZE)[0]
        return [(width, 1) for width in KITTY_WIDTHS if width <= max(most * 2 // 3, KITTY_WIDTHS[0])]
    if graphics.kind == "sixel" and graphics.cell:
        return sixel.zooms(graphics.cell[0], wide)
    return [(max(wide // part, 8), 1) for part in (4, 2, 1)]


def _render_picture(
    raster: Raster,
    shape: tuple[int, int],
    graphics: Graphics,
    area: Size,
    resolution: tuple[int, int],
    before: Raster | None,
) -> _RenderedPicture:
    """Render a picture for an area of cells. `resolution` is its width in pixels, and its zoom for sixel."""
    width, zoom = resolution
    wide, high = fit_cells(area.width, area.height, *shape, graphics.cell or DEFAULT_CELL_SIZE)
    if graphics.kind == "kitty":
        number = next(_NUMBERS)
        return _RenderedPicture(raster, width, shape, wide, high, [], kitty.encode(raster, number, wide, high), number)
    if graphics.kind == "sixel" and graphics.cell:
        most = Raster(raster.width, min(raster.height, high * graphics.cell[1] // zoom), raster.rgb)
        return _RenderedPicture(raster, width, shape, wide, high, [], sixel.encode(most, zoom))
    visible = blocks.suppress_noise(before, resize(raster, wide, high * 2))
    return _RenderedPicture(visible, width, shape, wide, high, blocks.strips(visible))
