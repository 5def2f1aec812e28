"""Parses shell text: which programs it starts, and with which arguments.

Quotes, comments and here-documents are parsed as a shell does, and programs that start another one (`sudo`, `env`,
`sh -c`, `xargs`) are followed. Variables and patterns are not expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from typing import NamedTuple


class Call(NamedTuple):
    """A started program: its name without a folder, its arguments, and the text of the command."""

    name: str
    arguments: list[str]
    text: str


_QUOTED = r"'[^']*'|\"(?:[^\"\\]|\\.)*\""
_TOKENS = re.compile(
    r"(?P<comment>(?<![^\s;&|(])#[^\n]*)"
    r"|(?P<redirection>\d*[<>]+&?[\d-]?|&>>?)"
    r"|(?P<end>\$\(|[\n;&|()`])"
    rf"|(?P<word>(?:\\.|{_QUOTED}|\$\{{[^}}]*\}}|\$(?!\()|[^\s;&|()<>`'\"\\$])+)",
    re.DOTALL,
)
_QUOTING = re.compile(rf"{_QUOTED}|\\.", re.DOTALL)
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")
_HERE_DOCUMENT = re.compile(r"(?<!<)<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_ASSIGNMENT = re.compile(r"\w+=")
_KEYWORDS = frozenset({"if", "then", "elif", "else", "do", "while", "until", "!", "{", "}", "time"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "su", "runuser"})
_STARTERS = frozenset(
    {"sudo", "doas", "env", "exec", "command", "nohup", "nice", "ionice", "timeout", "stdbuf", "setsid", "xargs"}
    | {"parallel", "watch", "chroot", "gosu", "su-exec", "tini", "dumb-init", "busybox", "strace", "eatmydata"}
)
_RUNNERS = frozenset({"poetry", "pipenv", "pdm", "rye", "conda", "mamba", "micromamba"})  # `poetry run PROGRAM`
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_ECHOES = frozenset({"echo", "printf"})


def parse_calls(text: str) -> Iterator[Call]:
    """The programs that shell text starts; a here-document for Python is a call with the code as text."""
    shell, codes = _here_documents(text.replace("\\\n", " "))
    for command, words in _commands(shell):
        yield from parse_words(words, command)
    for code in codes:
        yield Call("python", [], code)


def parse_words(words: Sequence[str], text: str = "") -> Iterator[Call]:
    """The programs that one command starts, including itself; `words` are without quotes."""
    text = text or " ".join(words)
    words = list(dropwhile(_ASSIGNMENT.match, words))
    if not words:
        return
    name, arguments = _name(words[0]), words[1:]
    if name in _RUNNERS and arguments[:1] == ["run"]:
        name, arguments = "env", arguments[1:]
    if name in _SHELLS:
        script = next(
            (index for index, word in enumerate(arguments) if re.fullmatch(r"-[a-z]*c", word)), len(arguments)
        )
        yield from parse_calls(" ".join(arguments[script + 1 : script + 2]))
    elif name == "eval":
        yield from parse_calls(" ".join(arguments))
    elif name in _STARTERS and not (name == "command" and arguments[:1] in (["-v"], ["-V"])):
        yield from _parse_wrapped([*arguments, "{}"] if name == "xargs" else arguments, text)
    elif name == "find":
        for at, word in enumerate(arguments):
            if word in ("-exec", "-execdir", "-ok"):
                yield from parse_words(arguments[at + 1 :], text)
    elif _PYTHON.fullmatch(name) and "-m" in arguments[:-1]:
        at = arguments.index("-m") + 1
        yield Call(arguments[at], arguments[at + 1 :], text)
    else:
        yield Call(name, arguments, text)


def _parse_wrapped(arguments: list[str], text: str) -> Iterator[Call]:
    """The program that `sudo` and its like start; an option's value, a time, a user or a folder may come before it."""
    places = [index for index, word in enumerate(arguments) if not _ASSIGNMENT.match(word) and word[:1] != "-"]
    while places and _name(arguments[places[0]]) in _STARTERS:
        del places[0]
    for at in places[:2]:
        yield from parse_words(arguments[at:], text)
        if _name(arguments[at]) in _ECHOES:
            return


def _name(word: str) -> str:
    return word.rpartition("/")[2]


def _commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a text, and its words without quotes."""
    words: list[str] = []
    start = 0
    for token in _TOKENS.finditer(text):
        kind = token.lastgroup
        if kind in ("end", "comment"):
            if words:
                yield text[start : token.start()].strip(), words
            words = []
        elif kind == "word" and (words or token[0] not in _KEYWORDS):
            start = start if words else token.start()
            words.append(_QUOTING.sub(_unquoted, token[0]))
            for quoted in re.findall(_QUOTED, token[0], re.DOTALL):
                for inner in _SUBSTITUTION.findall(quoted) if quoted.startswith('"') else ():
                    yield from _commands("".join(inner))
    if words:
        yield text[start:].strip(), words


def _unquoted(match: re.Match[str]) -> str:
    part = match[0]
    if part.startswith("'"):
        return part[1:-1]
    return re.sub(r'\\([\\"$`])', r"\1", part[1:-1]) if part.startswith('"') else part[1:]


def _here_documents(text: str) -> tuple[str, list[str]]:
    """The text without here-documents that no shell reads, and the here-documents that Python reads."""
    shell: list[str] = []
    codes: list[list[str]] = []
    end, body = "", shell
    for line in text.split("\n"):
        if end:
            end = "" if line.strip() == end else end
            body.extend([line] if end else [])
            continue
        shell.append(line)
        if match := _HERE_DOCUMENT.search(line):
            end, body = match[2], []
            readers = _readers(line)
            if not readers or readers & _SHELLS:
                body = shell
            elif any(_PYTHON.fullmatch(name) for name in readers):
                codes.append(body)
    return "\n".join(shell), ["\n".join(lines) for lines in codes]


def _readers(line: str) -> set[str]:
    """The program names on a line with a here-document, one of which reads it; empty if the Dockerfile's shell does."""
    return {_name(word) for _, words in _commands(_HERE_DOCUMENT.sub("", line)) for word in words}
