"""The operations of a site: their kinds, their place, and how to clean up after one that was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX
from core.operations.ledger import Ledger
from core.operations.place import Place
from core.site import Site

# Import paths and not functions, so that a worker loads only what it runs. Each has the shape
# `run(site, subject, options, progress) -> dict[str, JsonValue]`.
KINDS: dict[str, str] = {
    "lock": "core.artifacts.lock:run",
    "sync": "core.artifacts.sync:run",
    "verify": "core.artifacts.verify:run",
    "wheel": "core.artifacts.build_wheel:run",
    "build": "core.images.build:run",
    "load": "core.images.load:run",
    "up": "core.up.run:run",
    "clean": "core.clean.run:run",
    "pack": "core.carry.pack:run",
    "unpack": "core.carry.unpack:run",
    "check": "core.carry.medium_check:run",
    "rehearse": "core.carry.rehearsal:run",
    "stack": "core.stacks.run:run",
}


def site_ledger(site: Site, kinds: Mapping[str, str] = KINDS) -> Ledger:
    """The ledger of a site's operations."""
    return Ledger(site_place(site, kinds))


def site_place(site: Site, kinds: Mapping[str, str] = KINDS) -> Place:
    """The place of a site's operations, with the settings that the site has now."""
    limits = site.settings.operations
    return Place(
        root=site.root,
        state=site.state,
        env=site.env,
        kinds=kinds,
        context=site,
        opener=f"{__name__}:open_site_place",
        log_limit=limits.log_limit_mb << 20,
        keep=limits.keep,
        remove_leftovers=partial(_remove_leftovers, site),
        remove_helpers=partial(_remove_helper_containers, site),
    )


def open_site_place(root: str) -> Place:
    """The place of the site in folder `root`, for another process. Raises InputError as `Site.open`."""
    return site_place(Site.open(root))


def _remove_leftovers(site: Site, key: str) -> None:
    """Remove temporary files in the artifacts that `key` locks, and in the folders of killed builds.

    Partial downloads stay for the next sync. An unpack that was killed while it moved its files completes the move.
    A rehearsal leaves its folder.
    """
    if key == "unpack":
        from core.carry.incoming import finish_move

        with contextlib.suppress(XaivaError):  # the next unpack reports it
            finish_move(site)
    if key == "rehearsal":
        from core.carry.rehearsal import remove_leftovers

        with contextlib.suppress(XaivaError):  # the next rehearsal reports it
            remove_leftovers(site)
    kind, _, preset = key.partition(":")
    if kind != "preset" or not preset or preset != os.path.basename(preset):
        return
    for folder, names, files in os.walk(site.artifacts / preset):
        for name in [*names, *files]:
            if not name.startswith(TEMPORARY_PREFIX):
                continue
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        names[:] = [name for name in names if not name.startswith(TEMPORARY_PREFIX)]
    if any(site.state.glob(f"builds/*/{TEMPORARY_PREFIX}*")):
        from core.images.build_history import remove_temporary_files  # slow, and seldom needed

        remove_temporary_files(site)


def _remove_helper_containers(site: Site) -> None:
    """Remove the helper containers of killed workers. If the engine does not answer, the next lock removes them."""
    from core.artifacts.orphaned_helpers import remove_orphans
    from core.engine import connect_engine

    with contextlib.suppress(XaivaError), contextlib.closing(connect_engine(site)) as client:
        remove_orphans(client)
