"""Both indexes, normal and defect, as the running service reads them."""

from __future__ import annotations

from core.api_schema import IndexStatus
from core.errors import XaivaError
from core.inference.inspection.encoder import EncoderFiles, find_encoder
from core.inference.inspection.index_files import LoadedIndex
from core.inference.inspection.indexes import IndexReader
from core.inference.inspection.layout import DEFECT, NORMAL
from core.inference.inspection.picture_counts import Counted
from core.inference.settings import ServiceSettings


class IndexPair:
    """A query takes both once with `current`, and keeps them until it has its answer. Thread-safe."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._readers = [IndexReader(settings, name) for name in (NORMAL, DEFECT)]

    def current(self) -> tuple[dict[str, LoadedIndex], list[str]]:
        """The indexes that answer now by name, and for each missing one why."""
        indexes, problems = {}, []
        for reader in self._readers:
            index = reader.current()
            if index is not None:
                indexes[reader.name] = index
            else:
                problems.append(f"no nearest {reader.name} pictures: {reader.why or 'their index was not built yet'}")
        return indexes, problems

    def statuses(self, counted: Counted) -> list[IndexStatus]:
        """The generations of both, and what is wrong."""
        return [reader.status(self._encoder(), counted.listed(reader.name)) for reader in self._readers]

    def _encoder(self) -> EncoderFiles | None:
        try:
            return find_encoder(self._settings)
        except XaivaError:
            return None  # an inspection says what is wrong with it
