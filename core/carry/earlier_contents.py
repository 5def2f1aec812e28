"""What earlier shipments left on a medium in parts, so that long files are neither read nor written again."""

from __future__ import annotations

from collections.abc import Mapping

from core.carry.pack_plan import shipments_in
from core.carry.shipment import INDEX, MAX_DOCUMENT_BYTES, SHIPMENTS, Content, Index, blob_path, read_document
from core.carry.target import Target
from core.errors import XaivaError


def earlier_contents(target: Target, names: Mapping[str, int]) -> dict[str, Content]:
    """SHA-256 → the contents in parts that the medium holds whole. A damaged index is passed over: it only saves work.

    A wrong list of parts does no harm: what joins them compares the result with the SHA-256.
    """
    contents: dict[str, Content] = {}
    for shipment in shipments_in(names):
        path = f"{SHIPMENTS}/{shipment}/{INDEX}"
        try:
            text = target.read_small(path, MAX_DOCUMENT_BYTES)
            index = read_document(Index, text or b"", path)
        except XaivaError:
            continue
        for content in index.contents:
            if content.parts and all(names.get(blob_path(part.sha256)) == part.size for part in content.parts):
                contents[content.sha256] = content
    return contents
