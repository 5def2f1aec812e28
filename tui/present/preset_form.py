"""The preset editor's fields: where each stands in the file, and how a form's texts become a preset's text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from core.presets.compat import Choices
from core.presets.model import Preset
from core.presets.serialization import dump, dump_unvalidated
from core.presets.validation import PresetProblem, validate_text


class Shape(Enum):
    """How a field is written: one text, a number, yes or no, words with commas, a command as in a shell; and over
    several lines: one item a line, layers with their headings, or headings with `key = value` below them."""

    TEXT = "text"
    NUMBER = "number"
    YES = "yes"
    WORDS = "words"
    COMMAND = "command"
    LINES = "lines"
    LAYERS = "layers"
    TABLES = "tables"

    @property
    def long(self) -> bool:
        """Whether it takes several lines."""
        return self in (Shape.LINES, Shape.LAYERS, Shape.TABLES)


@dataclass(frozen=True)
class Field:
    """A field of the form. `choices` names the list of `Choices` that offers values for it."""

    name: str
    label: str
    path: tuple[str, ...]
    shape: Shape = Shape.TEXT
    choices: str = ""
    hint: str = ""


LISTS = ("packages",)  # keys of tables whose value is a list of words
_HEALTH = ("run", "health_check")
_TRUE = ("yes", "y", "true", "on", "1")
_FALSE = ("no", "n", "false", "off", "0")

FIELDS: tuple[Field, ...] = (
    Field("description", "Description", ("metadata", "description"), hint="for people"),
    Field("base", "Base image", ("base_image",), choices="base_images"),
    Field("runtime", "Runtime base", ("runtime_base_image",), choices="base_images", hint="empty: the base image"),
    Field("python", "Python", ("python_version",), choices="pythons"),
    Field("torch", "PyTorch", ("pytorch", "version"), choices="torch", hint="empty: none"),
    Field("components", "Components", ("pytorch", "components"), Shape.WORDS, hint="torch, torchvision, torchaudio"),
    Field("tensorrt", "TensorRT", ("tensorrt", "version"), choices="tensorrt", hint="empty: none"),
    Field("ffmpeg", "FFmpeg", ("build_options", "ffmpeg_version"), choices="ffmpeg", hint="empty: not built"),
    Field("opencv", "OpenCV", ("build_options", "opencv_version"), choices="opencv", hint="empty: not built"),
    Field("headers", "NVENC headers", ("build_options", "nv_codec_headers_version"), choices="nv_codec_headers"),
    Field("media", "Xaiva Media", ("build_options", "xaiva_media_branch"), hint="branch; empty: not built"),
    Field("gpu", "Target GPU", ("target", "gpu"), choices="gpus", hint="empty: this machine's"),
    Field("driver", "Target driver", ("target", "driver"), hint="535.183"),
    Field("ports", "Ports", ("run", "ports"), Shape.WORDS, hint="8600:8600"),
    Field("volumes", "Volumes", ("run", "volumes"), Shape.WORDS, hint="./data:/data, ./models:/models"),
    Field("devices", "Devices", ("run", "devices"), Shape.WORDS, hint="/dev/video0"),
    Field("gpus", "GPUs at run", ("run", "gpus"), hint="all, 0,1 … empty: none"),
    Field("layers", "Layers: [name], then one requirement a line, or @file", ("layers",), Shape.LAYERS),
    Field("pins", "Pins: one a line", ("pins",), Shape.LINES),
    Field("debs", "Debian packages: one a line", ("debs",), Shape.LINES),
    Field(
        "indexes",
        "Indexes: [name], then url = …, token_variable = …, packages = six, ours-*",
        ("indexes",),
        Shape.TABLES,
    ),
    Field("sources", "Sources: [name], then url and sha256, git and ref, or path", ("sources",), Shape.TABLES),
    Field("models", "Models: [name], then url or file, sha256, destination", ("models",), Shape.TABLES),
    Field("health", "Health check", (*_HEALTH, "command"), Shape.COMMAND, hint="a command; empty: the image's own"),
    Field("health_interval", "  every, s", (*_HEALTH, "interval"), Shape.NUMBER, hint="30"),
    Field("health_timeout", "  timeout, s", (*_HEALTH, "timeout"), Shape.NUMBER, hint="5"),
    Field("health_start", "  at first, s", (*_HEALTH, "start_period"), Shape.NUMBER, hint="20"),
    Field("health_retries", "  retries", (*_HEALTH, "retries"), Shape.NUMBER, hint="3"),
    Field("dev", "Dev mode", ("run", "dev", "enabled"), Shape.YES, hint="yes; empty: no"),
    Field("dev_source", "Dev source", ("run", "dev", "source"), hint="the site's folder"),
)


def offered(field: Field, choices: Choices, values: Mapping[str, str]) -> list[str]:
    """The values to offer in a field, given the others: PyTorch and TensorRT depend on the Python."""
    python = values.get("python", "")
    if field.choices == "torch":
        return choices.torch_versions(python)
    if field.choices == "tensorrt":
        return choices.tensorrt_versions(python)
    return list(getattr(choices, field.choices)) if field.choices else []


def parse(text: str) -> dict[str, Any] | None:
    """The file as a document, None when it is no JSON object."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def values(document: Mapping[str, Any]) -> dict[str, str]:
    """What stands in each field."""
    return {field.name: _written(field, _at(document, field.path)) for field in FIELDS}


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _written(field: Field, value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if field.shape is Shape.LAYERS and isinstance(value, list):
        return "\n".join(_layer(layer) for layer in value if isinstance(layer, Mapping))
    if field.shape is Shape.TABLES and isinstance(value, list):
        return "\n".join(_table(item) for item in value if isinstance(item, Mapping))
    if field.shape is Shape.COMMAND and isinstance(value, list):
        return shlex.join(str(word) for word in value)
    if isinstance(value, list):
        joint = "\n" if field.shape is Shape.LINES else ", "
        return joint.join(str(item) for item in value)
    return str(value)


def _layer(layer: Mapping[str, Any]) -> str:
    body = [f"@{layer['file']}"] if layer.get("file") else [str(one) for one in layer.get("requirements", [])]
    return "\n".join([f"[{layer.get('name', '')}]", *body])


def _table(item: Mapping[str, Any]) -> str:
    rows = [f"{key} = {_cell(value)}" for key, value in item.items() if key != "name" and _fits_line(value)]
    return "\n".join([f"[{item.get('name', '')}]", *rows])


def _fits_line(value: Any) -> bool:
    """Whether it can be written behind a key: a text, or a list of texts."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _cell(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def apply(text: str, changed: Mapping[str, str]) -> str:
    """The preset's text with the fields in `changed` set; order and layout of `text` stay as far as they can.

    A text that is no JSON object is given back as it is: there is nothing to set fields in.
    """
    document = parse(text)
    if document is None:
        return text
    for field in FIELDS:
        if field.name in changed:
            _set(document, field.path, _read(field, changed[field.name], _at(document, field.path)))
    _complete(document)
    try:
        return dump(Preset.model_validate(document), text, document)
    except ValueError:  # something in it is wrong: show it all the same, the problems stand beside it
        return dump_unvalidated(document, text)


def _read(field: Field, written: str, before: Any) -> Any:
    if field.shape is Shape.LAYERS:
        return _layers(written, before if isinstance(before, list) else [])
    if field.shape is Shape.TABLES:
        return _tables(written, before if isinstance(before, list) else [])
    if field.shape is Shape.NUMBER:
        return _number(written.strip())
    if field.shape is Shape.YES:
        word = written.strip().lower()
        return True if word in _TRUE else "" if word in _FALSE else written.strip()
    if field.shape is Shape.COMMAND:
        return _command(written)
    if field.shape is Shape.LINES:
        return [line.strip() for line in written.splitlines() if line.strip()]
    if field.shape is Shape.WORDS:
        return [word.strip() for word in written.split(",") if word.strip()]
    return written.strip()


def _number(written: str) -> Any:
    """The number that is written; what is none stays as it is, so that the problem is told."""
    for kind in (int, float):
        try:
            return kind(written)
        except ValueError:
            continue
    return written


def _command(written: str) -> list[str]:
    try:
        return shlex.split(written)
    except ValueError:  # a quote is still open
        return [written]


def _tables(written: str, before: list[Any]) -> list[dict[str, Any]]:
    """Items from their text; what does not fit on a line in an item of that name stays."""
    known = {item.get("name"): item for item in before if isinstance(item, dict)}
    out: list[dict[str, Any]] = []
    for line in (raw.strip() for raw in written.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1].strip()
            out.append({"name": name, **{k: v for k, v in known.get(name, {}).items() if not _fits_line(v)}})
        elif line:
            if not out:
                out.append({"name": ""})
            key, _, value = line.partition("=")
            words = [word.strip() for word in value.split(",") if word.strip()]
            out[-1][key.strip()] = words if key.strip() in LISTS else value.strip()
    return out


def _layers(written: str, before: list[Any]) -> list[dict[str, Any]]:
    """Layers from their text; what else a layer of that name had stays."""
    known = {layer.get("name"): layer for layer in before if isinstance(layer, dict)}
    out: list[dict[str, Any]] = []
    for line in (raw.strip() for raw in written.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1].strip()
            rest = {k: v for k, v in known.get(name, {}).items() if k not in ("name", "requirements", "file")}
            out.append({"name": name, **rest})
        elif line:
            if not out:
                out.append({"name": "common"})
            if line.startswith("@"):
                out[-1]["file"] = line[1:].strip()
            else:
                out[-1].setdefault("requirements", []).append(line)
    return out


_NOTHING: tuple[Any, ...] = ("", [], None)  # not 0, which is a number of seconds, too


def _set(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set or, when it is empty, remove a value; a parent that becomes empty goes too."""
    *parents, last = path
    holders = [document]
    for key in parents:
        inner = holders[-1].get(key)
        if not isinstance(inner, dict):
            if value in _NOTHING:
                return
            inner = holders[-1][key] = {}
        holders.append(inner)
    if value not in _NOTHING:
        holders[-1][last] = value
    else:
        holders[-1].pop(last, None)
    for key, holder, inner in zip(reversed(parents), reversed(holders[:-1]), reversed(holders[1:]), strict=True):
        if not inner:
            del holder[key]


def _complete(document: dict[str, Any]) -> None:
    """What goes together: TensorRT with a version is enabled; components are nothing without a PyTorch, nor are the
    times of a health check without its command."""
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


def problems(text: str, path: Path) -> list[PresetProblem]:
    """What keeps the text from being a preset."""
    return validate_text(text, path)
