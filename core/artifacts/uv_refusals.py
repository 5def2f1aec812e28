"""Refusals of uv as errors for people."""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.artifacts.index_binding import LOCAL, PROJECT
from core.artifacts.uv_compile import Wanted, name_of
from core.artifacts.uv_output import named_words, refused_index
from core.errors import XaivaError
from core.presets.model import Index

PINS = "pins"


class Contradiction(XaivaError):
    """The requirements in `wanted` cannot be met together."""

    def __init__(self, what: str, why: str, remedy: str, wanted: Wanted) -> None:
        super().__init__(what, why, remedy)
        self.wanted = wanted


def error_of(refusal: str, wanted: Wanted, bound: Mapping[str, Index]) -> XaivaError:
    """The error that a refusal stands for; `bound` are the packages that come from one index alone."""
    text = re.sub(r"(?m)^(error|\s*cause):\s*", "", refusal).strip()
    if "Failed to fetch" in refusal or "dns error" in refusal:
        return XaivaError(
            "The package index does not answer",
            " ".join(text.split()),
            "check the network, proxy and index settings (UV_DEFAULT_INDEX or PIP_INDEX_URL), then lock again",
        )
    if refused := refused_index(refusal):
        return machine_index_fails(refused[0], f"it answers {refused[1]}")
    head, unsolvable, text = text.partition("No solution found when resolving dependencies")
    if not unsolvable:
        return XaivaError(f"The requirements of {wanted.preset} cannot be resolved", head, "correct what it names")
    text = text.partition("\n\nhint: ")[0].strip().replace(f"{PROJECT} depends on", "you require")
    named = named_words(text)
    asked = _asked_for(wanted, named)
    homes = {name: f"from {described(bound[name])} alone" for name in sorted(named & bound.keys())}
    rows = [*asked.items(), *homes.items()]
    return Contradiction(
        f"The requirements of {wanted.preset} cannot be met together ({', '.join(asked)})",
        "\n".join([re.sub(r"(?m)^ {9}", "  ", text), *(f"  {name}: {what}" for name, what in rows)]),
        "loosen one of the versions named above, in its layer or in pins",
        wanted,
    )


def machine_index_fails(url: str, why: str) -> XaivaError:
    """An index of the machine's own settings that refuses; `url` without credentials."""
    return XaivaError(
        f"The package index {url} cannot be used",
        why,
        "check this machine's index settings (UV_… and PIP_… variables, pip.conf, .netrc, a keyring), then lock again",
    )


def described(index: Index) -> str:
    """An index by its name and address."""
    return f"index {index.name} ({index.url})" if index.name != LOCAL else "local-wheels"


def _asked_for(wanted: Wanted, named: set[str]) -> dict[str, str]:
    """What layers and pins say of these packages."""
    rows = [*((f"layer {name}", lines) for name, lines in wanted.layers), (PINS, wanted.pins)]
    asked = {place: ", ".join(line for line in lines if name_of(line) in named) for place, lines in rows}
    return {place: text for place, text in asked.items() if text}
