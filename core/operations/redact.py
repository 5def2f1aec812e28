"""Masks the secrets of the environment in ledger and log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

MASK = "***"
_SHORTEST = 6  # shorter values are too common to be masked everywhere they occur
_NAMES = re.compile(r"(token|passw(or)?d|secret|(access|account|api|private|secret)_?key|credentials?)$", re.IGNORECASE)
# `user:password@` of any URL; of the web's also a name alone, which is mostly a token
_URL_LOGIN = re.compile(r"((?<=://)[^/\s:@]*:[^/\s@]+|(?<=http://)[^/\s@]+|(?<=https://)[^/\s@]+)@")


def redactor(environment: Mapping[str, str]) -> Callable[[str], str]:
    """A function that masks the values of secret-looking variables, and logins inside URLs."""
    values = {v for name, v in environment.items() if _NAMES.search(name) and len(v) >= _SHORTEST}
    known = re.compile("|".join(re.escape(v) for v in sorted(values, key=len, reverse=True))) if values else None

    def redact(text: str) -> str:
        if "@" in text:
            text = _URL_LOGIN.sub(f"{MASK}@", text)
        return known.sub(MASK, text) if known else text

    return redact
