"""Checks that a file is an archive of `docker save`, and says what else it is, before the engine gets it."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from core.content import Placeholder, find_wrong_content
from core.errors import InputError

_COMPRESSED = {b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ": ".tar.xz"}
_ZSTD = b"\x28\xb5\x2f\xfd"  # the engine can read it, Python cannot
_IMAGE_ENTRY = re.compile(r"(manifest\.json|oci-layout|index\.json|repositories|blobs(/.*)?|[0-9a-f]{64}(\W.*)?)")
_ROOT_FOLDERS = frozenset(
    ("bin", "dev", "etc", "home", "lib", "opt", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var")
)
_SPLIT_PART = re.compile(r"(.+[._-]part[._-]?)(?:\d+|[a-z]{2})|(.+[._-]|x)(?:a[a-z]|0\d{1,2})")  # as `split` names them
_MIN_ROOT_FOLDERS = 3  # fewer may be in any archive
_MAX_ENTRIES = 2000  # read of one archive
_MAX_NAMES_SHOWN = 3

SAVE_REMEDY = "save the image where it is: docker save IMAGE -o FILE"


def check_image_archive(path: Path) -> None:
    """Raise InputError, with a remedy, for a file that is not an image archive. An unknown format passes."""
    if path.is_dir():
        raise _archive_error(path, "it is a folder", f"pack its contents: tar -C {path} -cf image.tar .")
    if not path.is_file():
        why = "it is not a regular file" if path.exists() else "there is no such file"
        raise _archive_error(path, why, "give the path of a `docker save` archive")
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(_ZSTD):
        return
    suffix = next((suffix for magic, suffix in _COMPRESSED.items() if head.startswith(magic)), ".tar")
    if stand_in := find_wrong_content(path, f"image{suffix}"):
        raise _archive_error(path, stand_in.description, _remedy(path, stand_in))
    names = _entry_names(path)
    if not any(_IMAGE_ENTRY.fullmatch(name) for name in names):
        raise _archive_error(path, *_describe_other_archive(path, names))


def _archive_error(path: Path, why: str, remedy: str) -> InputError:
    return InputError(f"Image archive {path}", why, remedy)


def _remedy(path: Path, stand_in: Placeholder) -> str:
    """The remedy for a file that is incomplete, or that was never an image."""
    if part := _SPLIT_PART.fullmatch(path.name):
        return f"join its parts first: cat {path.parent / (part[1] or part[2])}* > image.tar"
    fetch_again = stand_in.pull_command or "cut short" in stand_in.description or "is empty" in stand_in.description
    return stand_in.remedy() if fetch_again else f"use a file written by `docker save`; {SAVE_REMEDY}"


def _entry_names(path: Path) -> list[str]:
    """The names of the archive's entries, until they show that it is an image or a root file system."""
    names: list[str] = []
    try:
        with tarfile.open(path, "r:*") as archive:
            for entry in archive:
                names.append(entry.name.removeprefix("./"))
                if _IMAGE_ENTRY.fullmatch(names[-1]) or _is_root_file_system(names) or len(names) > _MAX_ENTRIES:
                    break
    except (tarfile.TarError, EOFError, OSError):
        pass  # the entries before the error are enough; the engine reports the damage
    return names


def _is_root_file_system(names: list[str]) -> bool:
    return ".dockerenv" in names or len({name.partition("/")[0] for name in names} & _ROOT_FOLDERS) >= _MIN_ROOT_FOLDERS


def _describe_other_archive(path: Path, names: list[str]) -> tuple[str, str]:
    """Cause and remedy for an archive without an image."""
    if _is_root_file_system(names):
        why = "it is the root file system of a container, as `docker export` writes it, not an image"
        remedy = f"{SAVE_REMEDY}; or create an image, without command and environment: docker import {path} NAME:TAG"
        return why, remedy
    if "Dockerfile" in names:
        return "it is a build context with a Dockerfile, not an image", f"build it, then {SAVE_REMEDY}"
    inner = [name for name in names if re.search(r"/(manifest\.json|oci-layout)$", name)]
    if inner:
        folder = inner[0].rpartition("/")[0]
        return (
            f"the image is in its folder {folder}",
            f"unpack it, and pack that folder: tar -C {folder} -cf image.tar .",
        )
    archives = [name for name in names if re.search(r"\.(tar|tgz|tar\.\w+)$", name)]
    if archives:
        return (
            f"it is an archive that contains {', '.join(archives[:_MAX_NAMES_SHOWN])}",
            f"unpack it, and load {archives[0]}",
        )
    listing = ", ".join(names[:_MAX_NAMES_SHOWN]) or "nothing"
    return f"it has no manifest.json, so it is not an image; it contains {listing}", SAVE_REMEDY
