"""The preset editor: a form and the JSON, with findings and the difference to the saved file beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, Label, TextArea

from core.artifacts.lock_check import check_preset
from core.errors import XaivaError
from core.findings import Finding
from core.presets.compat import Choices, choices, rate_choices, site_facts, target_for
from core.presets.store import PresetEditConflict, preset_path, read_text, save
from core.presets.validation import PresetProblem, preset_from_text, validate_text
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters import findings as finding_format
from tui.formatters import presets as preset_format
from tui.formatters.cells import Line, Span, line, wrap
from tui.formatters.preset_form import (
    PRESET_FIELDS,
    PresetField,
    apply_changes,
    field_texts,
    parse_object,
)
from tui.screens.panel_screen import PanelScreen
from tui.widgets.bars import KeyBar, StatusBar, TabBar
from tui.widgets.drop_down import DropDownMark, DropDownOpened, DropDownRow
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from tui.screens.pick import Ratings

MAX_SAVE_SECONDS = 15.0  # how long keys wait for a save
DEBOUNCE_SECONDS = 0.25  # seconds without a key press before the text is checked


@dataclass(frozen=True)
class CheckedText:
    """The result of checking one text. `findings` are empty while there are problems."""

    text: str
    problems: list[PresetProblem]
    findings: list[Finding]
    target: str


class EditorScreen(PanelScreen):
    """Form and JSON are two views of one text, with its problems beside them. Nothing is written before Ctrl+S."""

    AUTO_FOCUS = "#f-base"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="editor.save", tooltip="Write the file; its keys keep their order"),
        Binding("ctrl+t", "turn", "Form/JSON", id="editor.turn", tooltip="Switch between form and JSON"),
        Binding("ctrl+o", "offer", "Choices", id="editor.offer", tooltip="Known values, and which fit the target"),
        Binding("ctrl+r", "revert", "Revert", id="editor.revert", tooltip="Return to the saved file"),
        Binding("escape", "leave", "Leave", id="editor.leave", tooltip="Return to the presets; asks when not saved"),
    ]

    def __init__(self, site: Site, name: str) -> None:
        super().__init__()
        self.site = site
        self._preset_name = name
        self._path = preset_path(site, name)
        self._saved = ""
        self._base_text = ""  # the text that filled the fields; its layout is kept, valid or not
        self._text = ""  # the text as last checked
        self._choices: Choices | None = None
        self._timer: Timer | None = None
        self._filling = False

    # -- parts ---------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield StatusBar()
        yield TabBar("presets")
        with Container(classes="columns"):
            with ContentSwitcher(initial="form", id="views", classes="panel"):
                with VerticalScroll(id="form"):
                    for field in PRESET_FIELDS:
                        yield from self._field_widgets(field)
                yield TextArea("", id="json", show_line_numbers=True)
            with Vertical(classes="main"):
                yield Panel("Findings", id="findings")
                yield Panel("Difference to the saved file", id="difference")
        yield KeyBar()

    def _field_widgets(self, field: PresetField) -> Iterable[Widget]:
        if field.format.multiline:
            yield Label(field.label, classes="long", markup=False)
            yield TextArea("", id=f"f-{field.name}", classes="lines", compact=True)
        else:
            with DropDownRow(f"f-{field.name}") if field.has_choices else Horizontal(classes="row"):
                yield Label(field.label)
                yield Input(id=f"f-{field.name}", placeholder=field.hint, compact=True)
                if field.has_choices:
                    yield DropDownMark(f"f-{field.name}")

    def on_mount(self) -> None:
        """Read the file and the choices in a thread."""
        self.query_one("#views").border_title = f"Preset {self._preset_name}"
        for panel in self.query(Panel):
            panel.can_focus = True  # so that Tab reaches it and arrows scroll it
        for area in self.query(TextArea):
            area.cursor_blink = False
        for box in self.query(Input):
            box.cursor_blink = False

        def work() -> tuple[str, Choices]:
            return read_text(self._path), choices(self.site)

        def show(result: tuple[str, Choices]) -> None:
            self._saved, self._choices = result
            self._load_text(self._saved)
            if parse_object(self._saved) is None:
                self._show_view("json")

        console_of(self).load_then_open(work, show, lambda: self.dismiss(None))

    # -- the text ------------------------------------------------------------------------------------------------------

    def _load_text(self, text: str) -> None:
        """Show a text in both views; the form's changes are applied to this text."""
        self._text = self._base_text = text
        document = parse_object(text)
        self._filling = True
        self.query_one("#json", TextArea).load_text(text)
        if document is not None:
            texts = field_texts(document)
            for field in PRESET_FIELDS:
                self._set_field(field, texts[field.name])
        self.call_after_refresh(self._filled)
        self._check_soon()

    def _filled(self) -> None:
        self._filling = False
        self._update_suggesters()

    def _set_field(self, field: PresetField, text: str) -> None:
        widget = self.query_one(f"#f-{field.name}")
        if isinstance(widget, Input):
            if widget.value != text:
                widget.value = text
        elif isinstance(widget, TextArea) and widget.text != text:
            widget.load_text(text)

    def _field_texts(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for field in PRESET_FIELDS:
            widget = self.query_one(f"#f-{field.name}")
            out[field.name] = widget.value if isinstance(widget, Input) else cast(TextArea, widget).text
        return out

    @property
    def unsaved(self) -> bool:
        """Whether leaving would lose changes."""
        return self._current_text() != self._saved

    @property
    def _in_form(self) -> bool:
        return self.query_one("#views", ContentSwitcher).current == "form"

    @on(Input.Changed)
    @on(TextArea.Changed)
    def _typed(self) -> None:
        if not self._filling:
            self._check_soon()

    def _check_soon(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE_SECONDS, self._check)

    def _check(self) -> None:
        """Check the current text in a thread; the result for an older text is dropped."""
        work = partial(self._check_text, self._current_text())
        self._check_in_progress = work
        console_of(self).background(
            work, lambda checked: self._show_checked(checked) if self._check_in_progress is work else None
        )

    def _check_text(self, text: str) -> CheckedText:
        problems_found = validate_text(text, self._path)
        if problems_found:
            return CheckedText(text, problems_found, [], "")
        preset = preset_from_text(text, self._path)
        target = target_for(preset, site_facts(self.site))
        findings = check_preset(self.site, self._preset_name, preset, target)
        return CheckedText(text, [], findings, str(target or "any machine"))

    def _show_checked(self, checked: CheckedText) -> None:
        if not self.is_attached:
            return
        self._text = checked.text
        state = "" if not self._dirty else "not saved"
        self.query_one("#findings", Panel).show(partial(_finding_lines, checked), _state_text(checked))
        self.query_one("#difference", Panel).show(
            partial(_difference_lines, self._saved, checked.text, self._path.name), state
        )
        self._update_suggesters()

    @property
    def _dirty(self) -> bool:
        return self._text != self._saved

    # -- choices -------------------------------------------------------------------------------------------------------

    def _update_suggesters(self) -> None:
        if self._choices is None:
            return
        texts = self._field_texts()
        for field in PRESET_FIELDS:
            if field.has_choices:
                values = self._choices.of_field(field.place, texts["python"])
                self.query_one(f"#f-{field.name}", Input).suggester = SuggestFromList(values, case_sensitive=False)

    @on(DropDownOpened)
    def _drop_down(self, event: DropDownOpened) -> None:
        self.set_focus(self.query_one(f"#{event.field}"))
        self.action_offer()

    @on(Input.Submitted)
    def action_offer(self) -> None:
        """Pick one of the known values of the focused field."""
        from tui.screens.pick import Pick

        box = self.focused
        field = next((field for field in PRESET_FIELDS if box is not None and box.id == f"f-{field.name}"), None)
        if field is None or not field.has_choices or not isinstance(box, Input) or self._choices is None:
            return
        values = self._choices.of_field(field.place, self._field_texts()["python"])

        def picked(value: str | None) -> None:
            if value is not None:
                box.value = value

        rate = None if field.path[0] == "target" else partial(self._rate, field.place, values, self._current_text())
        self.app.push_screen(Pick(field.label, values, box.value, box.region, rate), picked)

    def _rate(self, field: str, values: list[str], text: str) -> Ratings:
        """Which values fit the target. Raises XaivaError while the text is not a valid preset."""
        from tui.screens.pick import Ratings

        preset = preset_from_text(text, self._path)
        target = target_for(preset, site_facts(self.site))
        rated = rate_choices(preset, field, values, target, site=self.site, name=self._preset_name)
        return Ratings(str(target or "any machine"), {choice.value: choice.problem for choice in rated})

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_turn(self) -> None:
        if self._in_form:
            self._text = self._current_text()
            self._filling = True
            self.query_one("#json", TextArea).load_text(self._text)
            self.call_after_refresh(self._filled)
            self._show_view("json")
        elif parse_object(self._current_text()) is None:
            self.notify("fix the JSON first: the form needs a JSON object")
        else:
            self._load_text(self._current_text())
            self._show_view("form")

    def _show_view(self, name: str) -> None:
        self.query_one("#views", ContentSwitcher).current = name
        (self.query_one("#json") if name == "json" else self.query_one("#f-base")).focus()

    def action_save(self) -> None:
        """Check the current text and write the file, completely or not at all. Keys wait until it is written."""
        self._save(self._saved)

    def _save(self, instead_of: str) -> None:
        text = self._current_text()
        release = console_of(self).hold_keys(None)
        self.set_timer(MAX_SAVE_SECONDS, release)  # also when a disk hangs

        def failed(error: XaivaError) -> None:
            release()
            if isinstance(error, PresetEditConflict):
                self._ask_to_overwrite(error)
            else:
                console_of(self).show_error(error)

        def done(_: Any) -> None:
            release()
            self._saved = text
            if self._current_text() == text:
                self._load_text(text)
            else:  # text typed meanwhile stays
                self._check_soon()
            self.notify(f"{self._path.name} saved")

        work = partial(save, self.site, self._preset_name, text, expected_text=instead_of)
        console_of(self).background(work, done, failed)

    def _ask_to_overwrite(self, error: PresetEditConflict) -> None:
        """Show what somebody else changed in the file; ask before it is replaced."""
        self.query_one("#difference", Panel).show(
            partial(_difference_lines, self._saved, error.text, self._path.name), "changed by somebody else"
        )
        if error.text:
            changed = preset_format.changed_text(self._saved, error.text)
            text = f"{error.why}:\n{changed}\n\nOverwrite their changes? To take them instead, cancel and press Ctrl+R."
        else:
            text = f"{error.why}. Write it again?"
        self._confirm(f"{self._path.name} was changed", text, "Overwrite", lambda: self._save(error.text))

    def _current_text(self) -> str:
        """The text in the current view, which may not have been checked yet."""
        if not self._in_form:
            return self.query_one("#json", TextArea).text
        document = parse_object(self._base_text)
        base_texts = field_texts(document) if document is not None else {}
        changed = {name: text for name, text in self._field_texts().items() if text != base_texts.get(name)}
        return apply_changes(self._base_text, changed) if changed else self._base_text

    def action_revert(self) -> None:
        """Ask, then load the file as it is now."""
        if self.unsaved:
            self._confirm("Revert?", "Changes since the last save are lost.", "Revert", self._read_again)
        else:
            self._read_again()

    def _read_again(self) -> None:
        def show(text: str) -> None:
            self._saved = text
            self._load_text(text)

        console_of(self).background(partial(read_text, self._path), show)

    def action_leave(self) -> None:
        if self.leave_full_screen():
            return
        if self.unsaved:
            self._confirm("Leave without saving?", "Your changes are lost.", "Leave", lambda: self.dismiss(None))
        else:
            self.dismiss(None)

    def _confirm(self, title: str, text: str, verb: str, on_yes: Any) -> None:
        from tui.screens.confirm import Confirm

        self.app.push_screen(Confirm(title, text, verb), lambda yes: on_yes() if yes else None)


def _state_text(checked: CheckedText) -> str:
    return f"checked for {checked.target}"[:40] if checked.target else "not checked: not a valid preset yet"


def _finding_lines(checked: CheckedText, width: int) -> list[Line]:
    if not checked.problems:
        return finding_format.lines(checked.findings, width)
    out: list[Line] = []
    for problem in checked.problems:
        position = f"line {problem.line}" + (f", {problem.field}" if problem.field else "")
        out.append(line(Span("✗ ", "error"), Span(position, "title")))
        out += [(Span("  "), *rest_line) for rest_line in wrap(problem.what, width - 2)]
        out += [(Span("  "), *rest_line) for rest_line in wrap(f"→ {problem.remedy}", width - 2, "accent", indent="  ")]
    return out


def _difference_lines(saved: str, text: str, name: str, width: int) -> list[Line]:
    difference = preset_format.json_difference(saved, text, name)
    return difference or wrap("no changes", width, "dim")
