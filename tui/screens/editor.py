"""The preset editor: a form, findings beside it as one types, the JSON, and its difference to the saved file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, Label, TextArea

from core.artifacts.lock_check import check_preset
from core.errors import XaivaError
from core.findings import Finding
from core.presets.compat import Choices, choices, site_facts, target_for
from core.presets.store import PresetEditConflict, preset_path, read_text, save
from core.presets.validation import PresetProblem, preset_from_text
from core.site import Site
from tui.console_app import console_of
from tui.present import findings as present_findings
from tui.present import presets as present
from tui.present.cells import Line, Span, line, wrap
from tui.present.preset_form import FIELDS, Field, apply, offered, parse, problems, values
from tui.widgets.bars import KeyBar, TabBar
from tui.widgets.panel import Panel

SAVE_SECONDS = 15.0  # that keys wait for a save
DEBOUNCE = 0.25  # seconds of quiet before what was typed is checked


@dataclass(frozen=True)
class Checked:
    """What one text is worth. `findings` are empty while there are problems."""

    text: str
    problems: list[PresetProblem]
    findings: list[Finding]
    target: str


class EditorScreen(Screen[None]):
    """Form and JSON are two views of one text; what is wrong stands beside them. Nothing is written before Ctrl+S."""

    AUTO_FOCUS = "#f-base"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="editor.save", tooltip="Write the file, keeping the order of its keys"),
        Binding("ctrl+t", "turn", "Form/JSON", id="editor.turn", tooltip="The same text as a form or as JSON"),
        Binding("ctrl+o", "offer", "Choices", id="editor.offer", tooltip="What is known to work in this field"),
        Binding("ctrl+r", "revert", "Revert", id="editor.revert", tooltip="Back to the saved file"),
        Binding("escape", "leave", "Leave", id="editor.leave", tooltip="Back to the presets; asks when not saved"),
    ]

    def __init__(self, site: Site, name: str) -> None:
        super().__init__()
        self.site = site
        self._preset_name = name
        self._path = preset_path(site, name)
        self._saved = ""
        self._basis = ""  # what the fields were filled from: valid or not, its layout is the one to keep
        self._text = ""  # what stands there now
        self._choices: Choices | None = None
        self._timer: Timer | None = None
        self._filling = False

    # -- parts ---------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """The two views, and beside them what is wrong and what changed."""
        yield TabBar("presets")
        with Container(classes="columns"):
            with ContentSwitcher(initial="form", id="views", classes="panel"):
                with VerticalScroll(id="form"):
                    for one in FIELDS:
                        yield from self._widgets(one)
                yield TextArea("", id="json", show_line_numbers=True)
            with Vertical(classes="main"):
                yield Panel("Findings", id="findings")
                yield Panel("Difference to the saved file", id="difference")
        yield KeyBar()

    def _widgets(self, one: Field) -> Iterable[Widget]:
        if one.shape.long:
            yield Label(one.label, classes="long", markup=False)
            yield TextArea("", id=f"f-{one.name}", classes="lines", compact=True)
        else:
            with Horizontal(classes="row"):
                yield Label(one.label)
                yield Input(id=f"f-{one.name}", placeholder=one.hint, compact=True)

    def on_mount(self) -> None:
        """Read the file and the choices in a thread."""
        self.query_one("#views").border_title = f"Preset {self._preset_name}"
        for panel in self.query(Panel):
            panel.can_focus = True  # Tab brings the keys there, which then scroll
        for area in self.query(TextArea):
            area.cursor_blink = False
        for box in self.query(Input):
            box.cursor_blink = False

        def work() -> tuple[str, Choices]:
            return read_text(self._path), choices(self.site)

        def show(found: tuple[str, Choices]) -> None:
            self._saved, self._choices = found
            self._take(self._saved)
            if parse(self._saved) is None:
                self._view("json")

        console_of(self).prepare(work, show, lambda: self.dismiss(None))

    # -- the text ------------------------------------------------------------------------------------------------------

    def _take(self, text: str) -> None:
        """Show a text in both views; what the form changes from now on is set in this text."""
        self._text = self._basis = text
        document = parse(text)
        self._filling = True
        self.query_one("#json", TextArea).load_text(text)
        if document is not None:
            written = values(document)
            for one in FIELDS:
                self._put(one, written[one.name])
        self.call_after_refresh(self._filled)
        self._check_soon()

    def _filled(self) -> None:
        self._filling = False
        self._suggest()

    def _put(self, one: Field, text: str) -> None:
        widget = self.query_one(f"#f-{one.name}")
        if isinstance(widget, Input):
            if widget.value != text:
                widget.value = text
        elif isinstance(widget, TextArea) and widget.text != text:
            widget.load_text(text)

    def _fields(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for one in FIELDS:
            widget = self.query_one(f"#f-{one.name}")
            out[one.name] = widget.value if isinstance(widget, Input) else cast(TextArea, widget).text
        return out

    @property
    def unsaved(self) -> bool:
        """Whether leaving would lose something."""
        return self._text_now() != self._saved

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
        self._timer = self.set_timer(DEBOUNCE, self._check)

    def _check(self) -> None:
        """Make the text of what was typed and check it, in a thread; an older answer is dropped."""
        work = partial(self._checked, self._text_now())
        self._asked = work
        console_of(self).background(work, lambda found: self._show(found) if self._asked is work else None)

    def _checked(self, text: str) -> Checked:
        wrong = problems(text, self._path)
        if wrong:
            return Checked(text, wrong, [], "")
        preset = preset_from_text(text, self._path)
        target = target_for(preset, site_facts(self.site))
        findings = check_preset(self.site, self._preset_name, preset, target)
        return Checked(text, [], findings, str(target or "no particular machine"))

    def _show(self, found: Checked) -> None:
        if not self.is_attached:
            return
        self._text = found.text
        state = "" if not self._dirty else "not saved"
        self.query_one("#findings", Panel).show(partial(_findings, found), _state(found))
        self.query_one("#difference", Panel).show(partial(_difference, self._saved, found.text, self._path.name), state)
        self._suggest()

    @property
    def _dirty(self) -> bool:
        return self._text != self._saved

    # -- choices -------------------------------------------------------------------------------------------------------

    def _suggest(self) -> None:
        """Known values complete what is typed."""
        if self._choices is None:
            return
        written = self._fields()
        for one in FIELDS:
            if one.choices:
                found = offered(one, self._choices, written)
                self.query_one(f"#f-{one.name}", Input).suggester = SuggestFromList(found, case_sensitive=False)

    def action_offer(self) -> None:
        """Pick from the known values of the field in focus."""
        from tui.screens.pick import Pick

        focused = self.focused
        one = next((one for one in FIELDS if focused is not None and focused.id == f"f-{one.name}"), None)
        found = offered(one, self._choices, self._fields()) if one and self._choices else []
        if not found or not isinstance(focused, Input):
            self.notify("nothing is known for this field: type what you need")
            return

        def picked(value: str | None) -> None:
            if value is not None:
                focused.value = value

        assert one is not None
        self.app.push_screen(Pick(one.label, found, focused.value), picked)

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_turn(self) -> None:
        """The other view of the same text."""
        if self._in_form:
            self._text = self._text_now()
            self._filling = True
            self.query_one("#json", TextArea).load_text(self._text)
            self.call_after_refresh(self._filled)
            self._view("json")
        elif parse(self._text_now()) is None:
            self.notify("correct the JSON first: a form needs an object")
        else:
            self._take(self._text_now())
            self._view("form")

    def _view(self, name: str) -> None:
        self.query_one("#views", ContentSwitcher).current = name
        (self.query_one("#json") if name == "json" else self.query_one("#f-base")).focus()

    def action_save(self) -> None:
        """Check once more what stands there now, and write it whole or not at all. Keys wait until it is written."""
        self._save(self._saved)

    def _save(self, instead_of: str) -> None:
        text = self._text_now()
        release = console_of(self).hold_keys(None)
        self.set_timer(SAVE_SECONDS, release)  # also where a disk hangs

        def failed(error: XaivaError) -> None:
            release()
            if isinstance(error, PresetEditConflict):
                self._ask_to_overwrite(error)
            else:
                console_of(self).show_error(error)

        def done(_: Any) -> None:
            release()
            self._saved = text
            if self._text_now() == text:
                self._take(text)
            else:  # what was typed meanwhile stays
                self._check_soon()
            self.notify(f"{self._path.name} saved")

        work = partial(save, self.site, self._preset_name, text, expected_text=instead_of)
        console_of(self).background(work, done, failed)

    def _ask_to_overwrite(self, error: PresetEditConflict) -> None:
        """Show what somebody else did to the file; what they wrote is replaced only when that is asked for."""
        self.query_one("#difference", Panel).show(
            partial(_difference, self._saved, error.text, self._path.name), "changed by somebody else"
        )
        if error.text:
            changed = present.changed_lines(self._saved, error.text)
            text = f"{error.why}:\n{changed}\n\nOverwrite it with what stands here? Otherwise Ctrl+R takes theirs."
        else:
            text = f"{error.why}. Write it again?"
        self._ask(f"{self._path.name} is another file now", text, "Overwrite", lambda: self._save(error.text))

    def _text_now(self) -> str:
        """What the view in front says; what was typed last may not have been checked yet."""
        if not self._in_form:
            return self.query_one("#json", TextArea).text
        document = parse(self._basis)
        before = values(document) if document is not None else {}
        changed = {name: text for name, text in self._fields().items() if text != before.get(name)}
        return apply(self._basis, changed) if changed else self._basis

    def action_revert(self) -> None:
        """Ask, then back to the saved file, as it is now."""
        if self.unsaved:
            self._ask("Revert?", "What was typed since the last save is lost.", "Revert", self._read_again)
        else:
            self._read_again()

    def _read_again(self) -> None:
        def show(text: str) -> None:
            self._saved = text
            self._take(text)

        console_of(self).background(partial(read_text, self._path), show)

    def action_leave(self) -> None:
        """Ask when something is not saved."""
        if self.unsaved:
            self._ask("Leave without saving?", "What was typed is lost.", "Leave", lambda: self.dismiss(None))
        else:
            self.dismiss(None)

    def _ask(self, title: str, text: str, verb: str, then: Any) -> None:
        from tui.screens.confirm import Confirm

        self.app.push_screen(Confirm(title, text, verb), lambda yes: then() if yes else None)


def _state(found: Checked) -> str:
    return f"checked for {found.target}"[:40] if found.target else "not checked: it is no preset yet"


def _findings(found: Checked, width: int) -> list[Line]:
    if not found.problems:
        return present_findings.lines(found.findings, width)
    out: list[Line] = []
    for one in found.problems:
        place = f"line {one.line}" + (f", {one.field}" if one.field else "")
        out.append(line(Span("✗ ", "error"), Span(place, "title")))
        out += [(Span("  "), *more) for more in wrap(one.what, width - 2)]
        out += [(Span("  "), *more) for more in wrap(f"→ {one.remedy}", width - 2, "accent", indent="  ")]
    return out


def _difference(saved: str, text: str, name: str, width: int) -> list[Line]:
    found = present.json_difference(saved, text, name)
    return found or wrap("the same as the saved file", width, "dim")
