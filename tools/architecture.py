"""The tables of docs/architecture.md and docs/console.md, generated from the code.

The pages hold the calls; `make docs` writes what they return below them.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from core.site_settings import setting_fields
from core.toml import tomllib
from tui.navigation import SCREENS, groups_with_screens
from tui.relatives import RELATIVES

ROOT = Path(__file__).resolve().parents[1]


def floors(package: str) -> str:
    """The modules of a package by floor, from the contract of import-linter; then those that no contract names."""
    layers = _layers(package)
    rows = [
        (str(len(layers) - position), f"`{_path(name)}`", _about(name))
        for position, names in enumerate(layers)
        for name in names
    ]
    named = {name for names in layers for name in names}
    rows += [("", f"`{_path(name)}`", _about(name)) for name in _inside(package) if name not in named]
    return table(("floor", "module", "about"), rows)


def modules(*packages: str) -> str:
    """The modules of these packages. A package inside them is one row, unless it is one of them."""
    names = sorted({name for package in packages for name in _inside(package)} - set(packages))
    start = len(_path(packages[0]))
    return table(("module", "about"), [(f"`{_path(name)[start:]}`", _about(name)) for name in names])


def settings() -> str:
    """The keys of `site.toml`, with their defaults."""
    rows = [(f"`{key}`", f"`{json.dumps(field.default)}`", field.description or "") for key, field in setting_fields()]
    return table(("key", "default", "meaning"), rows)


def screens() -> str:
    """The screens of the console with their keys, by group."""
    rows = [
        (group, f"`{entry.key}`" if entry.key else "", f"`{entry.letter}`", entry.title, entry.help)
        for group, entries in groups_with_screens()
        for entry in entries
    ]
    return table(("group", "key", "letter", "screen", "what it is for"), rows)


def relatives() -> str:
    """Where `o` and `O` lead to from the rows of each screen."""
    rows = [
        (SCREENS[screen].title, found[0].title, ", ".join(f"`{one.letter}` {one.title}" for one in found))
        for screen, found in RELATIVES.items()
    ]
    return table(("screen", "`o`", "`O`, then"), rows)


def errors() -> str:
    """The tree of errors as comment lines: a line for each class with subclasses, followed by those without any."""
    bases: dict[str, list[str]] = {}
    for path in sorted((ROOT / "core").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                bases.setdefault(ast.unparse(base), []).append(node.name)
    return "\n".join(_branch("XaivaError", bases, "# ", "#   ")) + "\n"


def _branch(name: str, bases: dict[str, list[str]], first: str, rest: str) -> Iterator[str]:
    names = sorted(set(bases[name]))
    leaves = ", ".join(leaf for leaf in names if leaf not in bases)
    yield from textwrap.wrap(f"{name}: {leaves}", 118, initial_indent=first, subsequent_indent=f"{rest}  ")
    for branch in names:
        if branch in bases:
            yield from _branch(branch, bases, f"{rest}- ", f"{rest}  ")


def _layers(package: str) -> list[list[str]]:
    """Each floor's modules, the highest floor first."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[dict[str, Any]] = configuration["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        layers = [re.findall(r"[\w.]+", layer) for layer in contract.get("layers", ())]
        if any(name.rpartition(".")[0] == package for names in layers for name in names):
            return layers
    raise LookupError(f"no contract names the floors of {package}")


def _inside(package: str) -> Iterator[str]:
    for path in sorted((ROOT / package.replace(".", "/")).iterdir()):
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file():
            yield f"{package}.{path.stem}"


def _file(name: str) -> Path:
    path = ROOT / name.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _path(name: str) -> str:
    return _file(name).relative_to(ROOT).as_posix().removesuffix("__init__.py")


def _about(name: str) -> str:
    """The first sentence of the module's docstring."""
    docstring = ast.get_docstring(ast.parse(_file(name).read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{_file(name)} has no docstring")
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return re.split(r"(?<=[.?])\s+(?=[A-Z`])", paragraph, maxsplit=1)[0].removesuffix(".")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)
