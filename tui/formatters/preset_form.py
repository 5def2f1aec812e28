"""The preset editor's fields: their place in the file, and the conversion between field texts and the file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from core.presets.compat import FIELD_CHOICES
from core.presets.model import Preset
from core.presets.serialization import dump, dump_unvalidated


class FieldFormat(Enum):
    """How a field is written. The last three formats take several lines."""

    TEXT = "text"
    NUMBER = "number"
    YES = "yes"
    WORDS = "words"
    """Words separated by commas."""
    COMMAND = "command"
    """Words as in a shell."""
    LINES = "lines"
    """One item per line."""
    LAYERS = "layers"
    """`[name]`, then one requirement per line or `@file`."""
    TABLES = "tables"
    """`[name]`, then `key = value` lines."""

    @property
    def multiline(self) -> bool:
        return self in (FieldFormat.LINES, FieldFormat.LAYERS, FieldFormat.TABLES)


@dataclass(frozen=True)
class PresetField:
    """A field of the form."""

    name: str
    label: str
    path: tuple[str, ...]
    format: FieldFormat = FieldFormat.TEXT
    hint: str = ""

    @property
    def place(self) -> str:
        """Its path in the file, as in `pytorch.version`."""
        return ".".join(self.path)

    @property
    def has_choices(self) -> bool:
        """Whether the compatibility tables know values of it."""
        return self.place in FIELD_CHOICES


LIST_KEYS = ("packages",)  # keys of tables whose value is a list of words
_HEALTH_PATH = ("run", "health_check")
_TRUE_WORDS = ("yes", "y", "true", "on", "1")
_FALSE_WORDS = ("no", "n", "false", "off", "0")

PRESET_FIELDS: tuple[PresetField, ...] = (
    PresetField("description", "Description", ("metadata", "description"), hint="shown in lists"),
    PresetField("base", "Base image", ("base_image",)),
    PresetField("runtime", "Runtime base", ("runtime_base_image",), hint="empty: the base image"),
    PresetField("python", "Python", ("python_version",)),
    PresetField("torch", "PyTorch", ("pytorch", "version"), hint="empty: none"),
    PresetField(
        "components", "Components", ("pytorch", "components"), FieldFormat.WORDS, hint="torch, torchvision, torchaudio"
    ),
    PresetField("tensorrt", "TensorRT", ("tensorrt", "version"), hint="empty: none"),
    PresetField("ffmpeg", "FFmpeg", ("build_options", "ffmpeg_version"), hint="empty: not built"),
    PresetField("opencv", "OpenCV", ("build_options", "opencv_version"), hint="empty: not built"),
    PresetField("headers", "NVENC headers", ("build_options", "nv_codec_headers_version")),
    PresetField("media", "Xaiva Media", ("build_options", "xaiva_media_branch"), hint="branch; empty: not built"),
    PresetField("gpu", "Target GPU", ("target", "gpu"), hint="empty: this machine"),
    PresetField("driver", "Target driver", ("target", "driver"), hint="535.183"),
    PresetField("ports", "Ports", ("run", "ports"), FieldFormat.WORDS, hint="8600:8600"),
    PresetField("volumes", "Volumes", ("run", "volumes"), FieldFormat.WORDS, hint="./data:/data, ./models:/models"),
    PresetField("devices", "Devices", ("run", "devices"), FieldFormat.WORDS, hint="/dev/video0"),
    PresetField("gpus", "Runtime GPUs", ("run", "gpus"), hint="all, 0,1 … empty: none"),
    PresetField("layers", "Layers: [name], then one requirement per line, or @file", ("layers",), FieldFormat.LAYERS),
    PresetField("pins", "Pins: one per line", ("pins",), FieldFormat.LINES),
    PresetField("debs", "Debian packages: one per line", ("debs",), FieldFormat.LINES),
    PresetField(
        "indexes",
        "Indexes: [name], then url = …, token_variable = …, packages = six, ours-*",
        ("indexes",),
        FieldFormat.TABLES,
    ),
    PresetField(
        "sources", "Sources: [name], then url and sha256, git and ref, or path", ("sources",), FieldFormat.TABLES
    ),
    PresetField("models", "Models: [name], then url or file, sha256, destination", ("models",), FieldFormat.TABLES),
    PresetField(
        "health",
        "Health check",
        (*_HEALTH_PATH, "command"),
        FieldFormat.COMMAND,
        hint="a command; empty: the image default",
    ),
    PresetField("health_interval", "  interval (s)", (*_HEALTH_PATH, "interval"), FieldFormat.NUMBER, hint="30"),
    PresetField("health_timeout", "  timeout (s)", (*_HEALTH_PATH, "timeout"), FieldFormat.NUMBER, hint="5"),
    PresetField("health_start", "  start time (s)", (*_HEALTH_PATH, "start_period"), FieldFormat.NUMBER, hint="20"),
    PresetField("health_retries", "  retries", (*_HEALTH_PATH, "retries"), FieldFormat.NUMBER, hint="3"),
    PresetField("dev", "Dev mode", ("run", "dev", "enabled"), FieldFormat.YES, hint="yes; empty: no"),
    PresetField("dev_source", "Dev source", ("run", "dev", "source"), hint="the site's folder"),
)


def parse_object(text: str) -> dict[str, Any] | None:
    """The text as a JSON object, None when it is not one."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def field_texts(document: Mapping[str, Any]) -> dict[str, str]:
    """The text of each field."""
    return {field.name: _to_text(field, _value_at(document, field.path)) for field in PRESET_FIELDS}


