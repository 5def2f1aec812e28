"""Helper containers whose process was killed before it could remove them: found by their label, and removed."""

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
    """The label of a container that this process removes before it ends."""
    return {labels.HELPER_OWNER: own_identity()}


def find_orphans(client: docker.DockerClient) -> list[str]:
    """The names of helper containers that nobody will remove. Raises EngineError.

    Of a process on another machine or before a reboot nothing is known: its container is an orphan when it does not run
    and is a day old.
    """
    with engine_errors("List of helper containers"):
        rows = client.api.containers(all=True, filters={"label": labels.HELPER_OWNER})
    long_ago = time.time() - _ORPHAN_AGE_SECONDS
    return [
        (row.get("Names") or [row["Id"][:12]])[0].lstrip("/")  # one that just goes may have lost its name
        for row in rows
        if is_gone(row["Labels"][labels.HELPER_OWNER]) or (row["State"] != "running" and row["Created"] < long_ago)
    ]


def remove_orphans(client: docker.DockerClient) -> None:
    """Remove them. Raises EngineError."""
    import docker.errors

    for name in find_orphans(client):
        with engine_errors(f"Removal of the helper container {name}"):
            try:
                client.api.remove_container(name, force=True, v=True)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):  # somebody else has removed it, or is about to
                    raise
