"""When the storage was listed for a memory bank: normal pictures that are newer than that are not in it.

The file `checked` lies beside the generations, because a rebuild that changes nothing publishes none but renews it.
"""

from __future__ import annotations

from contextlib import suppress

from core.files import replace_atomically
from core.inference.generations import Generations, Manifest

CHECKED = "checked"


def mark_checked(generations: Generations, number: int, listed: float) -> None:
    """Note that generation `number` has what the storage listed at the Unix time `listed`."""
    with suppress(OSError), replace_atomically(generations.folder / CHECKED) as file:
        file.write(f"{number} {listed}\n".encode())


def last_checked(generations: Generations, manifest: Manifest) -> float:
    """The Unix time of that listing; for a generation without a note, the time when it was published."""
    with suppress(OSError, ValueError):
        number, listed = (generations.folder / CHECKED).read_text("ascii").split()
        if int(number) == manifest.number:
            return float(listed)
    return manifest.made
