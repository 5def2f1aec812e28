"""Looks at a file as an archive of `docker save`, before the engine is given it: what else it is, is named."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from core.content import Placeholder, find_wrong_content
from core.errors import InputError

_COMPRESSED = {b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ": ".tar.xz"}
_ZSTD = b"\x28\xb5\x2f\xfd"  # the engine reads it, Python does not
_IMAGE_ENTRY = re.compile(r"(manifest\.json|oci-layout|index\.json|repositories|blobs(/.*)?|[0-9a-f]{64}(\W.*)?)")
_ROOT_FOLDERS = frozenset(
    ("bin", "dev", "etc", "home", "lib", "opt", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var")
)
_SPLIT_PART = re.compile(r"(.+[._-]part[._-]?)(?:\d+|[a-z]{2})|(.+[._-]|x)(?:a[a-z]|0\d{1,2})")  # as `split` names them
_MIN_ROOT_FOLDERS = 3  # folders of a system: fewer may be in any archive
_MAX_ENTRIES = 2000  # entries that are looked at
_MAX_NAMES_SHOWN = 3

SAVE_REMEDY = "save the image where it is: docker save IMAGE -o FILE"


def check_image_archive(path: Path) -> None:
    """Raise InputError, with the way that works, for a file that is not an image archive. What is not known passes."""
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
    """To get a file again helps where it came in part; what is something else was never an image."""
    if part := _SPLIT_PART.fullmatch(path.name):
        return f"join its parts first: cat {path.parent / (part[1] or part[2])}* > image.tar"
    fetch_again = stand_in.pull_command or "cut short" in stand_in.description or "is empty" in stand_in.description
    return stand_in.remedy() if fetch_again else f"use a file written by `docker save`; {SAVE_REMEDY}"


def _entry_names(path: Path) -> list[str]:
    """The names of its entries, up to the first one that only an image has, or that shows it to be a system."""
    names: list[str] = []
    try:
        with tarfile.open(path, "r:*") as archive:
            for entry in archive:
                names.append(entry.name.removeprefix("./"))
                if _IMAGE_ENTRY.fullmatch(names[-1]) or _is_root_file_system(names) or len(names) > _MAX_ENTRIES:
                    break
    except (tarfile.TarError, EOFError, OSError):
        pass  # what came before it is enough to know what it is; the engine says what is wrong with the rest
    return names


def _is_root_file_system(names: list[str]) -> bool:
    return ".dockerenv" in names or len({name.partition("/")[0] for name in names} & _ROOT_FOLDERS) >= _MIN_ROOT_FOLDERS


def _describe_other_archive(path: Path, names: list[str]) -> tuple[str, str]:
    """What an archive without an image is, and the way that works."""
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
