"""Dialogs about a GPU entered by hand: check a preset against it, or suggest versions that work on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.suggester import SuggestFromList
from textual.widgets import Input

from core.errors import InputError
from core.presets.model import Preset
from core.site import Site
from tui.formatters import findings as finding_format
from tui.formatters import presets as preset_format
from tui.screens.field_form import Field, FieldForm
from tui.screens.form import T

if TYPE_CHECKING:
    from core.findings import Finding
    from core.presets.compat import Suggestion, TargetMachine


class TargetForm(FieldForm[T]):
    """Two fields, GPU and driver; empty fields mean this machine."""

    def fields(self) -> Sequence[Field]:
        return (
            Field("gpu", "GPU", hint="empty: this machine; RTX 4090, L4, sm_86 …"),
            Field("driver", "Driver", hint="empty: unknown; 535.183 …"),
        )

    def on_mount(self) -> None:
        super().on_mount()
        self.background(self._names, self._offer)

    def _names(self) -> list[str]:
        from core.presets.compat import choices

        return choices(self.site).gpus

    def _offer(self, names: list[str]) -> None:
        self.query_one("#gpu", Input).suggester = SuggestFromList(names, case_sensitive=False)

    def target(self) -> Callable[[], TargetMachine]:
        """A function that finds the machine. It may block, and raises InputError when there is no such GPU."""
        return partial(_find_target, self.site, self.value("gpu"), self.value("driver"))


def _find_target(site: Site, gpu: str, driver: str) -> TargetMachine:
    from core.presets.compat import host_target, named_target, site_facts

    facts = site_facts(site)
    target = named_target([gpu] if gpu else [], driver, facts=facts) if gpu or driver else host_target(facts)
    if target is None:
        raise InputError("GPU", "none was found on this machine", "enter a GPU name")
    return target


class CheckTarget(TargetForm[None]):
    """Shows the findings of one preset for the machine."""

    VERB = "Check"

    def __init__(self, site: Site, name: str, preset: Preset) -> None:
        super().__init__(f"Check {name}", site)
        self._preset_name = name
        self._preset = preset

    def send(self) -> None:
        target = self.target()

        def work() -> list[Finding]:
            from core.artifacts.lock_check import check_preset

            return check_preset(self.site, self._preset_name, self._preset, target())

        self.run_once(work, lambda findings: self.show_message(partial(finding_format.lines, findings)), "searching…")


class SuggestVersions(TargetForm[str]):
    """Suggests versions for the machine; returns the preset's name when the newest suggestion was saved."""

    VERB = "Suggest"

    def __init__(self, site: Site, read_only: bool) -> None:
        super().__init__("Suggest versions for a GPU", site)
        self._read_only = read_only
        self._found: list[Suggestion] = []

    def fields(self) -> Sequence[Field]:
        save = () if self._read_only else (Field("name", "Save newest as", hint="preset name; empty: do not save"),)
        return (*super().fields(), *save)

    def send(self) -> None:
        """Search for versions; with a name, save the newest as a preset."""
        target, name = self.target(), "" if self._read_only else self.value("name")

        def work() -> list[Suggestion]:
            from core.presets.compat import suggest
            from core.presets.store import preset_path, save

            suggestions = suggest(target(), site=self.site)
            if name:
                if preset_path(self.site, name).exists():
                    raise InputError(f"Preset {name}", "a preset with this name already exists", "choose another name")
                save(self.site, name, suggestions[0].preset)
            return suggestions

        def show(suggestions: list[Suggestion]) -> None:
            self.show_message(partial(preset_format.suggestion_lines, suggestions))
            if name:
                self.dismiss(name)

        self.run_once(work, show, "searching…")
