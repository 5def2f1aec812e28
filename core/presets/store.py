"""The presets folder: load, list, save, duplicate, rename, delete; and the hash of what affects an image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import labels
from core.errors import InputError, XaivaError, os_reason
from core.files import fsync_folder, list_files, sha256_bytes, write_atomic, write_remedy, write_target
from core.presets.fields import NAME_PATTERN
from core.presets.layer_file import LayerFile, layer_from_lines, read_layer_file
from core.presets.model import Preset
from core.presets.serialization import dump
from core.presets.validation import PresetError, PresetProblem, preset_from_text
from core.site import Site

SCHEMA_FILE = "preset.schema.json"
MAX_BYTES = 1 << 20  # a preset is only a few kilobytes; a larger file is something else

# A new preset: it can be built as it is, and it has the sections that people edit first.
STARTER = """{
  "$schema": "./preset.schema.json",
  "metadata": {"description": "what this image is for"},
  "base_image": "debian:bookworm-slim",
  "python_version": "3.11",
  "layers": [],
  "run": {"ports": ["8600:8600"], "volumes": ["./data:/data"]}
}
"""

# Fields for people, for the machine and for containers: they do not change the image.
_NOT_HASHED = frozenset({"$schema", "metadata", "no_build_isolation", "target", "overrides", "run"})


@dataclass(frozen=True)
class PresetEntry:
    """One file of the folder with its preset, or the error. `modified` is a Unix time in seconds."""

    name: str
    path: Path
    preset: Preset | None = None
    error: InputError | None = None
    modified: float = 0


@dataclass(frozen=True)
class Leftovers:
    """Artifacts and the image that keep the old name after a preset was renamed or deleted."""

    artifacts: Path | None
    image: str


def preset_path(site: Site, name: str) -> Path:
    """The file of the preset `name`. Raises InputError for an invalid name."""
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > 63:
        raise InputError(
            f"Preset name {name!r}",
            "an image cannot have that name",
            "use small letters and digits, with single . _ or - between them, up to 63",
        )
    return site.presets / f"{name}.json"


def read_text(path: Path) -> str:
    """The text of a preset file. Raises InputError when it cannot be read as text."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"{path}", "there is no such preset", _available_presets(path)) from error
    except OSError as error:
        raise InputError(f"{path}", os_reason(error), "check the file and its permissions") from error
    if len(raw) > MAX_BYTES:
        raise InputError(
            f"{path}", "it is larger than 1 MiB", "check that this is a preset: one is only a few kilobytes"
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = PresetProblem(line, "", f"byte {raw[error.start]:#04x} is not UTF-8", "save the file as UTF-8")
        raise PresetError(path, [problem]) from error


def load(path: Path) -> Preset:
    """Load a preset file. Raises PresetError (an InputError) with all problems, each with its line and field."""
    return preset_from_text(read_text(path), path)


def load_named(site: Site, name: str) -> Preset:
    """Load the site's preset `name`. Raises InputError when there is none or it cannot be used."""
    return load(preset_path(site, name))


def list_presets(site: Site) -> list[PresetEntry]:
    """All preset files of the site; a broken one has its error and does not stop the others.

    Raises InputError when the folder cannot be read.
    """
    return [_entry(site, path) for path in _preset_files(site.presets)]


class PresetEditConflict(InputError):
    """The file changed since it was read. `text` is its present content; empty when it is gone."""

    def __init__(self, path: Path, text: str) -> None:
        self.text = text
        why = (
            "somebody else changed it in the meantime"
            if text
            else "somebody else removed or renamed it in the meantime"
        )
        super().__init__(f"{path}", why, "compare the two, then save again to overwrite it")


def save(site: Site, name: str, content: Preset | str, *, expected_text: str | None = None) -> Path:
    """Write the preset `name`, whole or not at all, and return its path.

    A text is checked first and written unchanged; a Preset keeps the order and layout of the file it replaces.
    `expected_text` is the text that was edited. Raises PresetError when the text cannot be used, PresetEditConflict
    when the file no longer is `expected_text`, XaivaError when it cannot be written; the file is then unchanged. A link
    stays a link, and the file keeps its permissions.
    """
    path = preset_path(site, name)
    if expected_text is not None and (current_text := read_text(path) if path.is_file() else "") != expected_text:
        raise PresetEditConflict(path, current_text)
    text = content if isinstance(content, str) else dump(content, read_text(path) if path.is_file() else None)
    preset_from_text(text, path)
    with explain_os_errors(path):
        target, mode = write_target(path)
        write_atomic(target, text, mode)
    return path


def create(site: Site, name: str, text: str = STARTER) -> Path:
    """Write a new preset and return its path. Raises InputError when the name is taken or the text cannot be used."""
    new_preset_path(site, name)
    return save(site, name, text)


def duplicate(site: Site, name: str, new_name: str) -> Path:
    """Copy a preset file byte for byte. Raises InputError when the new name is taken."""
    text = read_text(preset_path(site, name))
    target = new_preset_path(site, new_name)
    with explain_os_errors(target):
        write_atomic(target, text)
    return target


def rename(site: Site, name: str, new_name: str) -> Leftovers:
    """Rename a preset file. Its artifacts and image keep the old name and are returned."""
    source = preset_path(site, name)
    read_text(source)
    target = new_preset_path(site, new_name)
    with explain_os_errors(source):
        source.rename(target)
        fsync_folder(target.parent)
    return _leftovers(site, name)


def delete(site: Site, name: str) -> Leftovers:
    """Delete a preset file. Its artifacts and image stay and are returned."""
    path = preset_path(site, name)
    with explain_os_errors(path):
        path.unlink()
        fsync_folder(path.parent)
    return _leftovers(site, name)


@contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while a preset file is changed into an error for the user."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}", "there is no such preset", _available_presets(path)) from error
    except OSError as error:
        raise XaivaError(f"{path}", os_reason(error), write_remedy(error)) from error


