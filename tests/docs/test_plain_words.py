"""The code, its messages and the documentation are written in present-day English."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import ROOT, check

# Words and phrases that only the authors of the code used. A message is read at 3 a.m.
ARCHAIC = (
    "afresh|ail(?:s|ing|ments?)?|anew|blot(?:s|ted)?|for ever|hears? of|heard of|hence|in silence|in the place of|lest"
    "|mend(?:s|ed|ing)?|none that is known|of before|of ours|quarrel(?:s|led|ling)?|shall|tells? of|that is none"
    "|thence|till|told of|unasked|what there is|whoever|well in time|without a word"
    "|(?:is|was|were|be|been|being) told(?! apart| from)"
)
# A phrase may be broken over two lines of a docstring, a comment or a page.
FOUND = re.compile(rf"\b(?:{ARCHAIC})\b".replace(" ", r"(?:\s|#)+"), re.IGNORECASE)
FILES = ("core/**/*.py", "tui/**/*.py", "docs/*.md", "*.md", "xaiva", "env.template")
EXCLUDED = re.compile(r"docs/decisions/|CHANGELOG")  # history is not rewritten


def _files() -> set[Path]:
    return {path for pattern in FILES for path in ROOT.glob(pattern) if not EXCLUDED.search(path.as_posix())}


def test_no_text_uses_archaic_words() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(_files())}
    assert len(texts) > 400
    check(
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {' '.join(match[0].split())}"
        for path, text in texts.items()
        for match in FOUND.finditer(text)
    )
