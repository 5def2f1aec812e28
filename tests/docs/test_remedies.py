"""What messages and help name exists: commands with their options, fields of a preset and of a site, pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
from pydantic import BaseModel

from core.cli.app import root
from core.presets.model import Run
from core.site import SiteSettings
from tests.docs.pages import ROOT, Piece, check
from tests.docs.test_commands import command_problem
from tests.docs.texts import help_texts, texts

INTERNAL = {"XAIVA_GIT_TOKEN"}  # of a child process
COMMAND = re.compile(r"(?P<before>^|.)(?:\./)?\bxaiva (?P<words>[^,;:()`\n>|]+)", re.DOTALL)
PROSE = re.compile(r" (?:and|or|then|shows|names|ends|before|in|to|for)\b.*")  # what goes on after a command


def _commands() -> Iterator[tuple[Piece, list[str]]]:
    """Each command line in a message or in the help. Behind a colon or a backquote stands nothing else; elsewhere a
    command's name may be the subject of a sentence."""
    names = set(root.list_commands(click.Context(root)))
    for piece in (*texts(), *help_texts()):
        for match in COMMAND.finditer(piece.text):
            before = piece.text[: match.start("words") - len("xaiva ")].removesuffix("./")
            text = PROSE.sub("", match["words"]).strip().rstrip(".")
            words = shlex.split(text)
            if words and (words[0] in names or before.endswith((": ", "`"))):
                yield piece, [word.replace("……", "…") for word in words]


def test_every_command_in_a_message_can_be_typed() -> None:
    commands = list(_commands())
    assert len(commands) > 60
    check(
        f"{piece.place}: xaiva {' '.join(words)}: {problem}"
        for piece, words in commands
        if (problem := command_problem(words, whole=True)[1])
    )


def test_every_field_of_a_preset_in_a_message_exists() -> None:
    named = [(piece, field) for piece in texts() for field in re.findall(r"\brun\.([a-z_]+(?:\.[a-z_]+)*)", piece.text)]
    assert len(named) > 10
    check(f"{piece.place}: run.{path} is no field" for piece, path in named if not _has(Run, path.split(".")))


def test_every_setting_of_a_site_in_a_message_exists() -> None:
    named = [(piece, *setting) for piece in texts() for setting in re.findall(r"\[([a-z]+)\] ([a-z_]+)", piece.text)]
    assert len(named) > 3
    check(
        f"{piece.place}: [{table}] {key} is no setting"
        for piece, table, key in named
        if not _has(SiteSettings, [table, key])
    )


def _has(model: type[BaseModel], path: list[str]) -> bool:
    field = model.model_fields.get(path[0])
    if field is None or len(path) == 1:
        return field is not None
    inner = field.annotation
    return isinstance(inner, type) and issubclass(inner, BaseModel) and _has(inner, path[1:])


def test_every_page_in_a_message_exists() -> None:
    named = [(piece, page) for piece in texts() for page in re.findall(r"\bdocs/[\w./-]+\.md\b", piece.text)]
    assert named
    check(f"{piece.place}: there is no {page}" for piece, page in named if not (ROOT / page).is_file())


def test_every_variable_in_a_message_is_explained() -> None:
    documented = "".join(path.read_text() for path in (ROOT / "env.template", *(ROOT / "docs").glob("*.md")))
    named = [
        (piece, name)
        for piece in texts()
        for name in re.findall(r"\bXAIVA_[A-Z_]+[A-Z]\b", piece.text)
        if piece.text != name
    ]
    assert named
    check(
        f"{piece.place}: {name} is explained nowhere"
        for piece, name in named
        if name not in documented and name not in INTERNAL
    )
