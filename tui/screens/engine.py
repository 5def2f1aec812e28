"""Engine: its images, volumes, networks and build cache with who uses them, and its events."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.content import Content
from textual.widget import Widget

from core.engine import connect_engine
from core.engine_objects.model import DiskUsage, EngineObject, Image, Inventory, ObjectKind
from core.engine_objects.removal import remove_image
from core.terminal_text import escape_invisible
from tui.actions import bindings
from tui.engine_sources import image_layers
from tui.formatters import engine as engine_format
from tui.formatters.numbers import coarse_duration
from tui.screens.base import ListScreen
from tui.sources import not_targeted_yet
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.log_panel import LogPanel
from tui.widgets.panel import Formatter, Panel, empty_content
from tui.widgets.summary_line import SummaryLine

if TYPE_CHECKING:
    from tui.engine_event_log import EngineEventLog

KINDS = (None, *ObjectKind)  # in the order in which the key shows them
REMOVAL_SECONDS = 120.0  # an engine may need long to delete the layers of an image
OLD_SECONDS = 90.0  # age from which the summary says how old the sizes are


class EngineScreen(ListScreen):
    """What the engine holds besides containers."""

    NAME = "engine"
    SOURCE = "engine_objects"
    SOURCES = ("engine_objects", "disk_usage", "image_layers")
    TITLE = engine_format.KIND_TITLES[None]
    COLUMNS = engine_format.COLUMNS
    EMPTY = "nothing here"
    LOG = "Events"
    NAME_CELLS = 2
    BINDINGS: ClassVar[list[Any]] = bindings("engine", "list")

    def __init__(self) -> None:
        super().__init__()
        self._kind: ObjectKind | None = None
        self._events: EngineEventLog | None = None
        self._event_state = ""  # why no events come
        self._engine_failed = False
        self._joined: tuple[Inventory, DiskUsage, Inventory] | None = None  # an inventory with the sizes of a usage

    def body(self) -> Iterable[Widget]:
        """The totals above the list."""
        yield SummaryLine(id="totals")
        yield from super().body()

    def rows(self, value: Inventory) -> list[ChoiceRow]:
        """The objects of the kind that is shown."""
        now = self.console.parts.now()
        objects = engine_format.sort_objects(self._inventory() or value, self._kind)
        if self._kind is not None:
            unknown = self._kind is ObjectKind.CACHE and self.reading("disk_usage").value is None
            self.choices.empty = self._sizes_state() if unknown else "nothing of this kind: press t for the next"
        return [ChoiceRow(item.key, engine_format.row(item, now), item) for item in objects]

    def _inventory(self) -> Inventory | None:
        """What the engine holds, with the sizes of the last answer: one that is minutes old is still of use."""
        from core.engine_objects.listing import with_usage

        listed, usage = self.reading("engine_objects").value, self.reading("disk_usage").value
        if listed is None or usage is None:
            return listed
        if self._joined is None or self._joined[0] is not listed or self._joined[1] is not usage:
            self._joined = listed, usage, with_usage(listed, usage)
        return self._joined[2]

    def feed(self) -> None:
        """Also show the totals, and whether events come."""
        super().feed()
        reading = self.reading("engine_objects")
        if self._engine_failed and reading.error is None:
            self.console.store.ask_now("disk_usage")  # which would be asked much later
        self._engine_failed = reading.error is not None
        inventory = None if reading.is_stale else self._inventory()
        usage = self.reading("disk_usage").value
        self.query_one(SummaryLine).show(partial(engine_format.totals, inventory, usage, self._sizes_state()))
        self._show_event_state()

    def _sizes_state(self) -> str:
        """How old the sizes are, or why there are none; empty when they are new."""
        reading = self.reading("disk_usage")
        if reading.value is None:
            return f"sizes unknown: {reading.error.why or reading.error.what}" if reading.error else "measuring sizes…"
        age = coarse_duration(reading.age or 0)
        if reading.error is not None:
            return f"sizes {age} old: {reading.error.why or reading.error.what}"
        return f"sizes {age} old" if (reading.age or 0) > OLD_SECONDS else ""

    def row_changed(self) -> None:
        """Ask for the layers of an image."""
        item = self.selected()
        is_image = item is not None and item.kind is ObjectKind.IMAGE
        fetch = partial(image_layers, self.site, item.id) if item is not None and is_image else not_targeted_yet
        self.console.store.retarget("image_layers", fetch)

    def detail(self) -> tuple[Formatter, str, str]:
        item = self.selected()
        if item is None:
            return empty_content, "", ""
        reading = self.reading("image_layers")
        layers = None if reading.is_stale else reading.value
        why = f"unknown: {reading.error.why or reading.error.what}" if reading.error else "asking the engine…"
        return partial(engine_format.detail, item, layers, why, self.console.parts.now()), "", ""

    def show_detail(self) -> None:
        """The frame has the object's name, not the key of its row."""
        super().show_detail()
        if (item := self.selected()) is not None:
            # not markup: a build step may begin with brackets
            self.query_one("#detail", Panel).border_title = Content(escape_invisible(f"{item.kind.value} {item.name}"))

    def selected(self) -> EngineObject | None:
        """The object under the cursor."""
        inventory = self._inventory()
        objects = [] if inventory is None else inventory.objects()
        return next((item for item in objects if item.key == self.choices.key), None)

    def show_row(self, key: str) -> None:
        """Show the row of an object, of whatever kind."""
        self._show_kind(None)
        super().show_row(key)

    # -- events --------------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._read_events()

    def on_screen_resume(self) -> None:
        if self.is_mounted:
            self._read_events()

    def _read_events(self) -> None:
        """Read events while the screen is in view."""
        if self._events is None:
            self._events = self.console.parts.engine_events(self.site)
            self.query_one("#log", LogPanel).show(self._events.lines)
        self._events.open()

    def _show_event_state(self) -> None:
        """Whether events come, in the frame of their log."""
        problem = self._events.problem if self._events is not None else None
        words = f"cut off: {problem.why}; trying again" if problem else ""
        if words != self._event_state:
            self._event_state = words
            log = self.query_one("#log", LogPanel)
            log.border_subtitle = Content(words)
            log.set_class(problem is not None, "-stale")

    def on_screen_suspend(self) -> None:
        """Stop reading events while the screen is out of view."""
        if self._events is not None:
            self._events.close()

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_kind(self) -> None:
        """Show only the next kind, after the last one all kinds."""
        self._show_kind(KINDS[(KINDS.index(self._kind) + 1) % len(KINDS)])
        self.update_now()

    def _show_kind(self, kind: ObjectKind | None) -> None:
        self._kind = kind
        self.choices.border_title = engine_format.KIND_TITLES[kind]

    def action_events(self) -> None:
        self.focus_panel(self.query_one("#log"))

    def action_remove(self) -> None:
        """Ask, then remove the image under the cursor. One that a container uses is refused."""
        item = self.selected()
        if not isinstance(item, Image):
            self.notify("only images are removed here: move to one, or press c to clean up")
            return
        if item.used_by:
            use = item.used_by[0].container
            self.notify(f"{item.name} stays: the container {use} uses it", severity="warning")
            return

        def work() -> None:
            with closing(connect_engine(self.site, REMOVAL_SECONDS)) as client:
                remove_image(client, item)

        def done(_: None) -> None:
            self.console.store.ask_now("engine_objects", "disk_usage")
            self.notify(f"{item.name} removed")

        text = "All its tags go with it. Layers that other images have stay." + (
            f"\n\nIt can be built again: xaiva build {item.preset}" if item.preset else ""
        )
        self.confirm(f"Remove {item.name}?", text, "Remove", lambda: self.background(work, done))

    def action_clean(self) -> None:
        """Show what nothing needs any more, then remove it as an operation."""
        from core.clean.holds import KEY, KIND
        from tui.screens.clean import Clean

        def chosen(items: list[str] | None) -> None:
            if items:
                self.begin_operation(KIND, "site", {"items": items}, key=KEY)

        self.app.push_screen(Clean(self.site), chosen)