def _value_at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _to_text(field: PresetField, value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if field.format is FieldFormat.LAYERS and isinstance(value, list):
        return "\n".join(_layer_text(layer) for layer in value if isinstance(layer, Mapping))
    if field.format is FieldFormat.TABLES and isinstance(value, list):
        return "\n".join(_table_text(item) for item in value if isinstance(item, Mapping))
    if field.format is FieldFormat.COMMAND and isinstance(value, list):
        return shlex.join(str(word) for word in value)
    if isinstance(value, list):
        joint = "\n" if field.format is FieldFormat.LINES else ", "
        return joint.join(str(item) for item in value)
    return str(value)


def _layer_text(layer: Mapping[str, Any]) -> str:
    body = (
        [f"@{layer['file']}"]
        if layer.get("file")
        else [str(requirement) for requirement in layer.get("requirements", [])]
    )
    return "\n".join([f"[{layer.get('name', '')}]", *body])


def _table_text(item: Mapping[str, Any]) -> str:
    rows = [f"{key} = {_value_text(value)}" for key, value in item.items() if key != "name" and _fits_one_line(value)]
    return "\n".join([f"[{item.get('name', '')}]", *rows])


def _fits_one_line(value: Any) -> bool:
    """Whether the value fits behind a key: a text, or a list of texts."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _value_text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def apply_changes(text: str, changed: Mapping[str, str]) -> str:
    """The preset's text with the fields in `changed` set; order and layout of `text` are kept where possible.

    A text that is not a JSON object is returned unchanged.
    """
    document = parse_object(text)
    if document is None:
        return text
    for field in PRESET_FIELDS:
        if field.name in changed:
            _set_or_remove(
                document, field.path, _from_text(field, changed[field.name], _value_at(document, field.path))
            )
    _complete_document(document)
    try:
        return dump(Preset.model_validate(document), text, document)
    except ValueError:  # invalid: show it anyway, its problems are shown beside it
        return dump_unvalidated(document, text)


def _from_text(field: PresetField, text: str, old_value: Any) -> Any:
    if field.format is FieldFormat.LAYERS:
        return _parse_layers(text, old_value if isinstance(old_value, list) else [])
    if field.format is FieldFormat.TABLES:
        return _parse_tables(text, old_value if isinstance(old_value, list) else [])
    if field.format is FieldFormat.NUMBER:
        return _parse_number(text.strip())
    if field.format is FieldFormat.YES:
        word = text.strip().lower()
        return True if word in _TRUE_WORDS else "" if word in _FALSE_WORDS else text.strip()
    if field.format is FieldFormat.COMMAND:
        return _parse_command(text)
    if field.format is FieldFormat.LINES:
        return [line.strip() for line in text.splitlines() if line.strip()]
    if field.format is FieldFormat.WORDS:
        return [word.strip() for word in text.split(",") if word.strip()]
    return text.strip()


def _parse_number(text: str) -> Any:
    """The number; other text stays as it is, so that validation reports it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _parse_command(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote is still open
        return [text]


def _parse_tables(text: str, old_items: list[Any]) -> list[dict[str, Any]]:
    """Parse items; values of an old item that do not fit one line are kept."""
    old_by_name = {item.get("name"): item for item in old_items if isinstance(item, dict)}
    out: list[dict[str, Any]] = []
    for line in (raw.strip() for raw in text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1].strip()
            out.append({"name": name, **{k: v for k, v in old_by_name.get(name, {}).items() if not _fits_one_line(v)}})
        elif line:
            if not out:
                out.append({"name": ""})
            key, _, value = line.partition("=")
            words = [word.strip() for word in value.split(",") if word.strip()]
            out[-1][key.strip()] = words if key.strip() in LIST_KEYS else value.strip()
    return out


def _parse_layers(text: str, old_layers: list[Any]) -> list[dict[str, Any]]:
    """Parse layers; other keys of an old layer are kept."""
    old_by_name = {layer.get("name"): layer for layer in old_layers if isinstance(layer, dict)}
    out: list[dict[str, Any]] = []
    for line in (raw.strip() for raw in text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1].strip()
            rest = {k: v for k, v in old_by_name.get(name, {}).items() if k not in ("name", "requirements", "file")}
            out.append({"name": name, **rest})
        elif line:
            if not out:
                out.append({"name": "common"})
            if line.startswith("@"):
                out[-1]["file"] = line[1:].strip()
            else:
                out[-1].setdefault("requirements", []).append(line)
    return out


_EMPTY_VALUES: tuple[Any, ...] = ("", [], None)  # but not 0, which is a valid number of seconds


def _set_or_remove(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value, or remove it when it is empty, together with parents that become empty."""
    *parents, last = path
    holders = [document]
    for key in parents:
        inner = holders[-1].get(key)
        if not isinstance(inner, dict):
            if value in _EMPTY_VALUES:
                return
            inner = holders[-1][key] = {}
        holders.append(inner)
    if value not in _EMPTY_VALUES:
        holders[-1][last] = value
    else:
        holders[-1].pop(last, None)
    for key, holder, inner in zip(reversed(parents), reversed(holders[:-1]), reversed(holders[1:]), strict=True):
        if not inner:
            del holder[key]


def _complete_document(document: dict[str, Any]) -> None:
    """Make dependent keys consistent: a TensorRT version enables TensorRT; components without a PyTorch version and
    health check times without a command are removed."""
    run = document.get("run")
    if isinstance(run, dict) and isinstance(check := run.get("health_check"), dict) and not check.get("command"):
        del run["health_check"]
    torch = document.get("pytorch")
    if isinstance(torch, dict) and not torch.get("version"):
        del document["pytorch"]
    tensorrt = document.get("tensorrt")
    if isinstance(tensorrt, dict):
        if tensorrt.get("version"):
            document["tensorrt"] = {"enabled": True, **{k: v for k, v in tensorrt.items() if k != "enabled"}}
        else:
            del document["tensorrt"]
