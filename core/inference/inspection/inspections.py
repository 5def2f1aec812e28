"""Inspections in the database: each with its verdict, neighbours, heat map and correction."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from core.api_schema import Correction, Inspection, InspectionPage, InspectionQuery, Timestamp, Verdict
from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.database.models import InspectionRow

_AT_ONCE = 500  # rows per statement of the retention
# A column that is not empty is asked for with > "": for != databases read the whole table.
_MOMENT = TypeAdapter[datetime](Timestamp)
_SAME_COLUMNS = tuple(
    column.key
    for column in InspectionRow.__table__.columns
    if column.key in Inspection.model_fields and column.key != "heat_map"
)


class UnknownInspection(InputError):
    """There is no inspection with that id."""


@dataclass(frozen=True)
class StoredInspection:
    """An inspection with what only the service needs: the kept picture's file, and its objects in the storage."""

    inspection: Inspection
    kept: str
    corrected_key: str
    leftover_key: str


@dataclass(frozen=True)
class ProductCounts:
    """The kept inspections of a product."""

    inspected: int = 0
    defective: int = 0
    last: datetime | None = None


class InspectionStore:
    """All inspections. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, inspection: Inspection, *, heat_map: bytes, kept: str, source: str) -> None:
        """Store an inspection; `heat_map` is a PNG, `kept` the name of the kept picture, `source` its origin."""
        values = {name: getattr(inspection, name) for name in _SAME_COLUMNS}
        for name in ("normals", "defects"):
            values[name] = [neighbour.model_dump(mode="json") for neighbour in values[name]]
        values["verdict"] = inspection.verdict.value
        values["corrected"] = inspection.corrected.value if inspection.corrected else ""
        values |= {"heat_map": heat_map, "kept": kept, "source": source, "corrected_key": "", "leftover_key": ""}
        self._database.write(lambda session: session.add(InspectionRow(**values)))

    def page(self, query: InspectionQuery) -> InspectionPage:
        """A page of matching inspections, newest first. Raises InputError for a bad cursor."""
        statement = select(InspectionRow).where(*_conditions(query))
        if query.cursor:
            statement = statement.where(tuple_(InspectionRow.at, InspectionRow.id) < tuple_(*_parse(query.cursor)))
        statement = statement.order_by(InspectionRow.at.desc(), InspectionRow.id.desc()).limit(query.limit + 1)
        with self._database.read() as session:
            rows = list(session.scalars(statement))
        found = [_inspection(row) for row in rows[: query.limit]]
        return InspectionPage(inspections=found, next=_cursor(found[-1]) if len(rows) > query.limit else "")

    def get(self, ident: str) -> StoredInspection:
        """One inspection. Raises UnknownInspection."""
        with self._database.read() as session:
            row = session.get(InspectionRow, ident)
        if row is None:
            raise unknown_inspection(ident)
        return StoredInspection(_inspection(row), row.kept, row.corrected_key, row.leftover_key)

    def heat_map(self, ident: str) -> bytes:
        """The heat map as PNG. Raises UnknownInspection."""
        with self._database.read() as session:
            found = session.scalar(select(InspectionRow.heat_map).where(InspectionRow.id == ident))
        if found is None:
            raise unknown_inspection(ident)
        return found

    def of_source(self, source: str) -> Inspection | None:
        """The newest inspection of a picture from there, if there is one."""
        statement = select(InspectionRow).where(InspectionRow.source == source).order_by(InspectionRow.id.desc())
        with self._database.read() as session:
            row = session.scalar(statement.limit(1))
        return _inspection(row) if row else None

    def counts(self) -> dict[str, ProductCounts]:
        """The numbers of inspections by product."""
        by = (InspectionRow.product, InspectionRow.verdict)
        statement = select(*by, func.count(), func.max(InspectionRow.at)).group_by(*by)
        with self._database.read() as session:
            rows = session.execute(statement).all()
        counts: dict[str, ProductCounts] = {}
        for product, verdict, number, last in rows:
            before = counts.get(product, ProductCounts())
            counts[product] = ProductCounts(
                before.inspected + number,
                before.defective + (number if verdict == Verdict.DEFECT.value else 0),
                max(last, before.last or last),
            )
        return counts

    # -- corrections ------------------------------------------------------------------------------------------------

    def announce(self, ident: str, key: str) -> None:
        """Before an upload: if it is interrupted, the object `key` is a leftover. Raises UnknownInspection."""
        self._change(ident, leftover_key=key)

    def correct(self, ident: str, correction: Correction, by: str, key: str, leftover: str) -> None:
        """Store a correction whose picture is the object `key` now; `leftover` is the object of the one before."""
        self._change(
            ident,
            corrected=correction.verdict.value,
            corrected_type=correction.defect_type,
            corrected_by=by,
            note=correction.note,
            corrected_key=key,
            leftover_key=leftover,
        )

    def leftovers(self) -> dict[str, str]:
        """Objects that are still to be deleted from the storage, by inspection."""
        statement = select(InspectionRow.id, InspectionRow.leftover_key).where(InspectionRow.leftover_key > "")
        with self._database.read() as session:
            return {row.id: row.leftover_key for row in session.execute(statement.limit(_AT_ONCE))}

    def leftover_deleted(self, ident: str, key: str) -> None:
        """The object is gone from the storage."""
        one = (InspectionRow.id == ident, InspectionRow.leftover_key == key)
        self._database.write(lambda session: session.execute(update(InspectionRow).where(*one).values(leftover_key="")))

    # -- retention --------------------------------------------------------------------------------------------------

    def corrected_with_picture(self) -> set[str]:
        """The files of kept pictures whose inspections were corrected."""
        statement = select(InspectionRow.kept).where(InspectionRow.corrected > "", InspectionRow.kept != "")
        with self._database.read() as session:
            return set(session.scalars(statement))

    def pictures_removed(self, files: Sequence[str]) -> None:
        """These kept pictures are gone; file names start with the inspection's id."""
        for at in range(0, len(files), _AT_ONCE):
            idents = [name.partition(".")[0] for name in files[at : at + _AT_ONCE]]
            gone = update(InspectionRow).where(InspectionRow.id.in_(idents)).values(kept="")
            self._database.write(lambda session, gone=gone: session.execute(gone))  # type: ignore[misc]

    def remove_before(self, moment: datetime) -> int:
        """Remove inspections from before that moment; returns how many."""
        removed = 0
        old = select(InspectionRow.id).where(InspectionRow.at < moment).limit(_AT_ONCE)

        def work(session: Session) -> int:
            idents = list(session.scalars(old))
            session.execute(delete(InspectionRow).where(InspectionRow.id.in_(idents)))
            return len(idents)

        while step := self._database.write(work):  # some at a time: others write in between
            removed += step
        return removed

    def _change(self, ident: str, **values: Any) -> None:
        change = update(InspectionRow).where(InspectionRow.id == ident).values(**values).returning(InspectionRow.id)
        if not self._database.write(lambda session: list(session.scalars(change))):
            raise unknown_inspection(ident)
        self._database.make_durable()


