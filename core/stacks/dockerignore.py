"""Which files of a build context a build sees, by BuildKit's own rules for `.dockerignore`.

The rules are those of github.com/moby/patternmatcher: a pattern becomes a regular expression, the last one that
matches a path or one of its folders decides, and `!` makes an exception.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_GLOB = frozenset("*?[\\")


@dataclass(frozen=True)
class _Pattern:
    text: str
    exception: bool
    expression: re.Pattern[str]


class Dockerignore:
    """The patterns of one file. Raises ValueError for a pattern that BuildKit refuses, too."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns = [pattern for line in lines if (pattern := _parse(line)) is not None]
        exceptions = [pattern for pattern in self._patterns if pattern.exception]
        # An ignored folder is not entered where every exception lies outside of it for certain.
        self._exceptions = [f"{pattern.text}/" for pattern in exceptions]
        self._plain = not any(_GLOB & set(pattern.text) for pattern in exceptions)

    def visible_files(self, root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Path below `root` and entry of each file and link that is not ignored; sorted. Raises OSError."""
        yield from self._walk(str(root), "", [False] * len(self._patterns))

    def _walk(self, folder: str, prefix: str, parent: list[bool]) -> Iterator[tuple[str, os.DirEntry[str]]]:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = f"{prefix}{entry.name}"
            ignored, matches = self._match(path, parent)
            if entry.is_dir(follow_symlinks=False):
                if not ignored or self._may_have_exceptions(f"{path}/"):
                    yield from self._walk(entry.path, f"{path}/", matches)
            elif not ignored:
                yield path, entry

    def _match(self, path: str, parent: list[bool]) -> tuple[bool, list[bool]]:
        """Whether the path is ignored, and which patterns matched it or a folder that it is in."""
        ignored, matches = False, [False] * len(self._patterns)
        for index, pattern in enumerate(self._patterns):
            match = parent[index]
            if not match:
                if pattern.exception != ignored:
                    continue  # it would change nothing
                match = pattern.expression.match(path) is not None
            matches[index] = match
            if match:
                ignored = not pattern.exception
        return ignored, matches

    def _may_have_exceptions(self, folder: str) -> bool:
        return not self._plain or any(text.startswith(folder) for text in self._exceptions)


def read_dockerignore(context: Path, dockerfile: Path) -> Dockerignore:
    """The patterns for a Dockerfile: its own `NAME.dockerignore`, else that of the context; none without a file.

    Raises OSError, and ValueError for a pattern that BuildKit refuses.
    """
    for path in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore"):
        try:
            text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        except FileNotFoundError:
            continue
        return Dockerignore(text.splitlines())
    return Dockerignore([])


def _parse(line: str) -> _Pattern | None:
    text = line.strip()
    if not text or line.startswith("#"):
        return None
    exception = text.startswith("!")
    text = posixpath.normpath(text.removeprefix("!").strip() or ".").lstrip("/")
    if exception and text == ".":
        raise ValueError(f"the pattern {line.strip()!r} has no text after the !")
    if text in (".", ""):
        return None
    try:
        return _Pattern(text, exception, re.compile(_expression(text), re.DOTALL))
    except re.error as error:
        raise ValueError(f"the pattern {line.strip()!r} cannot be read: {error}") from error


def _expression(text: str) -> str:
    out, at = "", 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == "*" and text[at : at + 1] == "*":
            at += 1
            at += text[at : at + 1] == "/"
            out += "(.*/)?" if at < len(text) else ".*"
        elif character == "*":
            out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        elif character == "\\" and at < len(text):
            out += re.escape(text[at])
            at += 1
        elif character in "[]^-":
            out += character  # a class of characters
        else:
            out += re.escape(character)
    return f"{out}\\Z"
