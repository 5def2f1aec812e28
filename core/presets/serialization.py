"""Serializes a preset: unchanged parts keep their order and layout, so that diffs stay small."""

from __future__ import annotations

import json
from typing import Any

from core.presets.json_edit import JsonEdit
from core.presets.json_spans import Document, MalformedJson, parse_json
from core.presets.model import Preset

_WIDTH = 100  # a list or object that fits stays on one line
SCHEMA_REFERENCE = "./preset.schema.json"


def dump(preset: Preset, original: str | None = None, edited: dict[str, Any] | None = None) -> str:
    """The preset as JSON text.

    `original` is the text it came from: keys keep their order, unchanged values keep their layout, and an unchanged
    preset keeps every byte. Fields at their default are written only if `original` has them. `edited` is the document
    of `original` after keys were removed; it then decides instead.
    """
    document = _document(original)
    if document is None:
        fresh = {"$schema": SCHEMA_REFERENCE, **_without_defaults(preset)}
        return _render(fresh, 0) + "\n"
    original_value = document.value if edited is None else edited
    value = _merge_defaults(preset.model_dump(mode="json", by_alias=True), _without_defaults(preset), original_value)
    return _edit_text(value, document)


def dump_unvalidated(value: dict[str, Any], original: str) -> str:
    """A document that is not (yet) a valid preset as JSON text; parts that `original` has keep their layout."""
    document = _document(original)
    return _render(value, 0) + "\n" if document is None else _edit_text(value, document)


def _edit_text(value: Any, document: Document) -> str:
    """The document's text with a new value; only what changed is rewritten, in the layout of its neighbours."""
    if document.duplicates:  # it is not known which of the two was meant
        return _render(value, 0) + "\n"
    return JsonEdit(document, _render).text(value)


def _document(original: str | None) -> Document | None:
    if original is None:
        return None
    try:
        document = parse_json(original)
    except MalformedJson:
        return None
    return document if isinstance(document.value, dict) else None


def _without_defaults(preset: Preset) -> dict[str, Any]:
    return preset.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _merge_defaults(full: Any, plain: Any, old: Any) -> Any:
    """`plain` (without defaults) plus the defaults that `old` has, in the order of `old`."""
    if isinstance(full, dict) and isinstance(old, dict):
        merged = {}
        for key, old_value in old.items():
            if key in full and (full[key] is not None or old_value is None):
                merged[key] = _merge_defaults(full[key], plain.get(key) if isinstance(plain, dict) else None, old_value)
        for key, value in (plain or {}).items():
            merged.setdefault(key, value)
        return merged
    if isinstance(full, list) and isinstance(old, list):
        plains = plain if isinstance(plain, list) else []
        return [
            _merge_defaults(item, plains[index] if index < len(plains) else item, _counterpart(item, index, old))
            for index, item in enumerate(full)
        ]
    if isinstance(full, dict):
        return plain if plain is not None else full
    return old if _same_number(full, old) else full


def _counterpart(item: Any, index: int, old: list[Any]) -> Any:
    """The old entry that `item` came from: the one with the same name, else the one at the same index."""
    if isinstance(item, dict) and "name" in item:
        return next(
            (candidate for candidate in old if isinstance(candidate, dict) and candidate.get("name") == item["name"]),
            None,
        )
    return old[index] if index < len(old) else None


def _same_number(new: Any, old: Any) -> bool:
    """Whether both are the same number, such as 30 and 30.0; then the old spelling stays."""
    numbers = isinstance(new, (int, float)) and isinstance(old, (int, float))
    return numbers and not isinstance(new, bool) and not isinstance(old, bool) and new == old


def _render(value: Any, depth: int, indent: str = "  ") -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # 10 seconds, not 10.0
    if not isinstance(value, (dict, list)) or not value:
        return json.dumps(value, ensure_ascii=False)
    children = value.items() if isinstance(value, dict) else enumerate(value)
    parts = []
    for key, child in children:
        text = _render(child, depth + 1, indent)
        parts.append(f"{json.dumps(key, ensure_ascii=False)}: {text}" if isinstance(value, dict) else text)
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    one_line = opening + ", ".join(parts) + closing
    if "\n" not in one_line and len(one_line) + len(indent) * depth <= _WIDTH and depth > 0:
        return one_line
    inner = ",\n".join(indent * (depth + 1) + part for part in parts)
    return f"{opening}\n{inner}\n{indent * depth}{closing}"
