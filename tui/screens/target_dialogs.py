"""Dialogs about a machine named by hand: findings of a preset on it, combinations that work on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input

from core.errors import InputError
from core.presets.model import Preset
from core.site import Site
from tui.formatters import findings as finding_format
from tui.formatters import presets as preset_format
from tui.screens.form import Form, T, labelled_input

if TYPE_CHECKING:
    from core.findings import Finding
    from core.presets.compat import Suggestion, TargetMachine


class TargetForm(Form[T]):
    """Two fields: GPU and driver. Empty fields mean this machine."""

    WIDE = True

    def compose_fields(self) -> Iterable[Widget]:
        """GPU and driver."""
        yield from labelled_input("GPU", "gpu", hint="GTX 1060, RTX 4090, L4, sm_86 … empty: this machine's")
        yield from labelled_input("Driver", "driver", hint="535.183 … empty: unknown")

    def on_mount(self) -> None:
        """Type at once; known names complete."""
        self.query_one("#gpu", Input).focus()
        self.background(self._names, self._offer)

    def _names(self) -> list[str]:
        from core.presets.compat import choices

        return choices(self.site).gpus

    def _offer(self, names: list[str]) -> None:
        self.query_one("#gpu", Input).suggester = SuggestFromList(names, case_sensitive=False)

    def target(self) -> Callable[[], TargetMachine]:
        """What finds the machine that was named, which may block: InputError when there is none to speak of."""
        return partial(_find_target, self.site, self.value("gpu"), self.value("driver"))


def _find_target(site: Site, gpu: str, driver: str) -> TargetMachine:
    from core.presets.compat import host_target, named_target, site_facts

    facts = site_facts(site)
    target = named_target([gpu] if gpu else [], driver, facts=facts) if gpu or driver else host_target(facts)
    if target is None:
        raise InputError("No GPU", "this machine has none that can be seen", "name one")
    return target


class CheckTarget(TargetForm[None]):
    """Findings of one preset on the machine."""

    VERB = "Check"

    def __init__(self, site: Site, name: str, preset: Preset) -> None:
        super().__init__(f"Check {name}", site)
        self._preset_name = name
        self._preset = preset

    def submit(self) -> None:
        """Check in a thread."""
        target = self.target()

        def work() -> list[Finding]:
            from core.artifacts.lock_check import check_preset

            return check_preset(self.site, self._preset_name, self._preset, target())

        self.run_once(work, lambda findings: self.show_message(partial(finding_format.lines, findings)), "looking…")


class SuggestVersions(TargetForm[str]):
    """Combinations for the machine; the newest can be saved as a preset, whose name is given back."""

    VERB = "Suggest"

    def __init__(self, site: Site, read_only: bool) -> None:
        super().__init__("What works on a GPU", site)
        self._read_only = read_only
        self._found: list[Suggestion] = []

    def compose_fields(self) -> Iterable[Widget]:
        """The machine, and a name to save under."""
        yield from super().compose_fields()
        if not self._read_only:
            yield from labelled_input("Save the newest as", "name", hint="a preset's name; empty: only look")

    def submit(self) -> None:
        """Look for combinations; with a name, save the newest."""
        target, name = self.target(), "" if self._read_only else self.value("name")

        def work() -> list[Suggestion]:
            from core.presets.compat import suggest
            from core.presets.store import preset_path, save

            suggestions = suggest(target(), site=self.site)
            if name:
                if preset_path(self.site, name).exists():
                    raise InputError(f"Preset {name}", "there is one of that name already", "choose another name")
                save(self.site, name, suggestions[0].preset)
            return suggestions

        def show(suggestions: list[Suggestion]) -> None:
            self.show_message(partial(preset_format.suggestion_lines, suggestions))
            if name:
                self.dismiss(name)

        self.run_once(work, show, "looking…")
