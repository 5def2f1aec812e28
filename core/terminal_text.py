"""Strips terminal control sequences from foreign text, and makes invisible characters visible.

The output of a container, an engine or a build may contain escape sequences and control characters: they set the
terminal's title, write its clipboard (OSC 52), change its colours or reset it. A name may contain characters that
reverse its direction or have no width: it then looks like another name.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_C1 = "\x80-\x9f"
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    rf"|(?:\x1b\]|\x9d)[^\x07\x1b{_C1}]*(?:\x07|\x1b\\|\x9c)"  # OSC: title, clipboard, links
    rf"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b{_C1}]*(?:\x1b\\|\x9c)"  # DCS, SOS, PM, APC: pictures, settings
    r"|\x1b[ -/]*[0-~]"  # the rest: character sets, keypad, reset; and the beginning of a string that never ends
)
_CONTROLS = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f{_C1}]")
_LINE_CONTROLS = re.compile(rf"[\x00-\x08\x0a-\x1f\x7f{_C1}]")


def strip_escapes(text: str) -> str:
    """Remove escape sequences in their 7-bit and 8-bit form."""
    return _ESCAPES.sub("", text) if _CONTROLS.search(text) else text


def strip_controls(text: str) -> str:
    """Remove escape sequences and control characters, except tabs and line ends."""
    return _CONTROLS.sub("", strip_escapes(text)) if _CONTROLS.search(text) else text


def has_no_controls(text: str) -> bool:
    """Whether the text has no control characters except tabs and line ends."""
    return _CONTROLS.search(text) is None


def mark_controls(text: str) -> str:
    """Replace each control character of a line, except tabs, by a dot."""
    return _LINE_CONTROLS.sub("·", text)


_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, directions and zero widths, half characters, line separators
_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji need them; between ASCII letters they hide something


def escape_invisible(text: str, keep: str = "") -> str:
    """Write invisible characters as `\\u202e`, except those in `keep`."""
    return text if text.isprintable() else _escape_characters(text, keep)


@lru_cache(1024)  # a console draws the same names many times
def _escape_characters(text: str, keep: str) -> str:
    return "".join(
        character
        if character in keep or _is_visible(character, text[index - 1 : index], text[index + 1 : index + 2])
        else _escaped(character)
        for index, character in enumerate(text)
    )


def _is_visible(character: str, before: str, after: str) -> bool:
    if character in _JOINERS:
        return bool(before) and not before.isascii() and bool(after) and not after.isascii()
    return unicodedata.category(character) not in _INVISIBLE


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"
