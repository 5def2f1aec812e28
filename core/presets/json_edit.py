"""Changes values in a JSON text: unchanged parts keep every byte, new parts copy the layout of their neighbours."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.presets.json_spans import Document, FieldPath, JsonSpan

RenderValue = Callable[[Any, int, str], str]  # renders a new value at a depth, with an indent


@dataclass(frozen=True)
class _Entry:
    """One entry of a container's new text. `gap` is the text before it; None for a new entry."""

    text: str
    gap: str | None = None


class JsonEdit:
    """Rewrites the text of `document` for a new value."""

    def __init__(self, document: Document, render_value: RenderValue) -> None:
        self._document = document
        self._text = document.text
        self._render_value = render_value
        self.newline = "\r\n" if "\r\n" in document.text else "\n"
        first = re.match(r"\s*[{\[][^\S\r\n]*\r?\n([ \t]+)", document.text)
        self.indent = first[1] if first else "  "
        colon = re.search(r'^\s*\{\s*"(?:[^"\\]|\\.)*"(\s*:\s*)', document.text)
        self._colon = colon[1] if colon else ": "

    def text(self, value: Any) -> str:
        """The whole text with `value` as its root."""
        root = self._document.spans[()]
        return self._text[: root.start] + self._value(value, (), self._document.value) + self._text[root.end :]

    def _value(self, new: Any, path: FieldPath, old: Any) -> str:
        if new == old and isinstance(new, bool) == isinstance(old, bool):
            return self._document.source(path)
        if isinstance(new, dict) and isinstance(old, dict) and new and old:
            return self._container(path, list(old), [self._item(key, value, path, old) for key, value in new.items()])
        if isinstance(new, list) and isinstance(old, list) and new and old:
            return self._container(path, range(len(old)), self._elements(new, path, old))
        return self._render(new, len(path))

    def _item(self, key: str, value: Any, path: FieldPath, old: dict[str, Any]) -> _Entry:
        if key not in old:
            return _Entry(f"{json.dumps(key, ensure_ascii=False)}{self._colon}{self._render(value, len(path) + 1)}")
        span = self._span(path, key)
        changed = self._value(value, (*path, key), old[key])
        return _Entry(self._text[span.key : span.start] + changed, self._gap(path, key, list(old)))

    def _elements(self, new: list[Any], path: FieldPath, old: list[Any]) -> list[_Entry]:
        """The new elements: unchanged ones keep their text, a replaced one keeps the layout of its place."""
        entries: list[_Entry] = []
        matcher = difflib.SequenceMatcher(
            None, list(map(_comparison_key, old)), list(map(_comparison_key, new)), autojunk=False
        )
        for operation, start, end, first, last in matcher.get_opcodes():
            if operation == "equal" or (operation == "replace" and end - start == last - first):
                for index, value in zip(range(start, end), new[first:last], strict=True):
                    text = self._value(value, (*path, index), old[index])
                    entries.append(_Entry(text, self._gap(path, index, range(len(old)))))
            else:
                entries += [_Entry(self._render(value, len(path) + 1)) for value in new[first:last]]
        return entries

    def _span(self, path: FieldPath, key: str | int) -> JsonSpan:
        entry = (*path, key)
        return self._document.spans[entry]

    def _gap(self, path: FieldPath, key: str | int, keys: Sequence[str | int]) -> str:
        """The text before an entry: whitespace after the opening bracket, or a comma with its whitespace."""
        index = keys.index(key)
        if index == 0:
            return self._text[self._document.spans[path].start + 1 : self._span(path, key).key]
        return self._text[self._span(path, keys[index - 1]).end : self._span(path, key).key]

    def _container(self, path: FieldPath, keys: Sequence[str | int], entries: list[_Entry]) -> str:
        span = self._document.spans[path]
        opening, closing = self._text[span.start], self._text[span.end - 1]
        first = self._gap(path, keys[0], keys)
        between = self._gap(path, keys[1], keys) if len(keys) > 1 else f",{first if first.strip(' ') else self._blank}"
        tail = self._text[self._span(path, keys[-1]).end : span.end - 1]
        parts = [f"{first}{entries[0].text}"]
        parts += [f"{between if entry.gap in (None, first) else entry.gap}{entry.text}" for entry in entries[1:]]
        return opening + "".join(parts) + tail + closing

    @property
    def _blank(self) -> str:
        """The whitespace after a comma on one line: the same as after a colon."""
        return " " if self._colon.endswith(" ") else ""

    def _render(self, value: Any, depth: int) -> str:
        if "\n" not in self._text.strip():  # a document of one line stays one
            return json.dumps(value, ensure_ascii=False, separators=(f",{self._blank}", self._colon))
        return self._render_value(value, depth, self.indent).replace("\n", self.newline)


def _comparison_key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
