"""Finds and removes helper containers whose process was killed before it could remove them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from core import labels
from core.engine import engine_errors
from core.process_identity import is_gone, own_identity

if TYPE_CHECKING:
    import docker

_ORPHAN_AGE_SECONDS = 86400  # seconds: longer than any of them lives


def helper_label() -> dict[str, str]:
    """The label of a helper container: the identity of this process, which removes the container before it ends."""
    return {labels.HELPER_OWNER: own_identity()}


def find_orphans(client: docker.DockerClient) -> list[str]:
    """The names of helper containers whose process is gone. Raises EngineError.

    The state of a process on another machine or from before a reboot is unknown: its container counts as orphaned when
    it does not run and is a day old.
    """
    with engine_errors("List of helper containers"):
        rows = client.api.containers(all=True, filters={"label": labels.HELPER_OWNER})
    long_ago = time.time() - _ORPHAN_AGE_SECONDS
    return [
        (row.get("Names") or [row["Id"][:12]])[0].lstrip("/")  # a container that is being removed may have no name
        for row in rows
        if is_gone(row["Labels"][labels.HELPER_OWNER]) or (row["State"] != "running" and row["Created"] < long_ago)
    ]


def remove_orphans(client: docker.DockerClient) -> None:
    """Remove all orphaned helper containers. Raises EngineError."""
    import docker.errors

    for name in find_orphans(client):
        with engine_errors(f"Removal of the helper container {name}"):
            try:
                client.api.remove_container(name, force=True, v=True)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):  # another process has removed it or is removing it
                    raise
