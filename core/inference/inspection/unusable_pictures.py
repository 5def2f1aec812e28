"""Refuses a rebuild when too many of the pictures it needs cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InputError
from core.findings import Finding

NAMED_FILES = 3  # in an error


def override_hint(arguments: str) -> str:
    """The end of a remedy: the `xaiva product rebuild` that publishes the result all the same."""
    return f"or publish it all the same: xaiva product rebuild {arguments} --force"


def check_share(what: str, bad: Sequence[Finding], good: int, allowed: float, override: str) -> None:
    """Raise InputError when more than that share of the files is `bad`; `good` is the number of the others.

    `override` ends its remedy: see `override_hint`.
    """
    total = len(bad) + good
    if len(bad) <= allowed * total:
        return
    named = "; ".join(finding.summary for finding in bad[:NAMED_FILES]) + ("; …" if len(bad) > NAMED_FILES else "")
    why = f"{len(bad)} of {total} files cannot be used, and {allowed:.0%} are allowed: {named}"
    raise InputError(what, why, f"repair or remove them, {override}")
