"""The dialog in which a person corrects the verdict of an inspection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.api_schema import Correction, Inspection, Verdict
from core.service_client.text_formats import build_request
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters.cells import Line, wrap
from tui.formatters.inspections import title as inspection_title
from tui.screens.field_form import Field, FieldForm

WORDS = (Verdict.NORMAL.value, Verdict.DEFECT.value)


class CorrectVerdict(FieldForm[Inspection]):
    """Returns the corrected inspection, None when the dialog was cancelled. It offers the other verdict."""

    VERB = "Correct"
    WIDE = False

    def __init__(self, inspection: Inspection, defect_types: Sequence[str], site: Site) -> None:
        verdict = inspection.corrected or inspection.verdict
        self._other = Verdict.NORMAL if verdict is Verdict.DEFECT else Verdict.DEFECT
        super().__init__("False alarm" if self._other is Verdict.NORMAL else "Missed defect", site)
        self._inspection = inspection
        self._types = tuple(defect_types)

    def fields(self) -> Sequence[Field]:
        return (
            Field("verdict", "What it is", self._other.value, choices=WORDS),
            Field("defect_type", "Type of the defect", hint="of a defect, such as scratch", choices=self._types),
            Field("note", "Note", hint="optional"),
        )

    def on_mount(self) -> None:
        super().on_mount()
        if self._other is Verdict.DEFECT:
            self.query_one("#defect_type").focus()
        self.show_message(self._words)

    def _words(self, width: int) -> list[Line]:
        """Which inspection it is, as a newer one may have come since its picture was looked at, and what follows."""
        inspection = self._inspection
        part = f", part {inspection.part}" if inspection.part else ""
        words = (
            f"The picture is copied to the normal pictures of {inspection.product} in the storage, or to its "
            "defects of that type; the next rebuild learns from it."
        )
        return [*wrap(f"{inspection_title(inspection)}{part}", width), *wrap(words, width, "dim")]

    def send(self) -> None:
        fields = {
            "verdict": self.choice("verdict"),
            "defect_type": self.value("defect_type"),
            "note": self.value("note"),
        }
        correction = build_request(Correction, fields)
        products = console_of(self).service.products
        self.run_once(partial(products.correct, self._inspection.id, correction), self.dismiss)
