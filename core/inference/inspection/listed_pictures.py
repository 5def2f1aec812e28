"""Which pictures the storage listed for an index or a memory bank: whether it lists others now.

Listings are compared, not times: the clock of a storage server may be another one, and a removed picture has no time.
The file `listed` lies beside the generations, because a rebuild that changes nothing publishes none but renews it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError
from typing_extensions import Self

from core.files import replace_atomically
from core.inference.generations import Generations
from core.inference.storage.fetch import FetchedFile
from core.inference.storage.model import ObjectInfo
from core.inference.storage.names import content_version

LISTED = "listed"
_DIGEST_BYTES = 16


@dataclass
class ListedPictures:
    """Pictures of a listing that began at the Unix time `begun`, by the clock of the service.

    `digest` is the same in any order.
    """

    begun: float = field(default_factory=time.time)
    count: int = 0
    digest: int = 0

    def add(self, picture: ObjectInfo | FetchedFile) -> None:
        """Add one picture."""
        what = "\0".join((picture.key, content_version(picture.etag, picture.modified), str(picture.size)))
        self._add(1, int.from_bytes(hashlib.sha256(what.encode()).digest()[:_DIGEST_BYTES], "big"))

    def joined(self, others: Iterable[Self]) -> Self:
        """These and those of the others, which the same listing gave."""
        joined = type(self)(self.begun, self.count, self.digest)
        for other in others:
            joined._add(other.count, other.digest)
        return joined

    def _add(self, count: int, digest: int) -> None:
        self.count += count
        self.digest = (self.digest + digest) % (1 << 8 * _DIGEST_BYTES)

    def has_same(self, other: ListedPictures) -> bool:
        """Whether both have the same pictures, unchanged."""
        return (self.count, self.digest) == (other.count, other.digest)


_NOTES = TypeAdapter(dict[int, ListedPictures])
"""By the number of the generation."""


def note_listed(generations: Generations, number: int, listed: ListedPictures) -> None:
    """Note that generation `number` has what the storage listed."""
    kept = {int(name) for name in generations.names()}
    notes = {**{known: note for known, note in _read(generations).items() if known in kept}, number: listed}
    with suppress(OSError), replace_atomically(generations.folder / LISTED) as file:
        file.write(_NOTES.dump_json(notes))


def read_listed(generations: Generations, number: int) -> ListedPictures | None:
    """What was noted for generation `number`; None when that is not known."""
    return _read(generations).get(number)


def listing_trouble(subject: str, what: str, has: ListedPictures | None, now: ListedPictures | None) -> Iterator[str]:
    """What to say when the storage has other `subject` pictures `now` than `what` was built from.

    `has` is None when that is not known; `now` when the storage was not read, which is said elsewhere.
    """
    if now is None:
        return
    if has is None:
        yield f"it is not known whether {subject} pictures have changed since {what} was built: rebuild it"
    elif not now.has_same(has) and not now.begun <= has.begun <= time.time():
        # A count from before the rebuild says nothing, unless the clock was set back since.
        if now.count:
            yield f"{subject} pictures have changed since {what} was built: rebuild it"
        else:
            yield f"the {subject} pictures that {what} was built from are no longer in the storage"


def _read(generations: Generations) -> dict[int, ListedPictures]:
    with suppress(OSError, ValidationError):
        return _NOTES.validate_json((generations.folder / LISTED).read_bytes())
    return {}
