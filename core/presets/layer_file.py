"""Parses a layer's requirement file and explains its errors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from core.presets.fields import requirement_problem


@dataclass
class LayerFile:
    """`requirements` in the order of the file, without comments; `problems` as (what, remedy)."""

    requirements: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def read_layer_file(folder: Path, name: str) -> LayerFile:
    """Read the requirement file `name` of the preset folder. Never raises: what is wrong is in `problems`."""
    path = folder / name
    found = LayerFile()
    if not path.resolve().is_relative_to(folder.resolve()):
        found.problems.append((f"{name} leads out of the folder of presets", "put the file itself there, not a link"))
        return found
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        found.problems.append((f"{path} cannot be read: {why}", "put the requirement file there, or correct the name"))
        return found
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if not line:
            continue
        found.requirements.append(line)
        if problem := requirement_problem(line):
            found.problems.append((f"{name} line {number}: {problem[0]}", problem[1]))
    if not found.requirements:
        found.problems.append((f"{name} has no requirement in it", "list at least one package, or remove the layer"))
    return found
