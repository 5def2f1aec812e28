"""Links, pictures and paths in the documentation exist."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from functools import cache

from tests.docs.pages import ROOT, Page, all_spans, check, pages

# A path of the repository: it begins with one of its folders, or it is a file of one of these kinds.
FOLDERS = "benchmarks|core|docs|requirements|tests|tools|tui"
PATH = re.compile(rf"(?:\.\./)?(?:(?:{FOLDERS})/[\w./*-]*|[\w./*-]+\.(?:py|md|j2|tcss|template))")
# What a site may have of its own, and files that a reader is to make.
EXAMPLES = {"main.py", "docker/Dockerfile.j2", "NNNN-short-title.md", "tests/test_doctor.py"}


def _anchors(page: Page) -> Iterator[str]:
    """The anchors that GitHub generates from the headings."""
    counts: dict[str, int] = {}
    for heading in page.headings:
        slug = re.sub(r"[^\w\- ]", "", heading.text.lower()).replace(" ", "-")
        yield f"{slug}-{counts[slug]}" if slug in counts else slug
        counts[slug] = counts.get(slug, 0) + 1


def test_every_link_leads_somewhere() -> None:
    by_path = {page.path: page for page in pages()}
    problems = []
    for page in pages():
        for link in page.links:
            target, _, anchor = link.text.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            path = (page.path.parent / target).resolve() if target else page.path
            if not path.exists():
                problems.append(f"{link.place}: {link.text}: there is no {target}")
            elif anchor and (path not in by_path or anchor not in _anchors(by_path[path])):
                problems.append(f"{link.place}: {link.text}: there is no such heading")
    check(problems)


@cache
def _paths() -> set[str]:
    """All files and folders with every end of their paths: a page may leave out the room that it speaks of."""
    files = [ROOT / folder for folder in FOLDERS.split("|")]
    files += [path for folder in files for path in folder.rglob("*") if "__pycache__" not in path.parts]
    files += ROOT.glob("*.*")
    parts = [path.relative_to(ROOT).parts for path in files]
    return {"/".join(path_parts[start:]) for path_parts in parts for start in range(len(path_parts))}


def _exists(path: str) -> bool:
    path = path.removeprefix("../").rstrip("/")
    return bool(fnmatch.filter(_paths(), path)) if "*" in path else path in _paths()


def test_every_path_exists() -> None:
    named = [(span, word) for span in all_spans() for word in span.text.split() if PATH.fullmatch(word)]
    assert len(named) > 200
    check(
        f"{span.place}: {word}: there is no such file"
        for span, word in named
        if word not in EXAMPLES and not _exists(word)
    )
