"""Carry: media with shipments for sites without a network; pack, unpack, check, and whether one may be pulled out."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.content import Content

from core.carry.media_list import ListedMedium
from core.carry.removal import KINDS, Removal, RemovalState, judge_removal, operations_on
from core.carry.signers import Signer
from core.operations.model import Operation
from core.site_operations import site_ledger
from core.terminal_text import escape_invisible
from tui.actions import bindings
from tui.carry_source import CarrySource, CarryView
from tui.formatters import carry as carry_format
from tui.screens.base import ListScreen
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, Panel, empty_content


class CarryScreen(ListScreen):
    """One row per medium; beside it whether it may be pulled out, the newest operation, and the shipments."""

    NAME = "carry"
    SOURCE = "media"
    SOURCES = ("media", "operations", "operation", "presets")
    STATE_SOURCES = ("operations",)
    TITLE = "Media"
    COLUMNS = carry_format.COLUMNS
    EMPTY = "no stick is mounted here: mount one, or press a and name a folder"
    BINDINGS: ClassVar[list[Any]] = bindings("carry", "list")

    def __init__(self) -> None:
        super().__init__()
        self._source: CarrySource | None = None
        self._typed: tuple[str, ...] = ()
        self._stages_of = 0
        self._was_live: set[int] = set()

    def on_mount(self) -> None:
        """Read media from now on, also those that this screen's operations work on."""
        self._source = CarrySource(self.site)
        self.console.store.retarget("media", self._source.read)

    def feed(self) -> None:
        """Look again at once when an operation began or ended."""
        live = {operation.id for operation in self._operations() if operation.state.live}
        if live != self._was_live and self._source is not None:
            self._was_live = live
            self._name_media()
        super().feed()

    def _name_media(self) -> None:
        """List the folders that were typed, and those that an operation works on."""
        in_work = {operation.subject: None for operation in self._operations() if operation.state.live}
        if self._source is not None:
            self._source.named = tuple(dict.fromkeys((*self._typed, *in_work)))
            self.console.store.ask_now("media")

    def rows(self, value: CarryView) -> list[ChoiceRow]:
        """One row per medium, with the operation that works on it."""
        return [ChoiceRow(medium.path, carry_format.row(medium, self._live(medium)), medium) for medium in value.media]

    def selected(self) -> ListedMedium | None:
        view: CarryView | None = self.reading("media").value
        media = view.media if view is not None else []
        return next((medium for medium in media if medium.path == self.choices.key), None)

    def point_sources(self) -> None:
        """Ask for the stages of the newest operation again."""
        self._stages_of = 0

    def detail(self) -> tuple[Formatter, str, str]:
        medium, view = self.selected(), self.reading("media").value
        if medium is None or view is None:
            return empty_content, "", ""
        operations = operations_on(medium.path, self._operations())
        latest = operations[0] if operations else None
        if latest is not None and latest.id != self._stages_of:
            self._stages_of = latest.id
            self.console.store.retarget("operation", partial(site_ledger(self.site).stages, latest.id))
        stages = self.reading("operation").value or []
        removal, now = self._removal(medium, operations), self.console.parts.now()
        return partial(carry_format.detail, medium, view, removal, latest, stages, now), "", ""

    def show_detail(self) -> None:
        """The frame has the path, in which brackets are no markup."""
        super().show_detail()
        if self.choices.key:
            self.query_one("#detail", Panel).border_title = Content(escape_invisible(self.choices.key))

    def _removal(self, medium: ListedMedium, operations: list[Operation]) -> Removal:
        """Whether it may be pulled out. What was read before the newest operation ended says nothing about its end."""
        read_at = self.console.parts.now() - (self.reading("media").age or 0)
        if operations and not operations[0].state.live and read_at < operations[0].ended and not medium.is_remote:
            return Removal(RemovalState.UNKNOWN, "looking at the medium again…")
        return judge_removal(operations, None if medium.problem else medium.contents)

    def _operations(self) -> list[Operation]:
        operations: list[Operation] = self.reading("operations").value or []
        return [operation for operation in operations if operation.kind in KINDS]

    def _live(self, medium: ListedMedium) -> Operation | None:
        return next((one for one in operations_on(medium.path, self._operations()) if one.state.live), None)

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_name(self) -> None:
        """List a folder, or a folder of another machine."""
        from tui.screens.name_medium import NameMedium

        self.app.push_screen(NameMedium(self.site), self._named)

    def _named(self, path: str | None) -> None:
        if path is not None:
            self._typed = tuple(dict.fromkeys((*self._typed, path)))
            self._name_media()
            self.show_row(path)

    def action_pack(self) -> None:
        """Choose presets, see the plan, then pack."""
        from tui.screens.pack import Pack

        medium = self._chosen()
        if medium is None:
            return
        views = self.reading("presets").value
        if views is None:
            self.notify("the presets are not known yet: try again")
            return
        locked = [view.entry.name for view in views if view.lock is not None]
        if not locked:
            self.notify("no preset is locked yet: lock and sync one first (3)")
            return
        start = partial(self._start, "pack", medium.path)
        self.app.push_screen(Pack(self.site, medium.path, locked, self.console.preset), start)

    def action_unpack(self) -> None:
        """Show what would be new, then unpack."""
        self._read_medium("unpack", {"trust": "", "allow_older": False})

    def action_check(self) -> None:
        """Read every byte of the newest shipment."""
        self._read_medium("check", {"trust": ""})

    def _read_medium(self, kind: str, options: dict[str, Any]) -> None:
        from tui.screens.read_medium import ReadMedium

        medium = self._chosen()
        if medium is None:
            return
        if medium.is_remote:
            self.notify(f"that is another machine's folder: run xaiva {kind} there")
            return
        dialog = ReadMedium(self.site, kind, medium.path)
        self.app.push_screen(dialog, lambda yes: self._start(kind, medium.path, options if yes else None))

    def _start(self, kind: str, path: str, options: dict[str, Any] | None) -> None:
        if options is not None:
            self.begin_operation(kind, path, options, key="unpack" if kind == "unpack" else f"medium:{path}")

    def action_create_key(self) -> None:
        """Create the key that signs the shipments of this site, after a question."""
        view: CarryView | None = self.reading("media").value
        if view is not None and view.fingerprint:
            self.notify(f"this site has a key: {view.fingerprint}")
            return
        text = "It signs the shipments of this site. Sites that are to trust them need its fingerprint, on paper."
        self.confirm("Create a signing key?", text, "Create", self._create_key)

    def _create_key(self) -> None:
        from core.carry.signing import create_key

        def created(signer: Signer) -> None:
            self.console.store.ask_now("media")
            self.notify(f"{signer.fingerprint}; print it for the paper: xaiva key show", title="The key was created")

        self.background(partial(create_key, self.site), created)

    @on(ChoiceList.Chosen, "#choices")
    async def action_follow(self) -> None:
        """Open the newest operation of this medium."""
        operations = operations_on(self.choices.key, self._operations()) if self.choices.key else []
        if not operations:
            self.notify("no operation has run on this medium yet")
            return
        await self.console.open_row("operations", str(operations[0].id))

    def _chosen(self) -> ListedMedium | None:
        medium = self.selected()
        if medium is None:
            self.notify("no medium is chosen: press a and name a folder")
        return medium
