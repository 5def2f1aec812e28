"""Refuses a rebuild when too many of the pictures it needs cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InputError
from core.findings import Finding

NAMED_FILES = 3  # in an error
OVERRIDE = "or publish it all the same with the option force"


def check_share(what: str, bad: Sequence[Finding], good: int, allowed: float) -> None:
    """Raise InputError when more than that share of the files is `bad`; `good` is the number of the others."""
    total = len(bad) + good
    if len(bad) <= allowed * total:
        return
    named = "; ".join(finding.summary for finding in bad[:NAMED_FILES]) + ("; …" if len(bad) > NAMED_FILES else "")
    why = f"{len(bad)} of {total} files cannot be used, and {allowed:.0%} are allowed: {named}"
    raise InputError(what, why, f"repair or remove them, {OVERRIDE}")