def preset_sha256(preset: Preset, folder: Path | None = None) -> str:
    """SHA-256 of what affects the image: canonical JSON without metadata, target, overrides, run and the like.

    `folder` is the folder of the preset file. Requirement files count by their content; a preset without them needs no
    folder. Raises InputError when a requirement file cannot be read.
    """
    data: dict[str, Any] = preset.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data = {key: value for key, value in data.items() if key not in _NOT_HASHED}
    for layer, layer_data in zip(preset.layers, data.get("layers", []), strict=False):
        if layer.file:
            layer_data |= _hashed_content(read_layer(preset, folder, layer.name))
            del layer_data["file"]
    return sha256_bytes(json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def run_sha256(preset: Preset, *, dev: bool) -> str:
    """SHA-256 of the preset's run settings, which do not affect the image, in dev mode or not."""
    settings = preset.run.model_dump(mode="json", exclude_defaults=True, exclude={"dev"})
    return sha256_bytes(json.dumps([settings, dev], sort_keys=True, separators=(",", ":")).encode())


def _hashed_content(layer: LayerFile) -> dict[str, Any]:
    """Everything in a requirement file that affects the image."""
    optional = {
        "constraints": layer.constraints,
        "hashes": layer.hashes,
        "addressed": [entry.reference.requirement for entry in layer.direct_references],
    }
    return {"requirements": layer.requirements, **{key: value for key, value in optional.items() if value}}


def read_layer(preset: Preset, folder: Path | None, name: str) -> LayerFile:
    """The requirements of the layer `name`. Raises InputError when its file cannot be used."""
    layer = next(layer for layer in preset.layers if layer.name == name)
    if not layer.file:
        return layer_from_lines(layer.requirements, f"layers: {name}")
    if folder is None:
        raise InputError(
            f"Layer {name}",
            "its requirement file cannot be found without the folder of the preset",
            "save the preset first",
        )
    content = read_layer_file(folder, layer.file)
    if content.problems:
        raise InputError(f"Layer {name}", *content.problems[0])
    return content


def _entry(site: Site, path: Path) -> PresetEntry:
    modified = 0.0
    try:
        preset_path(site, path.stem)
        modified = path.stat().st_mtime
        return PresetEntry(path.stem, path, preset=load(path), modified=modified)
    except InputError as error:
        return PresetEntry(path.stem, path, error=error, modified=modified)
    except OSError as error:
        unreadable = InputError(f"{path}", os_reason(error), "check the file and its permissions")
        return PresetEntry(path.stem, path, error=unreadable)


def new_preset_path(site: Site, name: str) -> Path:
    """The file for a new preset. Raises InputError when the name is taken."""
    path = preset_path(site, name)
    if path.exists() or path.is_symlink():
        raise InputError(
            f"{path}", "a preset of that name already exists", "choose another name, or delete that preset"
        )
    return path


def _leftovers(site: Site, name: str) -> Leftovers:
    artifacts = site.artifacts / name
    return Leftovers(artifacts if artifacts.is_dir() else None, labels.image_tag(name))


def _available_presets(path: Path) -> str:
    names = [file.stem for file in _preset_files(path.parent)]
    return f"presets here: {', '.join(names)}" if names else f"put one into {path.parent}"


def _preset_files(folder: Path) -> list[Path]:
    return [path for path in list_files(folder, ".json") if path.name != SCHEMA_FILE and path.name[0] != "."]
