"""Products: what is inspected, with its indexes and memory banks; the last inspections with their pictures."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.containers import Container
from textual.events import DescendantFocus
from textual.widget import Widget

from core.api_schema import IndexStatus, Inspection, InspectionPage, Job, Product, Products
from tui.actions import bindings
from tui.formatters import inspections as inspection_format
from tui.formatters import products as product_format
from tui.formatters.jobs import unix
from tui.formatters.numbers import coarse_duration, local_time
from tui.inspection_sources import inspections
from tui.screens.picture_list import PictureListScreen
from tui.sources import not_targeted_yet
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, Panel, empty_content
from tui.widgets.picture_view import PictureView


class ProductsScreen(PictureListScreen):
    """Indexes and products; below them the inspections of the one under the cursor, a picture, and the details.

    While the products have the focus, the picture is that of the newest inspection, else of the chosen one.
    """

    NAME = "products"
    SOURCE = "products"
    SOURCES = ("products", "recent_jobs", "inspections")
    LOGIN_SOURCE = "products"
    TITLE = "Products"
    COLUMNS = product_format.COLUMNS
    EMPTY = "no products yet: put pictures into normal/NAME/ in the storage"
    BINDINGS: ClassVar[list[Any]] = bindings("products", "list")

    def __init__(self) -> None:
        super().__init__()
        self._in_inspections = False  # which of the two lists had the focus last

    def body(self) -> Iterable[Widget]:
        choices = ChoiceList(self.COLUMNS, empty=self.EMPTY, id="choices")
        listed = ChoiceList(inspection_format.COLUMNS, id="inspections")
        choices.border_title, listed.border_title = self.TITLE, "Inspections"
        with Container(classes="columns"):
            yield choices
            with Container(classes="main"):
                yield listed
                yield PictureView(id="picture")
                yield Panel(id="detail")

    # -- what is shown -------------------------------------------------------------------------------------------------

    @property
    def inspections(self) -> ChoiceList:
        return self.query_one("#inspections", ChoiceList)

    @property
    def _jobs(self) -> list[Job] | None:
        reading = self.reading("recent_jobs")
        return None if reading.is_stale else reading.value

    def rows(self, value: Products) -> list[ChoiceRow]:
        now = self.console.parts.now()
        return [
            ChoiceRow(product_format.key_of(item), product_format.row(item, self._jobs, now), item)
            for item in product_format.items(value)
        ]

    def feed(self) -> None:
        """The products, the inspections of the one under the cursor, the picture and the details."""
        super().feed()
        products: Products | None = self.reading("products").value
        if self.choices.border_title != (title := _list_title(products, self.console.parts.now())):
            self.choices.border_title = title
        self._show_inspections()
        self._aim_picture(self.inspection())

    def _show_inspections(self) -> None:
        listed, reading = self.inspections, self.reading("inspections")
        page: InspectionPage | None = reading.value
        chosen = self.selected()
        if isinstance(chosen, IndexStatus):
            listed.empty = "an index inspects nothing: choose a product"
        elif page is None:
            listed.empty = f"unknown: {reading.error.why or reading.error.what}" if reading.error else ""
        else:
            listed.empty = "no inspection of this product yet"
        rows = [
            ChoiceRow(inspection.id, inspection_format.row(inspection), inspection)
            for inspection in (page.inspections if page else ())
        ]
        listed.show(rows, *reading.state)
        if rows and self.choices.has_focus:
            listed.move_cursor_to(rows[0].key)
        name = chosen.name if isinstance(chosen, Product) else ""
        listed.border_title = f"Inspections of {name}" if name else "Inspections"

    def _aim_picture(self, inspection: Inspection | None) -> None:
        if inspection is None:
            self.picture.set_source("", None, title="Picture")
            return
        title = f"{inspection.verdict.word} {inspection.score:.2f}  {local_time(unix(inspection.at))}"
        if not inspection.picture:
            self.picture.set_source(inspection.id, None, words="no picture was kept", title=title)
            return
        service = self.console.service
        self.picture.set_source(
            inspection.id, lambda width: service.products.inspection_thumbnail(inspection.id, width), title=title
        )

    def row_changed(self) -> None:
        """Ask for the inspections of the product, and show none of another one meanwhile."""
        chosen = self.selected()
        fetch = (
            partial(inspections, self.console.ask_service, chosen.name)
            if isinstance(chosen, Product)
            else not_targeted_yet
        )
        self.console.store.retarget("inspections", fetch)
        self._in_inspections = False
        self.update_now()

    @on(ChoiceList.Highlighted, "#inspections")
    @on(DescendantFocus)
    def _moved(self) -> None:
        if self.is_mounted:
            if isinstance(self.focused, ChoiceList):
                self._in_inspections = self.focused is self.inspections
            self._aim_picture(self.inspection())
            self.show_detail()

    def detail(self) -> tuple[Formatter, str, str]:
        inspection, chosen = self.inspection(), self.selected()
        products: Products | None = self.reading("products").value
        if self._in_inspections and inspection is not None:
            return partial(inspection_format.detail, inspection), *self.reading("inspections").state
        if chosen is None or products is None:
            return empty_content, "", ""
        return partial(product_format.detail, chosen, products, self._jobs, self.console.parts.now()), "", ""

    def show_detail(self) -> None:
        super().show_detail()
        inspection, chosen = self.inspection(), self.selected()
        if self._in_inspections and inspection is not None:
            words = f"Inspection of {local_time(unix(inspection.at))}"
        else:
            words = product_format.index_title(chosen.name) if isinstance(chosen, IndexStatus) else ""
            words = words or (chosen.name if chosen else "Details")
        self.query_one("#detail").border_title = words

    def selected(self) -> Product | IndexStatus | None:
        products: Products | None = self.reading("products").value
        listed = product_format.items(products) if products else []
        return next((item for item in listed if product_format.key_of(item) == self.choices.key), None)

    def inspection(self) -> Inspection | None:
        """The inspection under the cursor of its list: the newest one, until somebody chooses another."""
        page: InspectionPage | None = self.reading("inspections").value
        listed = page.inspections if page and isinstance(self.selected(), Product) else []
        return next((inspection for inspection in listed if inspection.id == self.inspections.key), None)

    def action_inspections(self) -> None:
        self.focus_panel(self.inspections)


def _list_title(products: Products | None, now: float) -> str:
    """The title with the storage that the pictures come from, and when they were counted."""
    if products is None:
        return ProductsScreen.TITLE
    if products.storage_trouble:
        counted = "storage does not answer"
    else:
        counted = f"counted {coarse_duration(now - unix(products.counted))} ago" if products.counted else ""
    return " · ".join(word for word in (ProductsScreen.TITLE, products.storage, counted) if word)
