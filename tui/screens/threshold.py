"""The dialog that sets a product's threshold by looking at the scores of known pictures."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from core.api_schema import Product, ProductSettings, ScoreHistogram
from core.errors import XaivaError
from core.service_client import ServiceClient
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters.cells import Line, Span, line
from tui.formatters.score_histogram import MEASURED, threshold_lines
from tui.screens.form import Form

STEP, LEAP = 0.01, 0.05
HEIGHT, SHORT_HEIGHT = 6, 3  # rows of one histogram


class ThresholdDialog(Form[ProductSettings]):
    """Returns the settings as the service has them then, None when the dialog was cancelled."""

    VERB = "Save"
    WIDE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,minus", f"move({-STEP})", "Lower"),
        Binding("right,plus,equals_sign", f"move({STEP})", "Raise"),
        Binding("down", f"move({-LEAP})", "Much lower", show=False),
        Binding("up", f"move({LEAP})", "Much higher", show=False),
        Binding("a", "automatic", "As measured"),
    ]

    def __init__(self, product: Product, site: Site) -> None:
        super().__init__(f"Threshold of {product.name}", site)
        self._product = product.name
        self._value = product.threshold
        self._is_automatic = product.settings.threshold is None
        self._histogram: ScoreHistogram | None = None

    def on_mount(self) -> None:
        """Ask for the scores."""
        self.query_one("#submit").focus()
        self.query_one(".dialog").border_subtitle = "← → move it · a as measured · Enter saves"
        self.show_message(lambda _: [line(Span("loading the scores…", "dim"))])
        console = console_of(self)
        console.background(partial(console.service.products.histogram, self._product), self._show, self._show_obstacle)

    @property
    def unsaved(self) -> bool:
        """A line that was moved is moved again as quickly."""
        return False

    def _show(self, histogram: ScoreHistogram) -> None:
        self._histogram = histogram
        if self.is_attached:
            self._draw()

    def _show_obstacle(self, error: XaivaError) -> None:
        if self.is_attached:
            self.show_error(error)

    def _draw(self) -> None:
        if self._histogram is not None:
            self.show_message(partial(self._lines, self._histogram))

    def _lines(self, histogram: ScoreHistogram, width: int) -> list[Line]:
        height = SHORT_HEIGHT if self.has_class("-short") else HEIGHT
        return threshold_lines(histogram, self._value, self._is_automatic, height, width)

    def on_resize(self) -> None:
        self._draw()

    def action_move(self, step: float) -> None:
        self._value = round(min(max(self._value + step, 0.0), 1.0), 2)
        self._is_automatic = False
        self._draw()

    def action_automatic(self) -> None:
        self._value, self._is_automatic = MEASURED, True
        self._draw()

    def submit(self) -> None:
        if self._histogram is None:
            return
        value = None if self._is_automatic else self._value
        self.run_once(partial(_set_threshold, console_of(self).service, self._product, value), self.dismiss)


def _set_threshold(service: ServiceClient, product: str, value: float | None) -> ProductSettings:
    """Change only the threshold. Blocks."""
    settings = service.products.settings(product)
    return service.products.set_settings(product, settings.model_copy(update={"threshold": value}))
