"""What every screen of the console is: a tab bar, a body, a search line, a key bar, and a feed from the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tui.actions import BY_ID
from tui.store import Reading
from tui.widgets.bars import KeyBar, TabBar
from tui.widgets.choice_list import ChoiceList

if TYPE_CHECKING:
    from core.site import Site
    from tui.app import XaivaApp

T = TypeVar("T")


class ConsoleScreen(Screen[None]):
    """A screen of the console. It is fed by the store: at each tick, and when a source it shows has news.

    `SOURCES` are asked while the screen is in view, and only then.
    """

    NAME: ClassVar[str] = ""
    SOURCES: ClassVar[tuple[str, ...]] = ()
    AUTO_FOCUS = ""  # each screen says itself where its keys go
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "Back", show=False)]

    @property
    def console(self) -> XaivaApp:
        """The app, as ours."""
        return cast("XaivaApp", self.app)

    @property
    def site(self) -> Site:
        """The site."""
        return self.console.site

    def reading(self, name: str) -> Reading[Any]:
        """The newest reading of a source."""
        return self.console.store.reading(name)

    # -- what a screen fills in ----------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        """What stands between the bars."""
        return ()

    def feed(self) -> None:
        """Show what the store has now."""

    def copy_text(self) -> str:
        """What `copy` copies."""
        return ""

    # -- life ----------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """The bars around the body."""
        yield TabBar(self.NAME)
        yield from self.body()
        search = Input(
            placeholder="words to keep, !word to exclude; Enter keeps the filter, Esc clears it", id="search"
        )
        search.cursor_blink = False
        yield search
        yield KeyBar()

    def on_screen_resume(self) -> None:
        """In view: ask for what is shown."""
        self.console.store.watch(self.SOURCES)
        self.feed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide from visitors what changes anything."""
        named = BY_ID.get(f"{self.NAME}.{action}")
        if named is not None and named.changes and self.console.read_only:
            return False
        return True

    # -- searching -----------------------------------------------------------------------------------------------------

    def searched(self) -> ChoiceList | None:
        """The list that `/` filters: the focused one, else the first."""
        if isinstance(self.focused, ChoiceList):
            return self.focused
        lists = self.query(ChoiceList)
        return lists.first() if lists else None

    def action_search(self) -> None:
        """Open the search line."""
        if (target := self.searched()) is None:
            return
        self._target = target
        search = self.query_one("#search", Input)
        search.value = target.wanted
        search.add_class("-open")
        search.focus()

    def action_back(self) -> None:
        """Close the search line and show all rows again."""
        search = self.query_one("#search", Input)
        if search.has_class("-open"):
            search.value = ""
            self._close_search()

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        if event.input.has_class("-open"):
            self._target.search(event.value)

    @on(Input.Submitted, "#search")
    def _close_search(self) -> None:
        self.query_one("#search", Input).remove_class("-open")
        self._target.focus()

    # -- shared actions ------------------------------------------------------------------------------------------------

    def action_copy(self) -> None:
        """To the clipboard of the terminal."""
        self.console.copy(self.copy_text())

    def action_refresh(self) -> None:
        """Ask again now."""
        self.console.store.ask_now(*self.SOURCES)

    def start_operation(self, kind: str, subject: str, options: dict[str, Any] | None = None) -> None:
        """Start an operation, say so or say who is busy; it goes on without us."""
        from core.operations.ledger import Ledger

        def started(operation: Any) -> None:
            self.console.store.ask_now("operations")
            self.notify(f"operation {operation.id}: {operation.title()}", title="Started")

        self.background(lambda: Ledger(self.site).start(kind, subject, options), started)

    def background(self, work: Callable[[], T], done: Callable[[T], object]) -> None:
        """Run blocking work in a thread, then `done(result)` here; an error is shown and ends nothing."""
        self.console.background(work, done)

    def confirm(self, title: str, text: str, verb: str, then: Callable[[], object]) -> None:
        """Ask before what destroys; Cancel is the default."""
        from tui.screens.confirm import Confirm

        def answered(yes: bool | None) -> None:
            if yes:
                then()

        self.app.push_screen(Confirm(title, text, verb), answered)
