"""The dialog that packs a medium: what to carry, then how much that is, what is there already, and whether it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.widget import Widget

from core.errors import XaivaError
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters import carry as carry_format
from tui.formatters.cells import Span, line
from tui.screens.form import Form
from tui.widgets.checkbox import Checkbox

if TYPE_CHECKING:
    from core.carry.pack_plan import PackPlan

PRESET_BOX = "preset-"  # the id of a preset's box begins so; its number follows


class Pack(Form[dict[str, Any]]):
    """Returns the options of the operation, None when the dialog was cancelled. Packs only what was shown and fits."""

    VERB = "Pack"
    WIDE = True

    def __init__(self, site: Site, medium: str, presets: Sequence[str], chosen: str) -> None:
        super().__init__(f"Pack {medium}", site)
        self._medium = medium
        self._presets = presets
        self._chosen = chosen if chosen in presets else presets[0]
        self._newest_look: Callable[[], object] | None = None  # results of older ones are dropped
        self._shown: tuple[PackPlan, dict[str, Any]] | None = None

    def compose_fields(self) -> Iterable[Widget]:
        """One box per preset, and one for images."""
        for number, name in enumerate(self._presets):
            yield Checkbox(name, name == self._chosen, id=f"{PRESET_BOX}{number}", compact=True)
        yield Checkbox("with built images, so that the site need not build", id="images", compact=True)

    def on_mount(self) -> None:
        """Plan for the preset that was chosen on other screens."""
        self.query(Checkbox).first().focus()
        self.query_one(".dialog").border_subtitle = "space ticks · Enter packs what is shown · Esc cancels"
        self._plan()

    def on_checkbox_changed(self) -> None:
        self._plan()

    def _options(self) -> dict[str, Any]:
        boxes = [self.query_one(f"#{PRESET_BOX}{number}", Checkbox).value for number in range(len(self._presets))]
        presets = [name for name, ticked in zip(self._presets, boxes, strict=True) if ticked]
        return {"presets": presets, "images": self.query_one("#images", Checkbox).value}

    def _plan(self) -> None:
        options = self._options()
        self._shown = None
        if not options["presets"]:
            self._newest_look = None
            self.show_message(lambda _: [line(Span("tick a preset with the space bar", "warn"))])
            return
        self.show_message(lambda _: [line(Span("adding up what goes onto the medium…", "dim"))])
        console = console_of(self)
        self._newest_look = look = partial(console.parts.pack_plan, self.site, self._medium, options)

        def show(plan: PackPlan) -> None:
            if self.is_attached and self._newest_look is look:
                self._shown = plan, options
                self.show_message(partial(carry_format.pack_preview, plan))

        def show_obstacle(error: XaivaError) -> None:
            if self.is_attached and self._newest_look is look:
                self.show_error(error)

        console.background(look, show, show_obstacle)

    def submit(self) -> None:
        """Nothing starts before its plan is there, or when it does not fit: that is what the message says."""
        if self._shown is not None and self._shown[0].fits:
            self.dismiss(self._shown[1])
