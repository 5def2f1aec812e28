"""Command lines in the documentation, as lists of words: of code blocks, and of code spans with their notation."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace

from tests.docs.pages import Piece, all_blocks, all_spans

PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_]*(\.\w+)?|<.*>|.*….*")  # NAME, IMAGE.tar, <preset>, …


def of_block(block: Piece) -> Iterator[tuple[Piece, list[str]]]:
    """Each command of a block in `sh`, or behind a prompt in one without a language. Raises ValueError: no shell."""
    lines = block.text.splitlines()
    for number, line in _whole_lines(lines):
        if block.language != "sh":
            if block.language or not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ")
        here = replace(block, line=block.line + number, text=line)
        for inner in re.findall(r"\$\(([^()]*)\)", line):
            yield here, shlex.split(inner)
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for operator, words in itertools.groupby(lexer, lambda word: set(word) <= set("|&;<>()")):
            if not operator:
                yield here, list(words)


def of_span(span: Piece) -> Iterator[list[str]]:
    """The command lines of a code span: `[--option]` is included, `this|that` gives one line for each."""
    try:
        words = shlex.split(re.sub(r"[\[\]]", "", span.text))
    except ValueError:
        return
    yield from map(list, itertools.product(*(word.split("|") for word in words)))


def command_lines() -> Iterator[tuple[Piece, list[str], bool]]:
    """All commands of all pages; and whether they can be typed as they are."""
    for block in all_blocks():
        yield from ((piece, words, True) for piece, words in of_block(block))
    for span in all_spans():
        yield from ((span, words, False) for words in of_span(span))


def _whole_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines joined with their continuation after a backslash or a pipe."""
    start, whole = 0, ""
    for number, line in enumerate(lines):
        start, whole = (start, whole) if whole else (number, "")
        whole += line.removesuffix("\\")
        if not line.endswith(("\\", "|")):
            yield start, whole
            whole = ""
