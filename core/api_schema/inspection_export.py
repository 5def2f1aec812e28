"""Inspections as lines of CSV, for the service's export and for the command line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from core.api_schema.products import Inspection
from core.api_schema.spreadsheet import escape_formula

INSPECTION_COLUMNS = (
    "id",
    "product",
    "part",
    "at",
    "score",
    "threshold",
    "verdict",
    "bank",
    "normal_index",
    "defect_index",
    "nearest_defect",
    "similarity",
    "corrected",
    "corrected_type",
    "corrected_by",
    "note",
    "event",
    "picture",
    "explanation",
)


def csv_line(cells: Sequence[object]) -> str:
    """One line of CSV with its end, for a spreadsheet."""
    text = io.StringIO()
    csv.writer(text).writerow([escape_formula(cell) for cell in cells])
    return text.getvalue()


def inspection_cells(inspection: Inspection) -> list[object]:
    """The values of an inspection for INSPECTION_COLUMNS."""
    data = inspection.model_dump(mode="json")
    nearest = inspection.defects[0] if inspection.defects else None
    data |= {"nearest_defect": nearest.label if nearest else "", "similarity": nearest.similarity if nearest else None}
    return [data[column] for column in INSPECTION_COLUMNS]
