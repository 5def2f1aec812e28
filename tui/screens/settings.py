"""Settings: the keys of `site.toml`, what they mean and where their values come from; change them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.widget import Widget

from core.site_settings import Setting, SettingsFile, reset_setting, value_text
from tui.actions import bindings
from tui.formatters import settings as setting_format
from tui.screens.base import ListScreen
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, Panel, empty_content


class SettingsScreen(ListScreen):
    """The settings; beside them the file with its problems, and the setting under the cursor."""

    NAME = "settings"
    SOURCE = "site_settings"
    SOURCES = ("site_settings",)
    TITLE = "Settings"
    COLUMNS = setting_format.COLUMNS
    BINDINGS: ClassVar[list[Any]] = bindings("settings", "list")

    def above_detail(self) -> Iterable[Widget]:
        yield Panel("site.toml and .env", id="file")

    def rows(self, value: SettingsFile) -> list[ChoiceRow]:
        return [ChoiceRow(setting.key, setting_format.row(setting), setting) for setting in value.settings]

    def feed(self) -> None:
        super().feed()
        reading = self.reading("site_settings")
        self.query_one("#file", Panel).show(partial(setting_format.file_lines, reading.value), *reading.state)

    def detail(self) -> tuple[Formatter, str, str]:
        setting = self.selected()
        return (partial(setting_format.detail, setting), "", "") if setting else (empty_content, "", "")

    def selected(self) -> Setting | None:
        """The setting under the cursor."""
        listing: SettingsFile | None = self.reading("site_settings").value
        return next((one for one in listing.settings if one.key == self.choices.key), None) if listing else None

    # -- actions -------------------------------------------------------------------------------------------------------

    @on(ChoiceList.Chosen, "#choices")
    def action_edit(self) -> None:
        from tui.screens.setting_form import SettingForm

        setting = self.selected()
        if setting is None or self.console.read_only:
            return
        if not setting.known:
            self.notify(f"xaiva has no key {setting.key}: X removes it from the file")
            return

        def closed(key: str | None) -> None:
            if key is not None:
                self._written(f"{key} is saved")

        self.app.push_screen(SettingForm(self.site, setting), closed)

    def action_reset(self) -> None:
        """Ask, then remove the setting from the file."""
        setting = self.selected()
        if setting is None or setting.file_value is None:
            self.notify("site.toml does not set it")
            return
        text = f"site.toml says {value_text(setting.file_value) or 'that it is empty'}."
        if setting.known:
            text += f" Without it, the default holds: {value_text(setting.default) or 'empty'}."
        reset = partial(reset_setting, self.site.root, setting.key, seen=setting)
        words = f"{setting.key} is removed from site.toml"
        ask = f"Remove {setting.key} from site.toml?"
        self.confirm(ask, text, "Remove", lambda: self.background(reset, lambda _: self._written(words)))

    def _written(self, words: str) -> None:
        self.console.store.ask_now("site_settings", "settings")
        self.notify(words)
