"""The texts that users read: string literals of the code except docstrings, and the help of the commands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import click

from core.cli.app import root
from tests.docs.pages import ROOT, Piece

FILLED_IN = "…"


def help_texts() -> Iterator[Piece]:
    """The help of each command and option."""
    waiting: list[tuple[str, click.Command]] = [("xaiva", root)]
    while waiting:
        name, command = waiting.pop()
        options = [option.help or "" for option in command.params if isinstance(option, click.Option)]
        yield from (Piece(f"{name} --help", 0, text) for text in [command.help or "", *options])
        if isinstance(command, click.Group):
            context = click.Context(command)
            inner = (
                (subcommand, command.get_command(context, subcommand)) for subcommand in command.list_commands(context)
            )
            waiting += [(f"{name} {one}", command_found) for one, command_found in inner if command_found]


@cache
def texts() -> tuple[Piece, ...]:
    """All texts of `core` and `tui`, with `…` for what is filled in."""
    paths = [path for folder in ("core", "tui") for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(piece for path in paths for piece in _of(path.relative_to(ROOT).as_posix()))


def _of(name: str) -> Iterator[Piece]:
    nodes = list(ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = (str(part.value) if isinstance(part, ast.Constant) else FILLED_IN for part in node.values)
            yield Piece(name, node.lineno, "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | inside:
            yield Piece(name, node.lineno, node.value)
