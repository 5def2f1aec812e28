"""The Korean pages say what the English ones do: the same commands, pictures, headings and rows, in the same order."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from markdown_it import MarkdownIt

from tests.docs.pages import ROOT, Page, page

PAIRS = [("README.md", "README.ko.md"), ("docs/site-guide.md", "docs/ko/site-guide.md")]
START_HERE = ROOT / "core/carry/stick/START-HERE.txt"
HANGUL = re.compile("[\uac00-\ud7a3]")


def _commands(page: Page) -> list[tuple[str, list[str]]]:
    """The code blocks with their languages, each without the comments behind its commands."""
    return [
        (block.language, [re.sub(r"\s+# .*", "", line) for line in block.text.splitlines()]) for block in page.blocks
    ]


def _pictures(page: Page) -> list[str]:
    """The pictures, as paths from the top folder."""
    links = [link.text for link in page.links if PurePosixPath(link.text).suffix in (".png", ".gif")]
    return [(page.path.parent / link).resolve().relative_to(ROOT).as_posix() for link in links]


def _levels(page: Page) -> list[str]:
    """The level of each heading."""
    return [token.tag for token in MarkdownIt("commonmark").parse(page.text) if token.type == "heading_open"]


def _cells(page: Page) -> list[list[list[str]]]:
    """Of each table its rows, of each row the code spans in it, whatever their order in the sentence."""
    return [[sorted(span.text for cell in row for span in cell.spans) for row in table.rows] for table in page.tables]


@pytest.mark.parametrize(("english", "korean"), PAIRS)
def test_both_languages_have_the_same_commands_pictures_headings_and_tables(english: str, korean: str) -> None:
    first, second = page(english), page(korean)
    assert _commands(first) == _commands(second) != []
    assert _pictures(first) == _pictures(second) != []
    assert _levels(first) == _levels(second) != []
    assert _cells(first) == _cells(second) != []


@pytest.mark.parametrize(("english", "korean"), PAIRS)
def test_each_language_leads_to_the_other_one_at_the_top(english: str, korean: str) -> None:
    first, second = page(english), page(korean)
    assert (first.path.parent / first.links[0].text).resolve() == second.path
    assert (second.path.parent / second.links[0].text).resolve() == first.path


@pytest.mark.parametrize(("english", "korean"), PAIRS)
def test_each_heading_is_in_its_language(english: str, korean: str) -> None:
    assert [piece.text for piece in page(english).headings if HANGUL.search(piece.text)] == []
    names = [piece.text for piece in page(korean).headings if not HANGUL.search(piece.text)]
    assert set(names) <= {"xaiva"}


def test_both_halves_of_start_here_have_the_same_commands() -> None:
    title = "\n현장에서: "
    english, korean = START_HERE.read_text(encoding="utf-8").split(title)
    halves = [[line.strip() for line in half.splitlines() if line.startswith(" " * 7)] for half in (english, korean)]
    assert halves[0] == halves[1] != []
    quoted = [sorted(re.findall("`([^`]+)`", half)) for half in (english, korean)]
    assert quoted[0] == quoted[1] != []
    fields = [sorted(re.findall(r"\{\w+\}", half)) for half in (english.partition("\n")[2], korean)]
    assert fields[0] == fields[1] != []