def unknown_inspection(ident: str) -> UnknownInspection:
    """The error for an id that no inspection has."""
    return UnknownInspection(f"Inspection {ident}", "there is no inspection with that id", "list: GET /inspections")


def _inspection(row: InspectionRow) -> Inspection:
    values = {name: getattr(row, name) for name in _SAME_COLUMNS}
    return Inspection.model_validate({**values, "corrected": row.corrected or None, "picture": bool(row.kept)})


def _conditions(query: InspectionQuery) -> Iterator[ColumnElement[bool]]:
    if query.product is not None:
        yield InspectionRow.product == query.product
    if query.part is not None:
        yield InspectionRow.part == query.part
    if query.verdict is not None:
        yield InspectionRow.verdict == query.verdict.value
    if query.corrected is not None:
        yield InspectionRow.corrected > "" if query.corrected else InspectionRow.corrected == ""
    if query.since is not None:
        yield InspectionRow.at >= query.since
    if query.until is not None:
        yield InspectionRow.at < query.until
    if query.minimum_score is not None:
        yield InspectionRow.score >= query.minimum_score


def _cursor(inspection: Inspection) -> str:
    return base64.urlsafe_b64encode(json.dumps([inspection.at.isoformat(), inspection.id]).encode()).decode()


def _parse(cursor: str) -> tuple[datetime, str]:
    try:
        moment, ident = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not isinstance(ident, str):
            raise ValueError
        return _MOMENT.validate_python(moment), ident
    except (ValueError, TypeError):
        raise InputError("Cursor", "it is not one of this list", "start again without a cursor") from None
