"""Presets: their contents and findings; edit, lock, sync, build, launch, or all of that at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tui.actions import bindings
from tui.formatters import presets as preset_format
from tui.screens.preset_list import PresetListScreen
from tui.sources import PresetView
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.panel import Formatter, empty_content

if TYPE_CHECKING:
    from tui.screens.preset_name import AskName


class PresetsScreen(PresetListScreen):
    """The preset files; beside them the contents and findings of the one under the cursor."""

    NAME = "presets"
    SOURCES = ("presets", "operations")
    TITLE = "Presets"
    COLUMNS = preset_format.COLUMNS
    EMPTY = "no presets yet: press n to create one"
    BINDINGS: ClassVar[list[Any]] = bindings("presets", "list")

    def rows(self, value: list[PresetView]) -> list[ChoiceRow]:
        """One row per file, including broken ones."""
        return [ChoiceRow(view.entry.name, preset_format.row(view), view) for view in value]

    def detail(self) -> tuple[Formatter, str, str]:
        view = self.selected()
        return (partial(preset_format.detail, view), "", "") if view else (empty_content, "", "")

    def usable_or_notify(self) -> PresetView | None:
        """The preset under the cursor; None, with a notification, when it has errors."""
        view = self.selected()
        if view is None or view.entry.preset is None:
            self.notify("this preset has errors: press e to edit it" if view else "no preset selected")
            return None
        return view

    def _preset_created(self, name: str, words: str) -> None:
        """Select the new preset, here and on the other screens that list presets."""
        self.console.preset = self.console.new_rows[self.NAME] = name
        self.update_now()
        self._refresh(words)

    def _refresh(self, words: str) -> None:
        self.console.store.ask_now("presets")
        self.notify(words)

    # -- operations ----------------------------------------------------------------------------------------------------

    def action_up(self) -> None:
        from tui.screens.up import Up

        view = self.usable_or_notify()
        if view is None:
            return
        name = view.entry.name

        def chosen(options: Mapping[str, bool] | None) -> None:
            if options is not None:
                self.begin_operation("up", name, dict(options))

        self.app.push_screen(Up(self.site, name), chosen)

    def action_lock(self) -> None:
        if (view := self.usable_or_notify()) is not None:
            self.start_operation("lock", view.entry.name)

    def action_sync(self) -> None:
        if (view := self.usable_or_notify()) is not None:
            self.start_operation("sync", view.entry.name)

    def action_build(self) -> None:
        if (view := self.usable_or_notify()) is not None:
            self.start_operation("build", view.entry.name)

    def action_launch(self) -> None:
        from tui.screens.launch import Launch

        if (view := self.usable_or_notify()) is not None and view.entry.preset is not None:
            self.app.push_screen(Launch(self.site, view.entry.name, view.entry.preset))

    # -- checks --------------------------------------------------------------------------------------------------------

    def action_check_target(self) -> None:
        from tui.screens.target_dialogs import CheckTarget

        if (view := self.usable_or_notify()) is not None and view.entry.preset is not None:
            self.app.push_screen(CheckTarget(self.site, view.entry.name, view.entry.preset))

    def action_suggest(self) -> None:
        from tui.screens.target_dialogs import SuggestVersions

        def saved(name: str | None) -> None:
            if name:
                self._preset_created(name, f"preset {name} created")

        self.app.push_screen(SuggestVersions(self.site, self.console.read_only), saved)

    # -- files ---------------------------------------------------------------------------------------------------------

    def action_edit(self) -> None:
        view = self.selected()
        if view is None:
            self.notify("no preset selected")
            return
        self._edit(view.entry.name)

    def _edit(self, name: str) -> None:
        from tui.screens.editor import EditorScreen

        def left(_: None) -> None:
            self.console.store.ask_now("presets")

        self.app.push_screen(EditorScreen(self.site, name), left)

    def action_new(self) -> None:
        from tui.screens.preset_name import AskNewPreset

        form = AskNewPreset("New preset", self.site)

        def create(name: str) -> object:
            from core.presets.from_requirements import create_from_requirements
            from core.presets.store import create

            source = Path(form.source).expanduser()
            return create_from_requirements(self.site, name, source) if form.source else create(self.site, name)

        self._ask_name("New preset", form, create, self._edit)

    def action_duplicate(self) -> None:
        from core.presets.store import duplicate
        from tui.screens.preset_name import AskName

        if (view := self.selected()) is not None:
            name = view.entry.name
            title = f"Duplicate {name}"
            form = AskName(title, self.site, f"{name}-copy")
            self._ask_name(title, form, partial(duplicate, self.site, name))

    def action_rename(self) -> None:
        from core.presets.store import rename
        from tui.screens.preset_name import AskName

        if (view := self.selected()) is not None:
            name = view.entry.name
            title = f"Rename {name}"
            self._ask_name(title, AskName(title, self.site, name), partial(rename, self.site, name))

    def _ask_name(self, title: str, form: AskName, work: Any, next_step: Any = None) -> None:
        def named(name: str | None) -> None:
            if not name:
                return

            def done(_: object) -> None:
                self._preset_created(name, f"{title}: {name}")
                if next_step is not None:
                    next_step(name)

            self.console.load_then_open(
                partial(work, name), done
            )  # keys typed meanwhile go to the editor or the new row

        self.app.push_screen(form, named)

    def action_delete(self) -> None:
        from core.presets.store import delete

        view = self.selected()
        if view is None:
            self.notify("no preset selected")
            return
        name = view.entry.name
        self.confirm(
            f"Delete preset {name}?",
            f"The file {view.entry.path.name} is deleted. Its artifacts and its image stay.",
            "Delete",
            lambda: self.background(partial(delete, self.site, name), lambda _: self._refresh(f"{name} deleted")),
        )
