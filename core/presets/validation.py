"""Validates a preset's text. Every problem has its line, its field and a remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from core.errors import InputError
from core.presets.json_spans import Document, FieldPath, MalformedJson, parse_json
from core.presets.layer_file import read_layer_file
from core.presets.model import Preset
from core.validation_errors import explain_error

_TYPE_NAMES = {
    "string_type": "a string",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
}
_EXAMPLES = {
    "base_image": '"base_image": "debian:bookworm-slim"',
    "python_version": '"python_version": "3.10"',
    "name": '"name": "common"',
    "version": '"version": "2.7.1+cu126"',
    "url": '"url": "https://host/path"',
    "sha256": '"sha256": "…" with what `sha256sum FILE` prints',
    "destination": '"destination": "/models/detector.onnx"',
    "command": '"command": ["/opt/xaiva/bin/xaiva-inference", "health"]',
}


@dataclass(frozen=True)
class PresetProblem:
    """One problem of a preset file. `line` counts from 1; `field` looks like `layers[0].name`."""

    line: int
    field: str
    what: str
    remedy: str

    def __str__(self) -> str:
        place = f"line {self.line}, {self.field}" if self.field else f"line {self.line}"
        return f"{place}: {self.what} → {self.remedy}"


class PresetError(InputError):
    """A preset file cannot be used. `problems` has everything that is wrong, in the order of lines."""

    def __init__(self, path: Path, problems: list[PresetProblem]) -> None:
        if len(problems) == 1:
            why = f"line {problems[0].line}, {problems[0].field or 'the file'}: {problems[0].what}"
            super().__init__(str(path), why, problems[0].remedy)
        else:
            listed = "".join(f"\n  {problem}" for problem in problems)
            remedy = "correct these lines; docs/presets.md explains every field"
            super().__init__(str(path), f"{len(problems)} problems{listed}", remedy)
        self.path = path
        self.problems = problems


def validate_text(text: str, path: Path) -> list[PresetProblem]:
    """All problems of a preset's text, in the order of lines; empty when it can be used.

    `path` is where the text is or will be saved; layer files are relative to it.
    """
    return _parse(text, path)[1]


def preset_from_text(text: str, path: Path) -> Preset:
    """Parse a preset. Raises PresetError with every problem."""
    preset, problems = _parse(text, path)
    if preset is None or problems:
        raise PresetError(path, problems)
    return preset


def field_name(path: FieldPath) -> str:
    """A path as text: `layers[0].requirements[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _parse(text: str, path: Path) -> tuple[Preset | None, list[PresetProblem]]:
    try:
        document = parse_json(text.removeprefix("\ufeff"))
    except MalformedJson as error:
        return None, [PresetProblem(error.line, "", error.what, error.remedy)]
    if not isinstance(document.value, dict):
        return None, [
            PresetProblem(1, "", f"a preset must be an object, not {_type_name(document.value)}", "begin with {")
        ]
    problems = _duplicates(document)
    preset: Preset | None = None
    try:
        preset = Preset.model_validate(document.value)
        problems += _layer_file_problems(preset, document, path.parent)
    except ValidationError as error:
        problems += [_translate(dict(detail), document) for detail in error.errors(include_url=False)]
    return preset, sorted(problems, key=lambda problem: problem.line)


def _duplicates(document: Document) -> list[PresetProblem]:
    return [
        PresetProblem(
            duplicate.line,
            field_name(duplicate.path),
            f"the key {json.dumps(duplicate.path[-1])} is already on line {duplicate.first_line}",
            "remove one of the two",
        )
        for duplicate in document.duplicates
    ]


def _layer_file_problems(preset: Preset, document: Document, folder: Path) -> list[PresetProblem]:
    problems = []
    for index, layer in enumerate(preset.layers):
        if layer.file:
            path = ("layers", index, "file")
            content = read_layer_file(folder, layer.file)
            problems += [
                PresetProblem(document.line(path), field_name(path), what, remedy) for what, remedy in content.problems
            ]
    return problems


def _translate(detail: dict[str, Any], document: Document) -> PresetProblem:
    """Describe a pydantic error for the user."""
    context = detail.get("ctx", {})
    path: FieldPath = tuple(part for part in detail["loc"] if part != "[key]")
    path = (*path, *context.get("field", ()))
    written = document.source(path) if path in document.spans else ""
    what, remedy = _explain(detail, path, context, written)
    return PresetProblem(document.line(path), field_name(path), what, remedy)


def _explain(detail: dict[str, Any], path: FieldPath, context: dict[str, Any], written: str) -> tuple[str, str]:
    kind, value = detail["type"], detail["input"]
    if kind == "preset":
        return str(context["what"]), str(context["remedy"])
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return "is missing", f"add {_EXAMPLES.get(str(path[-1]), json.dumps(path[-1]))}"
    if kind == "literal_error":
        return _not_one_of(value, path)
    if kind in _TYPE_NAMES:
        return _wrong_type(_TYPE_NAMES[kind], value, written)
    if kind == "too_short":
        return "is empty", "give at least one entry"
    limit = context.get("gt", context.get("ge"))
    if limit is None:
        return explain_error(detail), "docs/presets.md explains every field"
    return (
        f"{json.dumps(value)} is too small",
        f"give a number {'greater than' if 'gt' in context else 'of at least'} {limit:g}",
    )


def _unknown_key(path: FieldPath) -> tuple[str, str]:
    key = str(path[-1])
    keys = known_keys(path[:-1])
    close = _closest(key, keys)
    remedy = f'did you mean "{close}"?' if close else f"possible keys: {', '.join(keys)}"
    return f"there is no key {json.dumps(key)} here", remedy


def _not_one_of(value: object, path: FieldPath) -> tuple[str, str]:
    allowed = allowed_values(path)
    close = _closest(str(value), allowed)
    choices = ", ".join(json.dumps(word) for word in allowed)
    remedy = f'did you mean "{close}"? Possible: {choices}' if close else f"write one of {choices}"
    return f"{json.dumps(value)} is not allowed here", remedy


def _wrong_type(expected: str, value: object, written: str) -> tuple[str, str]:
    what = f"should be {expected}, is {_type_name(value)}"
    if expected == "a string" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"should be a string, is the number {written}", f'put it in quotes: "{written}"'
    if expected == "a list" and isinstance(value, str):
        return what, f"put it in brackets: [{json.dumps(value)}]"
    if expected == "true or false":
        return what, "write true or false, without quotes"
    if expected in ("a number", "a whole number") and isinstance(value, str):
        return what, "write it without quotes"
    return what, f"write {expected}"


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), f"the number {value}")


def _closest(word: str, possible: Iterable[str]) -> str:
    lowered = {name.lower(): name for name in possible}
    matches = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[matches[0]] if matches else ""


def known_keys(path: FieldPath) -> list[str]:
    """The keys that the object at `path` may have, in the order of the model."""
    part = _field_type(path)
    if not (isinstance(part, type) and issubclass(part, BaseModel)):
        return []
    return [field.alias or name for name, field in part.model_fields.items()]


def allowed_values(path: FieldPath) -> list[str]:
    """The values of the `Literal` field at `path`; empty for other fields."""
    return [str(value) for value in get_args(_field_type(path))]


def _field_type(path: FieldPath) -> Any:
    """The type of the field at `path`, without `None` and validators."""
    annotation: Any = Preset
    for part in path:
        if isinstance(part, int):
            annotation = _strip_wrappers(get_args(annotation)[0])
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel) and part in annotation.model_fields:
            annotation = _strip_wrappers(annotation.model_fields[part].annotation)
        else:
            return None
    return annotation


def _strip_wrappers(annotation: Any) -> Any:
    while get_origin(annotation) in (Annotated, Union, UnionType):
        inner = [argument for argument in get_args(annotation) if argument is not type(None)]
        annotation = inner[0]
    return annotation
