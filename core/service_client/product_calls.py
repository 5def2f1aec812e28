"""The routes of products, their indexes and inspections as typed methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import JsonValue

from core.api_schema import (
    Correction,
    Inspection,
    InspectionPage,
    InspectionQuery,
    Job,
    JobRequest,
    Product,
    Products,
    ProductSettings,
    ScoreHistogram,
)
from core.errors import InputError, os_reason
from core.files import read_regular
from core.service_client.calls import UUID, Calls

INSPECT_SECONDS = 120.0  # an inspection may load its models first, and wait for others


def _product_path(product: str, *parts: str) -> str:
    """A path below a product. Raises InputError for a name that no folder can have."""
    if product in ("", ".", "..") or "/" in product:
        raise InputError(f"Product {product!r}", "no product can have that name", "list them: xaiva product list")
    return "/".join(("/products", quote(product, safe=""), *parts))


def _inspection_path(inspection: str, *parts: str) -> str:
    """A path below an inspection. Raises InputError if the text cannot be the id of one."""
    if not UUID.fullmatch(inspection):
        remedy = "copy the whole id from: xaiva product inspections"
        raise InputError(f"Inspection {inspection}", "there is no inspection with that id", remedy)
    return "/".join(("/inspections", inspection, *parts))


class ProductCalls(Calls):
    """The service's products, their indexes and inspections."""

    def all(self) -> Products:
        """All products and both indexes."""
        return self._get("/products", Products)

    def get(self, product: str) -> Product:
        """One product."""
        return self._get(_product_path(product), Product)

    def settings(self, product: str) -> ProductSettings:
        """The settings of a product."""
        return self._get(_product_path(product, "settings"), ProductSettings)

    def set_settings(self, product: str, settings: ProductSettings) -> ProductSettings:
        """Replace all settings of a product."""
        return self._request("PUT", _product_path(product, "settings"), ProductSettings, settings)

    def histogram(self, product: str) -> ScoreHistogram:
        """The scores of held-out normal pictures and of known defects."""
        return self._get(_product_path(product, "histogram"), ScoreHistogram)

    def rebuild(self, product: str, *, force: bool = False) -> Job:
        """Start a job that rebuilds the product's memory bank. `force`: publish it even if it is worse."""
        return self._start(_product_path(product, "rebuild"), force)

    def rebuild_all(self, *, force: bool = False) -> Job:
        """Start a job that rebuilds the memory banks of all products."""
        options: dict[str, JsonValue] = {"force": True} if force else {}
        return self._request("POST", "/jobs", Job, JobRequest(kind="banks", options=options))

    def rollback(self, product: str) -> Job:
        """Start a job that goes back to the product's previous memory bank."""
        return self._start(_product_path(product, "rollback"))

    def rebuild_index(self, name: str, *, force: bool = False) -> Job:
        """Start a job that rebuilds the index `normal` or `defect`."""
        return self._start(f"/indexes/{quote(name, safe='')}/rebuild", force)

    def rollback_index(self, name: str) -> Job:
        """Start a job that goes back to the previous index."""
        return self._start(f"/indexes/{quote(name, safe='')}/rollback")

    # -- inspections ---------------------------------------------------------------------------------------------------

    def inspect(
        self, product: str, picture: Path | bytes, *, part: str = "", neighbours: int = 3, heat_map: bool = False
    ) -> Inspection:
        """Inspect a picture. Raises InputError for a file that cannot be read and for what is no picture."""
        query: dict[str, Any] = {"product": product, "neighbours": neighbours}
        query |= {"part": part} if part else {}
        query |= {"heat_map": "true"} if heat_map else {}
        content = _read(picture) if isinstance(picture, Path) else picture
        response = self._transport.send("POST", "/inspect", content, query, wait=INSPECT_SECONDS)
        return self._transport.read_leniently(response.text, Inspection)

    def inspections(self, query: InspectionQuery | None = None) -> InspectionPage:
        """One page of inspections, newest first. Its `next` is the `cursor` of the following page."""
        return self._get("/inspections", InspectionPage, query)

    def all_inspections(self, query: InspectionQuery | None = None) -> Iterator[Inspection]:
        """Yield all matching inspections, page by page."""
        query = query or InspectionQuery(limit=1000)
        while True:
            page = self.inspections(query)
            yield from page.inspections
            if not page.next:
                return
            query = query.model_copy(update={"cursor": page.next})

    def inspection(self, inspection: str) -> Inspection:
        """One inspection."""
        return self._get(_inspection_path(inspection), Inspection)

    def inspection_picture(self, inspection: str) -> bytes:
        """The kept picture as JPEG."""
        return self._transport.send("GET", _inspection_path(inspection, "picture")).content

    def inspection_thumbnail(self, inspection: str, width: int) -> bytes:
        """The kept picture as PPM, at most `width` pixels wide, for clients without a decoder."""
        return self._transport.send("GET", _inspection_path(inspection, "picture"), query={"width": width}).content

    def heat_map(self, inspection: str) -> bytes:
        """The heat map as PNG: grey, the score of each place of the picture."""
        return self._transport.send("GET", _inspection_path(inspection, "heat-map")).content

    def correct(self, inspection: str, correction: Correction) -> Inspection:
        """Store what a person says about an inspection; the next rebuild learns from it."""
        return self._request("POST", _inspection_path(inspection, "correct"), Inspection, correction, wait=60)

    def _start(self, path: str, force: bool = False) -> Job:
        query = {"force": "true"} if force else None
        return self._transport.read_leniently(self._transport.send("POST", path, query=query).text, Job)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise InputError(f"{path}", os_reason(error), "name a picture") from error
