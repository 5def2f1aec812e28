"""Changes one setting of the site."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.errors import XaivaError
from core.site import Site
from core.site_settings import Setting, SettingsEditConflict, set_setting, value_text
from tui.formatters.cells import wrap
from tui.screens.field_form import Field, FieldForm


class SettingForm(FieldForm[str]):
    """Returns the key when the setting was written, None when the dialog was cancelled."""

    VERB = "Save"

    def __init__(self, site: Site, setting: Setting) -> None:
        super().__init__(setting.key, site)
        self._setting = setting

    def fields(self) -> Sequence[Field]:
        setting = self._setting
        value = setting.default if setting.file_value is None else setting.file_value
        return (Field("value", "Value", value_text(value), setting.expected),)

    def on_mount(self) -> None:
        super().on_mount()
        setting = self._setting
        default = value_text(setting.default) or "empty"
        words = f"{setting.explanation}\n\nIt must be {setting.expected}. Default: {default}."
        self.show_message(lambda width: wrap(words, width, "dim"))

    def send(self) -> None:
        """Write the value, unless somebody else has changed it meanwhile."""
        work = partial(set_setting, self.site.root, self._setting.key, self.value("value"), seen=self._setting)
        self.run_once(work, lambda _: self.dismiss(self._setting.key), "writing…")

    def show_error(self, error: XaivaError) -> None:
        """Show the error; the next try overwrites what somebody else has written."""
        if isinstance(error, SettingsEditConflict):
            self._setting = error.current
        super().show_error(error)
