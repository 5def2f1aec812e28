"""What the checks work on: a preset with its requirements parsed, its machine, and helpers that make findings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from core.findings import Finding, Level
from core.presets.compat.facts import Facts
from core.presets.compat.machine import TargetMachine
from core.presets.compat.rows import SystemRow, TorchRow, WheelTagRow
from core.presets.compat.wheels import wheel_cuda, wheel_tag
from core.presets.model import Preset


@dataclass(frozen=True)
class Wish:
    """One requirement of a layer or one pin; `where` names the field."""

    requirement: Requirement
    where: str

    @property
    def name(self) -> str:
        """The package's canonical name."""
        return canonicalize_name(self.requirement.name)


@dataclass(frozen=True)
class Subject:
    """A preset, the requirement lines of its layers, its machine, and what follows from them."""

    preset: Preset
    wishes: tuple[Wish, ...]
    facts: Facts
    target: TargetMachine | None = None

    @property
    def tag(self) -> str:
        """The PyTorch wheel tag, `cu126`; empty for none."""
        return wheel_tag(self.preset, self.facts)

    @property
    def tag_row(self) -> WheelTagRow | None:
        """The table's row of that tag."""
        return self.facts.wheel_tags.get(self.tag)

    @property
    def torch_row(self) -> TorchRow | None:
        """The table's row of the preset's torch."""
        return self.facts.torch_row(self.preset.pytorch.version) if self.preset.pytorch else None

    @property
    def wheel_cuda(self) -> str:
        """The CUDA version inside the PyTorch wheels; empty for none."""
        return wheel_cuda(self.preset, self.facts)

    @property
    def base_cuda(self) -> str:
        """The CUDA version of the base image, first two parts; empty for none."""
        return ".".join(self.preset.cuda_of_base.split(".")[:2])

    @property
    def cuda(self) -> str:
        """The newest CUDA the driver has to carry; empty when nothing in the preset uses one."""
        return max((version for version in (self.wheel_cuda, self.base_cuda) if version), key=Version, default="")

    @property
    def system(self) -> SystemRow | None:
        """The distribution of the base image, as its name tells."""
        image = self.preset.base_image.lower()
        plain = re.sub(r"[^a-z0-9.]", "", image)
        for row in self.facts.systems.values():
            if row.key in plain or any(name in image for name in row.names):
                return row
        return None

    def wish(self, *names: str) -> Wish | None:
        """The first requirement of one of these packages (not the pins)."""
        wanted = {canonicalize_name(name) for name in names}
        return next((wish for wish in self.wishes if wish.name in wanted and not wish.where.startswith("pins")), None)

    def constraints(self, name: str) -> list[Wish]:
        """Every requirement and pin of a package."""
        return [wish for wish in self.wishes if wish.name == canonicalize_name(name)]


class Check(Protocol):
    """A pure function over data: the same input gives the same findings, in the same order."""

    def __call__(self, subject: Subject) -> list[Finding]:
        """Look at one thing."""


def parse_wishes(layers: list[tuple[str, list[str]]], pins: list[str]) -> tuple[Wish, ...]:
    """Requirements of (layer, lines) and pins; a line that cannot be read is left out."""
    wishes = []
    for where, lines in [*((f"layers: {name}", lines) for name, lines in layers), ("pins", pins)]:
        for line in lines:
            try:
                wishes.append(Wish(Requirement(line), where))
            except InvalidRequirement:
                continue
    return tuple(wishes)


def error(code: str, what: str, why: str, remedy: str, where: str = "", source: str = "") -> Finding:
    """This will not work."""
    return Finding(level=Level.ERROR, code=code, what=what, why=why, remedy=remedy, where=where, source=source)


def warning(code: str, what: str, why: str, remedy: str, where: str = "", source: str = "") -> Finding:
    """This may not work, or nobody knows."""
    return Finding(level=Level.WARNING, code=code, what=what, why=why, remedy=remedy, where=where, source=source)


def note(code: str, what: str, why: str = "", remedy: str = "", where: str = "", source: str = "") -> Finding:
    """Good to know."""
    return Finding(level=Level.NOTE, code=code, what=what, why=why, remedy=remedy, where=where, source=source)


def listed(words: list[str], joint: str = "or") -> str:
    """`a, b or c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {joint} {words[-1]}"
