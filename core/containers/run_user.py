"""Chooses the user that a container runs as: not root, and preferably the owner of the site's data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.containers.run_settings import RunSettings

ROOT = 0


def image_user(image: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Numeric user and group in the image's configuration; None for root and for names, which only the image knows."""
    user_text = (image or {}).get("Config", {}).get("User", "")
    match = re.fullmatch(r"(\d+)(?::(\d+))?", user_text)
    user = int(match[1]) if match else ROOT
    return None if match is None or user == ROOT else (user, int(match[2] or user))


def container_user(settings: RunSettings, image: Mapping[str, Any] | None) -> str:
    """The `user:group` that owns the data folder, to override the image's user; empty to keep the image's."""
    own = image_user(image)
    if own is None:
        return ""
    owners = [_owner(Path(folder)) for folder in settings.data_folders if Path(folder).is_dir()]
    return next((f"{user}:{group}" for user, group in owners if user not in (ROOT, own[0])), "")


def unwritable_folders(settings: RunSettings, image: Mapping[str, Any] | None) -> list[tuple[Path, str]]:
    """The data folders that the service cannot write to, each with the `user:group` that should own it."""
    own = image_user(image)
    if own is None or container_user(settings, image):
        return []
    folders = [Path(folder) for folder in settings.data_folders if Path(folder).is_dir()]
    return [(folder, f"{own[0]}:{own[1]}") for folder in folders if not _is_writable(folder, *own)]


def chown_to_image_user(folder: Path, image: Mapping[str, Any] | None) -> None:
    """Give a folder that root has just created to the image's user; other users keep theirs. Raises OSError."""
    own = image_user(image)
    if own is not None and os.geteuid() == ROOT:
        os.chown(folder, *own)


def _owner(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_uid, status.st_gid


def _is_writable(folder: Path, user: int, group: int) -> bool:
    status = folder.stat()
    bits = status.st_mode >> (6 if status.st_uid == user else 3 if status.st_gid == group else 0)
    return bits & 0b011 == 0b011
