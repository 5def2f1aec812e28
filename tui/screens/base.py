"""The base of every screen: a tab bar, a body, a search line, a key bar, and updates from the store."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.widget import Widget
from textual.widgets import Input

from core.errors import XaivaError
from tui.actions import ACTION_BY_ID
from tui.app_protocol import ConsoleApp, console_of
from tui.formatters.cells import Cell, Column, Line, Span, wrap
from tui.relatives import RELATIVES
from tui.screens.panel_screen import PanelScreen
from tui.store import Reading
from tui.widgets.bars import KeyBar, StatusBar, TabBar
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, Panel, empty_content

if TYPE_CHECKING:
    from core.site import Site

T = TypeVar("T")
ALWAYS_ASKED = ("settings", "login", "engine_identity")  # the sources that every screen shows
NEW_ROW_SECONDS = 3.0  # how long keys wait for the row of a new item
log = logging.getLogger(__name__)


def stale_lines(reading: Reading[Any], width: int) -> list[Line]:
    """Shown in place of outdated states and numbers: since when the source is silent, and why."""
    return [*wrap(f"? {reading.unknown_text}", width, "stale"), *error_lines(reading.problem, width)]


def error_lines(error: XaivaError, width: int) -> list[Line]:
    """An error with its reason and its remedy."""
    out = wrap(error.what, width, "warn") + (wrap(error.why, width, "dim") if error.why else [])
    return out + (wrap(f"→ {error.remedy}", width, "accent", indent="  ") if error.remedy else [])


class ConsoleScreen(PanelScreen):
    """A screen of the console. The store updates it at each tick, and when one of its sources has news.

    `SOURCES` are asked only while the screen is in view.
    """

    NAME: ClassVar[str] = ""
    SOURCES: ClassVar[tuple[str, ...]] = ()
    LOGIN_SOURCE: ClassVar[str] = ""  # the source that shows whether the service requires a login, "" for none
    AUTO_FOCUS = ""  # each screen sets its own focus
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "Back", show=False)]
    _release_hold: Callable[[], None] | None = None  # releases keys that wait for a new row

    @property
    def console(self) -> ConsoleApp:
        return console_of(self)

    @property
    def site(self) -> Site:
        return self.console.site

    def reading(self, name: str) -> Reading[Any]:
        """The newest reading of a source."""
        return self.console.store.reading(name)

    # -- implemented by each screen ------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        """The widgets between the bars."""
        return ()

    def feed(self) -> None:
        """Show the store's newest values."""

    def copy_text(self) -> str:
        """The text that the action `copy` copies."""
        return ""

    # -- life ----------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield StatusBar()
        yield TabBar(self.NAME)
        yield from self.body()
        search = Input(placeholder="words to show, !word to hide · Enter applies · Esc clears", id="search")
        search.cursor_blink = False
        yield search
        yield KeyBar()

    def on_screen_resume(self) -> None:
        """The screen came into view: ask its sources."""
        self.watch_sources()
        self.update_now()

    def watch_sources(self, *more: str) -> None:
        """Ask the sources of this screen, and those named."""
        self.console.store.watch((*self.SOURCES, *more, *ALWAYS_ASKED))

    def on_screen_suspend(self) -> None:
        """The screen left the view: keys no longer wait for one of its rows."""
        self._release_keys()

    def _hold_keys_for_new_row(self) -> None:
        """Hold keys until the row of a new item is there: they are meant for that row."""
        if not any(choices.awaits_new for choices in self.query(ChoiceList)):
            self._release_keys()
        elif self._release_hold is None and self.is_current:
            self._release_hold = self.console.hold_keys(None)
            self.set_timer(NEW_ROW_SECONDS, self._release_hold)

    def _release_keys(self) -> None:
        if self._release_hold is not None:
            self._release_hold()
            self._release_hold = None

    def on_mount(self) -> None:
        """Show the first values; panels can take the focus, so that arrows scroll them."""
        for panel in self.query(Panel):
            panel.can_focus = True
        self.update_now()

    def update_now(self) -> None:
        """Update the screen, once it is mounted. An error in one screen is reported and does not end the console."""
        if not self.is_mounted:
            return
        try:
            self.query_one(StatusBar).status = self.console.status
            self.feed()
            self._hold_keys_for_new_row()
            self._check_login()
        except Exception as error:
            if self.app.is_headless:
                raise  # so that a test fails
            log.exception("screen %s", self.NAME)
            self.notify(f"{type(error).__name__}: {error}", title="This screen could not be drawn", severity="error")

    def _check_login(self) -> None:
        if not self.LOGIN_SOURCE:
            return
        reading = self.reading(self.LOGIN_SOURCE)
        if reading.error is not None:
            from core.service_client import NotLoggedIn

            if isinstance(reading.error, NotLoggedIn):
                self.console.login_lost(reading.error)
        elif reading.value is not None:
            self.console.login_found()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Hide actions that this console does not allow."""
        action_entry = ACTION_BY_ID.get(f"{self.NAME}.{action}")
        return action_entry is None or self.console.allows(action_entry)

    # -- searching -----------------------------------------------------------------------------------------------------

    def searched_list(self) -> ChoiceList | None:
        """The list that is filtered and sorted: the focused one, else the first."""
        if isinstance(self.focused, ChoiceList):
            return self.focused
        lists = self.query(ChoiceList)
        return lists.first() if lists else None

    def action_search(self) -> None:
        if (target := self.searched_list()) is None:
            return
        self._list_in_search = target
        search = self.query_one("#search", Input)
        search.value = target.filter_text
        search.add_class("-open")
        search.focus()

    async def action_back(self) -> None:
        """Close the search line, show all rows, remove the marks; with nothing to close, go back."""
        target = self.searched_list()
        if self.query_one("#search", Input).has_class("-open"):
            self._close_search()
            self._list_in_search.search("")
        elif target is not None and target.filter_text:
            target.search("")
        elif target is not None and target.marked:
            target.unmark()
        elif not self.leave_full_screen():
            await self.console.go_back()

    @on(Input.Changed, "#search")
    def _search_changed(self, event: Input.Changed) -> None:
        if event.input.has_class("-open"):
            self._list_in_search.search(event.value)

    @on(Input.Submitted, "#search")
    def _close_search(self) -> None:
        self.query_one("#search", Input).remove_class("-open")
        self._list_in_search.focus()

    # -- sorting -------------------------------------------------------------------------------------------------------

    def action_sort_right(self) -> None:
        self._sort_beside(1)

    def action_sort_left(self) -> None:
        self._sort_beside(-1)

    def _sort_beside(self, step: int) -> None:
        if (target := self.searched_list()) is not None:
            target.sort_beside(step)

    def action_sort_reverse(self) -> None:
        if (target := self.searched_list()) is not None:
            target.sort_reverse()

    # -- shared actions ------------------------------------------------------------------------------------------------

    def action_copy(self) -> None:
        self.console.copy(self.copy_text())

    def action_refresh(self) -> None:
        self.console.store.ask_now(*self.SOURCES, *ALWAYS_ASKED)

    def start_operation(self, kind: str, subject: str, options: dict[str, Any] | None = None) -> None:
        """Show a preview, ask, then start an operation."""
        look = self.console.parts.preview(kind)
        assert look is not None, kind
        preview = partial(look, self.site, subject, options or {})
        start = partial(self.begin_operation, kind, subject, options)
        self.ask_to_start(f"{kind.capitalize()} {subject}", kind.capitalize(), preview, start)

    def begin_operation(self, kind: str, subject: str, options: dict[str, Any] | None, key: str | None = None) -> None:
        """Start an operation without asking. It runs on when the console closes. `key` as in `Ledger.start`."""
        from core.site_operations import site_ledger

        def started(operation: Any) -> None:
            self.console.new_rows["operations"] = str(operation.id)
            self.console.store.ask_now("operations")
            self.notify(f"operation {operation.id}: {operation.title()}", title="Started")

        self.background(lambda: site_ledger(self.site).start(kind, subject, options, key=key), started)

    def ask_to_start(self, title: str, verb: str, preview: Callable[[], Formatter], start: Callable[[], None]) -> None:
        """Show what long work would do and start it at Enter; from the palette it starts at once."""
        from tui.screens.start_operation import StartDialog

        if self.console.started_by_name:
            start()
        else:
            self.app.push_screen(StartDialog(title, self.site, verb, preview), lambda yes: start() if yes else None)

    def background(
        self, work: Callable[[], T], done: Callable[[T], object], failed: Callable[[XaivaError], object] | None = None
    ) -> None:
        """Run blocking work in a thread, then `done(result)` here; an error is shown, or passed to `failed`."""
        self.console.background(work, done, failed)

    def confirm(self, title: str, text: str, verb: str, on_yes: Callable[[], object]) -> None:
        """Ask before a destructive action; Cancel is the default."""
        from tui.screens.confirm import Confirm

        def answered(yes: bool | None) -> None:
            if yes:
                on_yes()

        self.app.push_screen(Confirm(title, text, verb), answered)


class ListScreen(ConsoleScreen):
    """A screen with a list; beside it the details of the row under the cursor, and a log on some screens."""

    SOURCE: ClassVar[str] = ""
    TITLE: ClassVar[str] = ""
    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    EMPTY: ClassVar[str] = ""
    LOG: ClassVar[str] = ""  # the log's title, "" for a screen without one
    LOG_STAMPS: ClassVar[bool] = True  # whether the log shows the times of its lines at first
    STATE_SOURCES: ClassVar[tuple[str, ...]] = ()  # other sources that the rows take states from
    NAME_CELLS: ClassVar[int] = 1  # the first cells of a row, which name it and stay when its state is unknown

    # -- implemented by each list screen -------------------------------------------------------------------------------

    @abstractmethod
    def rows(self, value: Any) -> list[ChoiceRow]:
        """The rows for the source's value."""

    def row_changed(self) -> None:
        """The cursor moved to another row, or to none: retarget sources and the log."""

    def selected(self) -> Any:
        """The thing under the cursor, None when there is none."""

    @abstractmethod
    def detail(self) -> tuple[Formatter, str, str]:
        """The details of the row under the cursor: formatter, state and role of the panel."""

    def above_detail(self) -> Iterable[Widget]:
        """The widgets before the details."""
        return ()

    # -- shared by all list screens ------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        """The list on the left, or on top in a narrow terminal."""
        choices = ChoiceList(self.COLUMNS, empty=self.EMPTY, id="choices")
        choices.border_title = self.TITLE
        with Container(classes="columns"):
            yield choices
            with Vertical(classes="main"):
                yield from self.above_detail()
                yield Panel(id="detail")
                if self.LOG:
                    from tui.widgets.log_panel import LogPanel

                    yield LogPanel(None, self.LOG, stamps=self.LOG_STAMPS, id="log")

    @property
    def choices(self) -> ChoiceList:
        return self.query_one("#choices", ChoiceList)

    def point_sources(self) -> None:
        """Retarget the sources that several screens share to the row under the cursor."""

    def on_screen_resume(self) -> None:
        """Another screen may have retargeted a shared source."""
        if self.is_mounted:
            self.point_sources()
        super().on_screen_resume()

    def on_mount(self) -> None:
        super().on_mount()
        self.choices.focus()

    def feed(self) -> None:
        if new := self.console.new_rows.pop(self.NAME, ""):
            self.choices.move_cursor_to_new(new)
        reading = self.reading(self.SOURCE)
        self.choices.empty = "" if reading.value is None else self.EMPTY  # no answer yet does not mean an empty list
        if reading.value is None and reading.error is not None:
            self.choices.empty = f"unknown: {reading.error.why or reading.error.what}"
            self.choices.show([], *reading.state)
            self.query_one("#detail", Panel).show(partial(error_lines, reading.error))
            return
        rows = [] if reading.value is None else self.rows(reading.value)
        if (stale := self.stale_reading()) is not None:
            reading, self.choices.empty = stale, f"? {stale.unknown_text}"
            rows = [ChoiceRow(row.key, self.stale_cells(row.cells, stale.unknown_text), row.item) for row in rows]
        self.choices.show(rows, *reading.state)
        self.show_detail()

    def stale_reading(self) -> Reading[Any] | None:
        """The stale reading behind the rows, None when all are current."""
        readings = (self.reading(name) for name in (self.SOURCE, *self.STATE_SOURCES))
        return next((reading for reading in readings if reading.is_stale), None)

    def stale_cells(self, cells: tuple[Cell, ...], words: str) -> tuple[Cell, ...]:
        """The cells of a row whose state is unknown: its name, and since when."""
        return (*cells[: self.NAME_CELLS], Span(f"? {words}", "stale"))

    def show_detail(self) -> None:
        panel, key = self.query_one("#detail", Panel), self.choices.key
        if (stale := self.stale_reading()) is not None:
            panel.show(partial(stale_lines, stale), *stale.state)
        elif key:
            panel.show(*self.detail())
        else:
            panel.show(empty_content)
        panel.border_title = key or self.TITLE

    @on(ChoiceList.Highlighted, "#choices")
    def _highlighted(self) -> None:
        if not self.is_mounted:
            return
        self.point_sources()
        self.row_changed()
        self.query_one("#detail", Panel).scroll_home(animate=False)
        self.show_detail()

    def show_row(self, key: str) -> None:
        """Move the cursor to a row, now or as soon as it is there."""
        self.choices.move_cursor_to_new(key)

    def action_relative(self) -> None:
        """Go to the first relative of the row."""
        from tui.screens.open_relative import open_relative

        open_relative(self, RELATIVES[self.NAME][0])

    def action_relatives(self) -> None:
        from tui.screens.open_relative import choose_relative

        choose_relative(self)

    def copy_text(self) -> str:
        return self.query_one("#detail", Panel).text
