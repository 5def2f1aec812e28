"""The pages of the documentation in pieces: code spans, code blocks, headings, links and tables, each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Piece:
    """A piece of a page. `heading` is the heading above it, `language` the language of a code block."""

    page: str
    line: int
    text: str
    heading: str = ""
    language: str = ""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its Markdown, and the code spans in it."""

    source: Piece
    spans: list[Piece]


@dataclass(frozen=True)
class Table:
    """A table: the texts of its head, and its rows."""

    heading: str
    head: list[str] = field(default_factory=list)
    rows: list[list[Cell]] = field(default_factory=list)

    def column(self, number: int) -> list[Piece]:
        """The code spans of a column."""
        return [span for row in self.rows for span in row[number].spans]


class Page:
    """A parsed page of the documentation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text(encoding="utf-8")
        self.spans: list[Piece] = []
        self.blocks: list[Piece] = []
        self.headings: list[Piece] = []
        self.links: list[Piece] = []
        self.tables: list[Table] = []
        self._heading = ""
        tokens = MarkdownIt("commonmark").enable("table").parse(self.text)
        for before, token in zip([None, *tokens], tokens, strict=False):
            self._read(before, token)

    def table(self, heading: str, number: int = 0) -> Table:
        """A table under that heading."""
        return [table for table in self.tables if table.heading == heading][number]

    def _piece(self, token: Token, text: str, after: int = 0) -> Piece:
        assert token.map is not None
        return Piece(self.name, token.map[0] + 1 + after, text, self._heading, token.info.strip())

    def _read(self, before: Token | None, token: Token) -> None:
        if token.type == "fence":
            self.blocks.append(self._piece(token, token.content, 1))
        elif token.type == "table_open":
            self.tables.append(Table(self._heading))
        elif token.type == "tr_open":
            self.tables[-1].rows.append([])
        elif token.type == "thead_close":
            self.tables[-1].head.extend(cell.source.text for cell in self.tables[-1].rows.pop())
        elif token.type == "inline":
            assert before is not None
            if before.type == "heading_open":
                self._heading = token.content
                self.headings.append(self._piece(token, token.content))
            spans = self._spans(token)
            if before.type in ("th_open", "td_open"):
                self.tables[-1].rows[-1].append(Cell(self._piece(token, token.content), spans))

    def _spans(self, token: Token) -> list[Piece]:
        """The code spans of a paragraph, a heading or a cell. Also collects the links."""
        spans, lines = [], 0
        for child in token.children or []:
            if child.type in ("softbreak", "hardbreak"):
                lines += 1
            elif child.type == "code_inline":
                spans.append(self._piece(token, child.content, lines))
            elif child.type in ("link_open", "image"):
                target = child.attrs.get("href") or child.attrs["src"]
                self.links.append(self._piece(token, unquote(str(target)), lines))
        self.spans += spans
        return spans


@cache
def pages() -> list[Page]:
    """All pages that describe the current code, so not the change log."""
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [Page(path) for path in sorted(paths) if path.name != "CHANGELOG.md"]


def page(name: str) -> Page:
    """The page with that name."""
    return next(page for page in pages() if page.name == name)


def all_spans() -> list[Piece]:
    """The code spans of all pages."""
    return [span for page in pages() for span in page.spans]


def all_blocks() -> list[Piece]:
    """The code blocks of all pages."""
    return [block for page in pages() for block in page.blocks]


def matches(pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
    """All matches of a pattern in all pages, each with its place."""
    for page in pages():
        for match in re.finditer(pattern, page.text):
            yield f"{page.name}:{page.text.count(chr(10), 0, match.start()) + 1}", match


def check(problems: Iterable[str]) -> None:
    """Fail with a list of all problems."""
    problem_list = list(problems)
    assert not problem_list, "\n" + "\n".join(problem_list)
