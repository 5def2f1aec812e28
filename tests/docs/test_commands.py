"""The commands and options in the documentation exist; docs/cli.md names each command."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import pkgutil
import re
from collections.abc import Iterator

import click
import pytest

import benchmarks
from core.cli.app import root
from core.inference.__main__ import main as inference_main
from tests.docs.pages import ROOT, Piece, all_blocks, all_spans, check, page
from tests.docs.shell import PLACEHOLDER, command_lines, of_span

CLI = "docs/cli.md"
FOREIGN_OPTIONS = {  # of programs that the pages speak of: docker, pip, uv, llama-server, FFmpeg's configure, pytest
    "--network", "--no-index", "--find-links", "--require-hashes", "--python-version", "--mmproj", "--enable-…",
    "--snapshot-update", "--hash", "--index-url", "--extra-index-url", "--pre", "--no-binary", "--trusted-host",
}  # fmt: skip
LAUNCHER_OPTIONS = (["--setup"], ["--wheelhouse"])  # those of the script `./xaiva` itself
PROGRAMS = ("xaiva", "./xaiva", "xaiva-inference", "curl", "docker", "make", "python", "sudo")


def command_problem(words: list[str], *, whole: bool) -> tuple[tuple[str, ...], str]:
    """The command of `xaiva` in the words, and click's error about them. `whole`: no argument may be missing."""
    command: click.Command = root
    context = click.Context(root, info_name="xaiva")
    path: tuple[str, ...] = ()
    while True:
        try:
            values, rest, _ = command.make_parser(context).parse_args(list(words))
        except click.UsageError as error:
            return path, error.format_message()
        if not isinstance(command, click.Group):
            return path, _wrong_values(command, context, values, rest, whole=whole)
        if not rest or PLACEHOLDER.fullmatch(rest[0]):
            return path, ""
        inner = command.get_command(context, rest[0])
        if inner is None:
            return path, f"there is no command {' '.join((*path, rest[0]))}"
        path, words, command = (*path, rest[0]), rest[1:], inner
        context = click.Context(command, parent=context, info_name=rest[0])


def _wrong_values(
    command: click.Command, context: click.Context, values: dict[str, object], rest: list[str], *, whole: bool
) -> str:
    if rest:
        return f"one too many: {' '.join(rest)}"
    for parameter in command.params:
        value = values.get(parameter.name or "")
        texts = [text for text in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(text, str)]
        if whole and parameter.required and not texts:
            return f"{parameter.human_readable_name} is missing"
        if texts and not any(map(PLACEHOLDER.fullmatch, texts)):
            try:
                parameter.type_cast_value(context, value)
            except click.UsageError as error:
                return error.format_message()
    return ""


def _inference(*words: str) -> str:
    """The output of the service's command when it starts nothing."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), pytest.raises(SystemExit):
        inference_main([*words, "--help"])
    return output.getvalue()


def _python_problem(words: list[str]) -> str:
    """The problem with the arguments of `python`; empty: none."""
    if words[0] != "-m":
        return "" if words[0].startswith("-") or (ROOT / words[0]).is_file() else f"there is no {words[0]}"
    module, *rest = words[1:]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return f"there is no module {module}"
    if module == "benchmarks":
        rest = [
            name
            for name in rest
            if name not in {module_info.name for module_info in pkgutil.iter_modules(benchmarks.__path__)}
        ]
        return f"there is no benchmark {', '.join(rest)}" if rest and not PLACEHOLDER.fullmatch(rest[0]) else ""
    with open(spec.origin, encoding="utf-8") as file:
        source = file.read()
    options = {word for word in rest if word.startswith("--")} - FOREIGN_OPTIONS
    unknown = [word for word in sorted(options) if f'"{word}"' not in source]
    return f"{module} has no {', '.join(unknown)}" if unknown else ""


def _wrong(words: list[str], *, whole: bool) -> str:
    """The problem with a command line; empty: none, or it is another program's."""
    program, *rest = words
    if program in ("xaiva", "./xaiva"):
        return "" if rest[:1] in LAUNCHER_OPTIONS else command_problem(rest, whole=whole)[1]
    if program == "xaiva-inference":
        problem = _inference(*(word for word in rest if not PLACEHOLDER.fullmatch(word)))
        return problem.splitlines()[-1] if "error: " in problem else ""
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return ", ".join(f"make has no target {word}" for word in rest if word not in targets and "=" not in word)
    if program.rpartition("/")[2] == "python" and rest:
        return _python_problem(rest)
    return ""


def test_every_command_line_is_one() -> None:
    lines = [line for line in command_lines() if line[1]]
    assert len(lines) > 500
    check(
        f"{piece.place}: {' '.join(words)}: {problem}"
        for piece, words, whole in lines
        if (problem := _wrong(words, whole=whole))
    )


def test_command_lines_are_marked_as_such() -> None:
    check(
        f"{block.place}: a block with commands says `sh`, or has a prompt before them"
        for block in all_blocks()
        if not block.language
        and any(line.split()[:1] and line.split()[0] in PROGRAMS for line in block.text.splitlines())
    )


def _all_commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _all_commands(inner, (*path, name))
    else:
        yield path, command


def test_every_option_exists() -> None:
    options = {
        word
        for _, command in _all_commands(root)
        for parameter in command.params
        for word in (*parameter.opts, *parameter.secondary_opts)
    }
    options |= {word for option in root.params for word in option.opts} | {
        "--help",
        *(word for (word,) in LAUNCHER_OPTIONS),
    }
    options |= set(re.findall(r"--[a-z-]+", _inference("serve") + _inference("health")))
    check(
        f"{span.place}: {option}: nothing has this option"
        for span in all_spans()
        if span.text.startswith("--")
        for option in re.findall(r"(?<!\S)--[^\s=\]]+", span.text)
        if option not in options | FOREIGN_OPTIONS
    )


def _named_on_the_page(spans: list[Piece]) -> Iterator[tuple[Piece, list[str]]]:
    """The page of the command line leaves `xaiva` out."""
    names = set(root.list_commands(click.Context(root)))
    for span in spans:
        for words in of_span(span):
            if words and words[0] in names:
                yield span, [word for word in words if word != "…"]


def test_the_page_of_the_command_line_names_no_command_that_is_not_there() -> None:
    named = [
        (span, words, command_problem(words, whole=False)[1]) for span, words in _named_on_the_page(page(CLI).spans)
    ]
    check(f"{span.place}: {' '.join(words)}: {problem}" for span, words, problem in named if problem)


def test_the_table_of_the_command_line_has_every_command() -> None:
    named = _named_on_the_page(page(CLI).table("The command line").column(0))
    assert {path for path, _ in _all_commands(root)} - {
        command_problem(words, whole=False)[0] for _, words in named
    } == set()
