"""Detects the graphics of the terminal. It is asked when a picture is first needed, and has a deadline to answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

QUERY_SECONDS = 2.0  # seconds to answer; pictures make no sense on a slower line
PROBE_IMAGE_ID = 31  # the id of a one-pixel picture that is only queried, never shown
_KITTY = f"\x1b_Gi={PROBE_IMAGE_ID},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_CELL_SIZE = "\x1b[16t"
_ATTRIBUTES = "\x1b[c"  # every terminal answers this one, and after the others
_ANSWERS = re.compile(r"\x1b_G(?P<kitty>[^\x1b]*)\x1b\\|\x1b\[6;(?P<high>\d+);(?P<wide>\d+)t|\x1b\[\?(?P<what>[\d;]*)c")
_ANSWER_START = re.compile(r"\x1b(?:_[^\x1b]*\x1b?|\[(?:\?[\d;]*|6(?:;[\d;]*)?)?)?$")
_SIXEL = "4"  # among the attributes


class TerminalCapabilities:
    """`kitty`, `sixel`, and `cell`: a cell's (width, height) in pixels, None when the terminal did not report it."""

    def __init__(self) -> None:
        self.kitty = False
        self.sixel = False
        self.cell: tuple[int, int] | None = None
        self.complete = False

    @staticmethod
    def query(environ: Mapping[str, str]) -> str:
        """The query to send. Multiplexers mistake kitty's sequence for a window title, so they do not get it."""
        inside = "TMUX" in environ or environ.get("TERM", "").startswith(("screen", "tmux"))
        return ("" if inside else _KITTY) + _CELL_SIZE + _ATTRIBUTES

    def consume_answers(self, text: str) -> str:
        """Take the answers out of the input; returns the rest."""
        for answer in _ANSWERS.finditer(text):
            if answer["kitty"] is not None:
                self.kitty = self.kitty or answer["kitty"].endswith(";OK")
            elif answer["wide"] is not None:
                self.cell = (int(answer["wide"]), int(answer["high"])) if int(answer["wide"]) else None
            else:
                self.sixel = _SIXEL in answer["what"].split(";")[1:]
                self.complete = True
        return _ANSWERS.sub("", text)

    @staticmethod
    def may_begin_answer(text: str) -> bool:
        """Whether the end of the text may be the first part of an answer."""
        return _ANSWER_START.search(text) is not None
