"""Removes the temporary files and helper containers that a killed operation leaves behind."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from core.artifacts.orphaned_helpers import remove_orphans
from core.engine import connect_engine
from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX
from core.site import Site


def remove_leftovers(site: Site, key: str, temporary: str) -> int:
    """Remove the folder `temporary`, and temporary files in the artifacts that `key` locks. Returns how many.

    Call it only while the operation still holds `key`: then no other operation has temporary files there. Partial
    downloads have other names and stay, so that the next sync continues from them.
    """
    removed = 0
    if temporary and Path(temporary).name.startswith(TEMPORARY_PREFIX):
        shutil.rmtree(temporary, ignore_errors=True)
        removed += 1
    kind, _, preset = key.partition(":")
    if kind != "preset" or not preset or preset != os.path.basename(preset):
        return removed
    for folder, names, files in os.walk(site.artifacts / preset):
        for name in [*names, *files]:
            if not name.startswith(TEMPORARY_PREFIX):
                continue
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                removed += 1
        names[:] = [name for name in names if not name.startswith(TEMPORARY_PREFIX)]
    return removed


def remove_helper_containers(site: Site) -> None:
    """Remove the helper containers of killed workers. If the engine does not answer, the next lock removes them."""
    with contextlib.suppress(XaivaError), contextlib.closing(connect_engine(site)) as client:
        remove_orphans(client)
