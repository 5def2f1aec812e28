"""Finds the steps of a Dockerfile that would use a network.

`--network none` affects only `RUN`: the engine itself still downloads `FROM`, `# syntax=` and `ADD https://…`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from core.download_commands import find_downloads
from core.findings import Finding, Level

_REMOTE = re.compile(r"(?i)^(https?|ftp|git|ssh)://|^git@|\.git(#|$)")
_HEREDOC = re.compile(r"<<-?\s*([\"']?)(\w+)\1")
_VARIABLE = re.compile(r"\$\{?(\w+)(?::-([^}]*))?\}?")
_ASSIGNMENT = re.compile(r"""(\w+)=("[^"]*"|'[^']*'|\S*)""")
_DIRECTIVE = re.compile(r"^#\s*(\w+)\s*=\s*(\S+)")
# Instructions that run in the container: the build succeeds, but the container waits for a network.
_RUN_TIME_INSTRUCTIONS = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


@dataclass
class Instruction:
    """One instruction: the `line` where it starts (from 1), its `word` in capitals, `text` with joined lines."""

    line: int
    word: str
    text: str
    flags: dict[str, str] = field(default_factory=dict)


def lint_dockerfile(
    text: str, *, image_present: Callable[[str], bool] | None = None, file_name: str = "Dockerfile"
) -> list[Finding]:
    """Findings about the Dockerfile `text`: an error for a step that needs a network, a warning for a container.

    `image_present` says whether the engine has an image; without it every image counts as present.
    """
    findings = [*_directives(text, file_name)]
    stages: set[str] = set()
    arguments: dict[str, str] = {}
    for step in parse_instructions(text):
        for what, why, remedy in _check_instruction(step, stages, arguments, image_present or (lambda _: True)):
            location = f"{file_name}:{step.line}"
            level = Level.WARNING if step.word in _RUN_TIME_INSTRUCTIONS else Level.ERROR
            findings.append(
                Finding(level=level, code="lint-network", what=what, why=why, remedy=remedy, where=location)
            )
    return findings


def _directives(text: str, file_name: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        match = _DIRECTIVE.match(line)
        if not match:
            return  # parser directives are only at the top
        if match[1].lower() == "syntax":
            yield Finding.error(
                code="lint-syntax",
                what=f"# syntax={match[2]}",
                why="the engine fetches that frontend from a registry",
                remedy="remove the line; the engine's own frontend is sufficient",
                where=f"{file_name}:{number}",
            )


def parse_instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, with joined lines, without comments, with here-documents."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        start = at
        parts: list[str] = []
        while at < len(lines):
            line = lines[at].strip()
            at += 1
            if line.startswith("#") or (not line and parts):
                continue
            start = start if parts else at
            parts.append(line.removesuffix("\\"))
            if not line.endswith("\\"):
                break
        joined = " ".join(part.strip() for part in parts)
        for _, delimiter in _HEREDOC.findall(joined):
            while at < len(lines) and lines[at].strip() != delimiter:
                joined += "\n" + lines[at]
                at += 1
            at += 1
        word, _, rest = joined.partition(" ")
        if word:
            yield _parse_instruction(start, word.upper(), rest.strip())


def _parse_instruction(line: int, word: str, rest: str) -> Instruction:
    flags: dict[str, str] = {}
    mounts: list[str] = []
    while match := re.match(r"--([a-z-]+)(?:=(\S+))?\s+", rest):
        name, value = match[1], match[2] or ""
        mounts.append(value) if name == "mount" else flags.update({name: value})
        rest = rest[match.end() :]
    if mounts:
        flags["mount"] = "\n".join(mounts)
    return Instruction(line, word, rest, flags)


Problem = tuple[str, str, str]


def _check_instruction(
    step: Instruction, stages: set[str], arguments: dict[str, str], image_present: Callable[[str], bool]
) -> Iterator[Problem]:
    if step.word in ("ARG", "ENV"):
        for name, value in _ASSIGNMENT.findall(step.text):
            arguments[name] = expand_variables(value.strip("\"'"), arguments)
    elif step.word == "FROM":
        words = step.text.split()
        yield from _check_image(words[0] if words else "", f"FROM {step.text}", stages, arguments, image_present)
        if len(words) == 3:
            stages.add(words[2].lower())
    elif step.word in ("COPY", "ADD"):
        if source := step.flags.get("from"):
            yield from _check_image(source, f"{step.word} --from={source}", stages, arguments, image_present)
        for word in re.findall(r"[^\s\"',\[\]]+", step.text) if step.word == "ADD" else ():
            if _REMOTE.search(expand_variables(word, arguments)):
                yield (
                    f"ADD {word}",
                    "the engine downloads it",
                    "add it to the sources of the preset and COPY it from sources/",
                )
    elif step.word == "RUN":
        for mount in step.flags.get("mount", "").splitlines():
            options = dict(part.partition("=")[::2] for part in mount.split(","))
            if source := options.get("from", ""):
                yield from _check_image(source, f"RUN --mount from={source}", stages, arguments, image_present)
        if step.flags.get("network", "none") not in ("none", "default"):
            yield f"RUN --network={step.flags['network']}", "the step would have a network", "remove the flag"
    if step.word in ("RUN", *_RUN_TIME_INSTRUCTIONS):
        text = step.text.removeprefix("CMD").strip() if step.word == "HEALTHCHECK" else step.text
        for command, why, remedy in find_downloads(text, on_site=step.word in _RUN_TIME_INSTRUCTIONS):
            yield f"{step.word} {command}", why, remedy


def _check_image(
    name: str, what: str, stages: set[str], arguments: dict[str, str], image_present: Callable[[str], bool]
) -> Iterator[Problem]:
    image = expand_variables(name, arguments)
    if image.lower() in stages or image == "scratch" or image.isdigit():
        return
    if not image or "$" in image:
        yield what, "which image it means is not known before the build", "name the image"
    elif not image_present(image):
        yield what, "the engine does not have that image and would ask a registry", "load it: xaiva load PRESET"


def expand_variables(text: str, arguments: Mapping[str, str]) -> str:
    """The text with the variables that are known in place; an unknown one stays unless it has a default."""
    return _VARIABLE.sub(lambda m: arguments.get(m[1]) or m[2] or m[0], text)
