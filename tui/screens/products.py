"""Products: what is inspected, with its indexes and memory banks; the last inspections with their pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.containers import Container
from textual.events import DescendantFocus
from textual.widget import Widget

from core.api_schema import (
    IndexStatus,
    Inspection,
    InspectionPage,
    Job,
    Product,
    Products,
    ProductSettings,
)
from tui.actions import bindings
from tui.formatters import inspections as inspection_format
from tui.formatters import products as product_format
from tui.formatters import rebuilds
from tui.formatters.jobs import unix
from tui.formatters.numbers import coarse_duration, local_time
from tui.inspection_sources import inspections
from tui.picture.inspected import InspectedPicture
from tui.screens.picture_list import PictureListScreen
from tui.sources import not_targeted_yet
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, Panel, empty_content
from tui.widgets.picture_view import Fetch, PictureView


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
        self._with_heat = True
        self._fetched: tuple[str, Fetch | None] = ("", None)  # the picture in view: its key, and what fetches it

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
            listed.empty = "no inspection yet: xaiva product inspect FILE --product NAME"
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
        title = inspection_format.title(inspection)
        if not inspection.picture:
            self.picture.set_source(inspection.id, None, words="no picture was kept", title=title)
            return
        key = f"{inspection.id}{' with heat map' if self._with_heat else ''}"
        if key != self._fetched[0]:
            self._fetched = key, self._fetch_picture(inspection)
        fetch = self._fetched[1]
        if isinstance(fetch, InspectedPicture) and fetch.why:
            title += f" · no heat map: {fetch.why}"
        self.picture.set_source(key, fetch, title=title)

    def _fetch_picture(self, inspection: Inspection) -> Fetch:
        """The picture of an inspection, with its heat map unless that is off."""
        products = self.console.service.products

        def fetch(width: int) -> bytes:
            return products.inspection_thumbnail(inspection.id, width)

        if not self._with_heat:
            return fetch
        return InspectedPicture(fetch, partial(products.heat_map, inspection.id), inspection.threshold)

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

    # -- looking -------------------------------------------------------------------------------------------------------

    def action_inspections(self) -> None:
        self.focus_panel(self.inspections)

    def action_heat(self) -> None:
        self._with_heat = not self._with_heat
        self._aim_picture(self.inspection())
        self.picture.show_now()

    @on(ChoiceList.Chosen)
    def action_large(self) -> None:
        from tui.screens.large_picture import LargePicture

        inspection = self.inspection()
        if inspection is None or not inspection.picture:
            self.notify("no picture was kept" if inspection else "no inspection to show")
            return
        title = f"{inspection.product} · {inspection_format.title(inspection)}"
        self.app.push_screen(LargePicture(inspection.id, title, self._fetch_picture(inspection), live=False))

    # -- rebuilding and rolling back -----------------------------------------------------------------------------------

    def action_normal(self) -> None:
        self._rebuild_index("normal")

    def action_defect(self) -> None:
        self._rebuild_index("defect")

    def _rebuild_index(self, name: str) -> None:
        products: Products | None = self.reading("products").value
        index = next((index for index in products.indexes if index.name == name), None) if products else None
        if products is None or index is None:
            self.notify(f"the {product_format.index_title(name)} is not known")
            return
        preview = partial(rebuilds.index_preview, index, products, self._jobs or [])
        work = partial(self.console.service.products.rebuild_index, name)
        self._ask(f"Rebuild the {product_format.index_title(name)}", preview, work)

    def action_bank(self) -> None:
        product = self._product_or_notify()
        products: Products | None = self.reading("products").value
        if product is None or products is None:
            return
        preview = partial(rebuilds.bank_preview, product, products, self._jobs or [])
        work = partial(self.console.service.products.rebuild, product.name)
        self._ask(f"Rebuild the memory bank of {product.name}", preview, work)

    def action_all_banks(self) -> None:
        products: Products | None = self.reading("products").value
        if products is None or not products.products:
            self.notify("there is no product")
            return
        preview = partial(rebuilds.all_banks_preview, products, self._jobs or [])
        self._ask("Rebuild the memory banks of all products", preview, self.console.service.products.rebuild_all)

    def _ask(self, title: str, preview: Formatter, work: Callable[[], Job]) -> None:
        """Show what a rebuild would do, then start it."""
        self.ask_to_start(title, "Rebuild", lambda: preview, lambda: self.background(work, self._started))

    def action_rollback(self) -> None:
        """Ask, then let the generation before the current one answer again."""
        chosen = self.selected()
        is_index = isinstance(chosen, IndexStatus)
        previous = product_format.previous_generation(chosen) if chosen else None
        if chosen is None or previous is None:
            self.notify("there is no generation to go back to" if chosen else "nothing selected to roll back")
            return
        name = product_format.index_title(chosen.name) if is_index else f"memory bank of {chosen.name}"
        text = rebuilds.rollback_text(product_format.generation(chosen), previous, self.console.parts.now())
        calls = self.console.service.products
        work = partial(calls.rollback_index if is_index else calls.rollback, chosen.name)
        self.confirm(f"Roll back the {name}?", text, "Roll back", lambda: self.background(work, self._started))

    def _started(self, job: Job) -> None:
        self.console.new_rows["jobs"] = str(job.id)
        self.console.store.ask_now("recent_jobs", "products")
        self.notify(f"{job.title}, job {job.id}: {job.state.word} (,j)", title="Started")

    # -- threshold and verdicts ----------------------------------------------------------------------------------------

    def action_threshold(self) -> None:
        from tui.screens.threshold import ThresholdDialog

        def done(settings: ProductSettings | None) -> None:
            if settings is not None:
                self.console.store.ask_now("products")
                self.notify("the threshold was saved; it holds from the next inspection on")

        if (product := self._product_or_notify()) is not None:
            self.app.push_screen(ThresholdDialog(product, self.site), done)

    def action_correct(self) -> None:
        from tui.screens.correct_verdict import CorrectVerdict

        def done(inspection: Inspection | None) -> None:
            if inspection is not None:
                self.console.store.ask_now("inspections", "products")
                self.notify("the verdict was corrected; the next rebuild learns from it")

        inspection, product = self.inspection(), self.selected()
        if inspection is None or not isinstance(product, Product):
            self.notify("no inspection selected")
            return
        self.app.push_screen(CorrectVerdict(inspection, sorted(product.defect_types), self.site), done)

    def _product_or_notify(self) -> Product | None:
        chosen = self.selected()
        if isinstance(chosen, Product):
            return chosen
        self.notify("no product selected")
        return None


def _list_title(products: Products | None, now: float) -> str:
    """The title with the storage that the pictures come from, and when they were counted."""
    if products is None:
        return ProductsScreen.TITLE
    if products.storage_trouble:
        counted = "storage does not answer"
    else:
        counted = f"counted {coarse_duration(now - unix(products.counted))} ago" if products.counted else ""
    return " · ".join(word for word in (ProductsScreen.TITLE, products.storage, counted) if word)
