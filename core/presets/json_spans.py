"""Parses JSON and keeps the span of every value in the text, and every duplicate key."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

FieldPath = tuple[str | int, ...]

_MAX_DEPTH = 64  # a preset has five levels; far below Python's recursion limit
_STRINGS = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z_]+")
_LITERALS_OF_OTHER_LANGUAGES = {
    "True": "true",
    "False": "false",
    "None": "null",
    "NaN": "a number",
    "undefined": "null",
}


@dataclass(frozen=True)
class JsonSpan:
    """Offsets into the text: of a value, and of its `key` (`start` for a value without one)."""

    start: int
    end: int
    key: int


@dataclass(frozen=True)
class DuplicateKey:
    """A key that one object has twice; lines count from 1."""

    path: FieldPath
    line: int
    first_line: int


class MalformedJson(Exception):
    """The text is not JSON. `what` and `remedy` are for the user; `line` counts from 1."""

    def __init__(self, line: int, what: str, remedy: str) -> None:
        super().__init__(line, what, remedy)
        self.line = line
        self.what = what
        self.remedy = remedy


@dataclass
class Document:
    """A parsed text: its value, the spans by path, and the duplicate keys."""

    text: str
    value: Any = None
    spans: dict[FieldPath, JsonSpan] = field(default_factory=dict)
    duplicates: list[DuplicateKey] = field(default_factory=list)

    def line(self, path: FieldPath) -> int:
        """The line of a field, counting from 1; for a field that is missing, the line of its nearest parent."""
        while path and path not in self.spans:
            path = path[:-1]
        span = self.spans.get(path)
        return self.line_at(span.key) if span else 1

    def line_at(self, offset: int) -> int:
        """The line of an offset, counting from 1."""
        return self.text.count("\n", 0, offset) + 1

    def source(self, path: FieldPath) -> str:
        """The source text of the value at `path`."""
        span = self.spans[path]
        return self.text[span.start : span.end]


def parse_json(text: str) -> Document:
    """Parse JSON. Raises MalformedJson at the first place that is not JSON."""
    return _Parser(text).document()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.result = Document(text)

    def document(self) -> Document:
        if not self.text.strip():
            raise MalformedJson(1, "the file is empty", 'begin with {"base_image": "…", "python_version": "3.10"}')
        self.result.value, end = self._value(self._skip(0), (), None)
        end = self._skip(end)
        if end != len(self.text):
            raise self._malformed(
                end, "there is text after the end of the preset", "remove it, or the extra } before it"
            )
        return self.result

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def _malformed(self, at: int, what: str, remedy: str) -> MalformedJson:
        return MalformedJson(self.result.line_at(min(at, len(self.text))), what, remedy)

    def _value(self, at: int, path: FieldPath, key: int | None) -> tuple[Any, int]:
        if len(path) > _MAX_DEPTH:
            raise self._malformed(at, "the file is nested too deeply", "a preset is five levels deep")
        head = self.text[at : at + 1]
        value: Any
        if head == "{":
            value, end = self._object(at, path)
        elif head == "[":
            value, end = self._array(at, path)
        elif head == '"':
            value, end = self._string(at)
        else:
            value, end = self._scalar(at)
        self.result.spans[path] = JsonSpan(at, end, at if key is None else key)
        return value, end

    def _string(self, at: int) -> tuple[str, int]:
        try:
            text, end = _STRINGS.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            remedy = (
                'close it with " on the same line'
                if "nterminated" in error.msg or "control" in error.msg
                else ("write a backslash as \\\\")
            )
            raise self._malformed(at, f"this string is not well formed ({error.msg})", remedy) from None
        if re.search("[\ud800-\udfff]", text):
            raise self._malformed(
                at, "this string contains half a character (\\ud800 to \\udfff)", "remove that escape"
            )
        return str(text), end

    def _scalar(self, at: int) -> tuple[Any, int]:
        if word := _WORD.match(self.text, at):
            if word.group() in _CONSTANTS:
                return _CONSTANTS[word.group()], word.end()
            suggestion = _LITERALS_OF_OTHER_LANGUAGES.get(word.group(), f'"{word.group()}"')
            raise self._malformed(at, f"{word.group()} is not JSON", f"write {suggestion}")
        number = _NUMBER.match(self.text, at)
        if number:
            digits = number.group()
            if self.text[number.end() : number.end() + 1] not in ("", " ", "\t", "\r", "\n", ",", "]", "}"):
                word_end = re.compile(r"[^\s,\]}]*").match(self.text, at)
                written = word_end.group() if word_end else digits
                raise self._malformed(at, f"{written} is not a number", f'put it in quotes: "{written}"')
            is_integer = number.group(2) is None and number.group(3) is None
            return (int(digits) if is_integer and len(digits) < 400 else float(digits)), number.end()
        raise self._unexpected(at)

    def _unexpected(self, at: int) -> MalformedJson:
        character = self.text[at : at + 1]
        if not character:
            return self._malformed(at, "the file ends too early", "close every { with } and every [ with ]")
        if character == "'":
            return self._malformed(at, "a string does not begin with '", 'use " around strings')
        if character in "/#":
            return self._malformed(at, "JSON has no comments", "put remarks into metadata.description")
        if character in "]}":
            return self._malformed(at, f"{character} comes after a comma", "remove the last comma before it")
        return self._malformed(at, f"{character!r} does not begin a value", 'write a string in " ", a list in [ ]')

    def _array(self, at: int, path: FieldPath) -> tuple[list[Any], int]:
        items: list[Any] = []
        at = self._skip(at + 1)
        if self.text[at : at + 1] == "]":
            return items, at + 1
        while True:
            value, at = self._value(at, (*path, len(items)), None)
            items.append(value)
            at, done = self._separator(at, "]")
            if done:
                return items, at

    def _object(self, at: int, path: FieldPath) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        at = self._skip(at + 1)
        if self.text[at : at + 1] == "}":
            return members, at + 1
        while True:
            key_at = at
            key, at = self._key(at)
            member_path = (*path, key)
            if key in members:
                first = self.result.line_at(self.result.spans[member_path].key)
                self.result.duplicates.append(DuplicateKey(member_path, self.result.line_at(key_at), first))
            members[key], at = self._value(self._skip(at), member_path, key_at)
            at, done = self._separator(at, "}")
            if done:
                return members, at

    def _key(self, at: int) -> tuple[str, int]:
        if self.text[at : at + 1] != '"':
            if word := _WORD.match(self.text, at):
                raise self._malformed(at, f"the key {word.group()} has no quotes", f'write "{word.group()}"')
            raise self._unexpected(at)
        key, end = self._string(at)
        end = self._skip(end)
        if self.text[end : end + 1] != ":":
            raise self._malformed(end, f'there is no : after the key "{key}"', f'write "{key}": value')
        return key, end + 1

    def _separator(self, at: int, closing: str) -> tuple[int, bool]:
        next_token = self._skip(at)
        character = self.text[next_token : next_token + 1]
        if character == closing:
            return next_token + 1, True
        if character == ",":
            return self._skip(next_token + 1), False
        if not character:
            raise self._malformed(next_token, "the file ends too early", f"close it with {closing}")
        if character in "/#":
            raise self._malformed(next_token, "JSON has no comments", "put remarks into metadata.description")
        raise self._malformed(at, f"there is no comma before {character!r}", "put a comma between two entries")
