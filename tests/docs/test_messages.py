"""The messages on the pages about trouble are those of the code."""

from __future__ import annotations

import re
from functools import cache

from tests.docs.pages import ROOT, check, page
from tests.docs.texts import texts

PAGE = "docs/troubleshooting.md"
STACKS = "docs/stacks.md"
SHORTEST = 5  # characters of a part of a message between its names and numbers that is looked for
FOREIGN = {  # messages of the kernel, pip, NVIDIA's driver, PyTorch and SQLite
    "no kernel image is available for execution on the device",
    "the provided PTX was compiled with an unsupported toolchain",
    "Driver does not support the required nvenc API version",
    "nvml error: driver not loaded",
    "Failed to initialize NVML: Driver/library version mismatch",
    "Bus error",
    "unable to open shared memory object",
    "… cannot be written: … File too large",
    "database disk image is malformed",
    "disk I/O error",
    "No space left on device",
}


@cache
def _texts() -> str:
    """All texts of the code, one per line, and those of the launchers."""
    launchers = (ROOT / "xaiva", ROOT / "core/carry/stick/xaiva.sh")
    script = "".join(path.read_text(encoding="utf-8").replace("\\`", "") for path in launchers)
    script += (ROOT / "requirements/pip_progress.py").read_text(encoding="utf-8")
    return "\n".join(piece.text for piece in texts()).replace("`", "") + script


def _pieces(message: str) -> list[str]:
    """The parts of a message that are in one text of the code: between names, and between what, why and remedy."""
    pieces = [piece.strip() for piece in re.split(r"…|xaiva[/-]\w*|\b\d+ s|[()→]|[:;,] ", message)]
    return [piece for piece in pieces if len(piece) >= SHORTEST]


def test_every_message_is_one_of_the_code() -> None:
    messages = [span for span in page(PAGE).spans if f"`{span.text}`" in span.heading]
    messages += [
        span
        for table in page(PAGE).tables
        if table.head[0] in ("why", "cause, and what is said")
        for span in table.column(0)
    ]
    assert len(messages) > 100
    messages += (of_stacks := page(STACKS).table("Trouble").column(0))
    assert len(of_stacks) > 10
    check(
        f"{span.place}: {piece}: no text of the code has these words"
        for span in messages
        if span.text not in FOREIGN
        for piece in _pieces(span.text)
        if piece not in _texts()
    )


def test_every_foreign_message_is_quoted() -> None:
    assert FOREIGN - {span.text for span in page(PAGE).spans} == set()
