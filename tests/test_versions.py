"""docs/versions.md lists every version number with its place and current value."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\|[^|]+\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$", re.MULTILINE)
PLACES = ROW.findall((ROOT / "docs/versions.md").read_text())


@pytest.mark.parametrize(("file", "name", "now"), PLACES)
def test_the_page_says_what_stands_there(file: str, name: str, now: str) -> None:
    value = _constant(file, name)
    if value is not None:
        assert str(value) == now
    else:
        lines = [line for line in (ROOT / file).read_text().splitlines() if name in line]
        assert any(now in line for line in lines), lines


def test_every_constant_is_on_the_page() -> None:
    modules = [path for top in ("core", "tui") for path in (ROOT / top).rglob("*.py")]
    constants = {(path.relative_to(ROOT).as_posix(), name) for path in modules for name in _versions(path)}
    assert constants
    assert not constants - {(file, name) for file, name, _ in PLACES}


def _constant(file: str, name: str) -> object:
    """A module's constant, or the default of a model's field as `Model.field`; None if it is neither."""
    if not file.endswith(".py"):
        return None
    module = importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    model, _, field = name.partition(".")
    value = getattr(module, model, None)
    return value.model_fields[field].default if field and value is not None else value


def _versions(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name) and target.id.endswith("VERSION"))
