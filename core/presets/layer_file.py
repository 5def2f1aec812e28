"""Reads a layer's requirement file as pip does, with the files that it includes, and explains what cannot be used."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.errors import os_reason
from core.presets.requirement_text import DirectReference, ParsedLine, UnreadableLine, parse_line

_BYTE_ORDER_MARKS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_CODING = re.compile(rb"^\s*#.*?coding[:=]\s*([-\w.]+)", re.M)
_COMMENT = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True)
class LayerReference:
    """A direct reference and its place: `layers/common.txt line 3`."""

    place: str
    reference: DirectReference


@dataclass(frozen=True)
class FileOption:
    """An option of pip in a requirement file, and its place."""

    place: str
    name: str
    value: str


@dataclass
class LayerFile:
    """The content of a layer's requirement file, and of the files that it includes."""

    requirements: list[str] = field(default_factory=list)
    """PEP 508 requirements that an index may have, in the order of the file."""

    constraints: list[str] = field(default_factory=list)
    """Limits (`-c`) for packages that are required elsewhere."""

    hashes: dict[str, list[str]] = field(default_factory=dict)
    """Package to the SHA-256 values that its file may have."""

    direct_references: list[LayerReference] = field(default_factory=list)
    options: list[FileOption] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Lines that pip cannot read either, as (what, remedy)."""

    @property
    def is_empty(self) -> bool:
        """Whether it has neither requirements nor direct references."""
        return not (self.requirements or self.direct_references)


def read_layer_file(folder: Path, name: str) -> LayerFile:
    """Read the requirement file `name` of the preset folder. Never raises: see `problems` for what is wrong."""
    reader = _Reader(folder)
    reader.read(name, "", [])
    return reader.layer


def layer_from_lines(lines: Iterable[str], place: str) -> LayerFile:
    """The layer of requirements that the preset itself lists, at `place`."""
    reader = _Reader(None)
    for line in lines:
        reader.take(place, line, place, [], constrains=False)
    return reader.layer


def referenced_files(folder: Path, name: str) -> list[str]:
    """A requirement file and those that it includes, as paths in `folder`. Unreadable files are left out."""
    reader = _Reader(folder)
    reader.read(name, "", [])
    return list(reader.files)


def format_places(places: Iterable[str]) -> str:
    """Several places in one text: `layers/common.txt lines 2, 5-7`."""
    lines: dict[str, list[int]] = {}
    for place in places:
        file, _, number = place.rpartition(" line ")
        lines.setdefault(file or place, []).extend([int(number)] if file else [])
    return "; ".join(f"{file} {_format_ranges(numbers)}".rstrip() for file, numbers in lines.items())


def _format_ranges(numbers: Iterable[int]) -> str:
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    texts = [f"{first}-{last}" if last > first else f"{first}" for first, last in ranges]
    word = "line" if len(texts) == 1 and "-" not in texts[0] else "lines"
    return f"{word} {', '.join(texts)}" if texts else ""


class _Reader:
    """Reads a file and those that it includes."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.layer = LayerFile()
        self.files: dict[str, None] = {}

    def read(self, name: str, place: str, within: list[str], constrains: bool = False) -> None:
        """Read a file that the line at `place` includes; `within` are the including files, outermost first."""
        folder = self.folder or Path()
        path = folder / name
        before = f"{place}: " if place else ""
        if name in within:
            self._problem(f"{before}{name} includes itself ({' → '.join([*within, name])})", "remove this line")
        elif not path.resolve().is_relative_to(folder.resolve()):
            remedy = "put a copy of the file into that folder and name it here" if place else ""
            remedy = remedy or "put the file itself there, not a link"
            self._problem(f"{before}{name} is outside the presets folder", remedy)
        else:
            try:
                text = decode(path.read_bytes())
            except OSError as error:
                remedy = "put the requirement file there, or correct the name"
                self._problem(f"{before}{path} cannot be read: {os_reason(error)}", remedy)
            except UnicodeError as error:
                self._problem(f"{before}{path} cannot be read: {error}", "save it as UTF-8 text")
            else:
                self.files[name] = None
                for number, line in requirement_lines(text):
                    self.take(f"{name} line {number}", line, name, [*within, name], constrains)

    def take(self, place: str, text: str, file: str, within: list[str], constrains: bool) -> None:
        """Add one line without comments, found at `place`."""
        try:
            line = parse_line(text)
        except UnreadableLine as error:
            self._problem(f"{place}: {error.what}", error.remedy)
            return
        for option, value in line.options:
            if option in ("--requirement", "--constraint"):
                self._include(place, option, value, file, within, constrains)
            else:
                self.layer.options.append(FileOption(place, option, value))
        self._requirement(place, line, constrains)

    def _include(self, place: str, option: str, value: str, file: str, within: list[str], constrains: bool) -> None:
        if "://" in value:
            self.layer.direct_references.append(LayerReference(place, DirectReference(f"{option} {value}")))
            return
        name = os.path.normpath(Path(file).parent / value.removeprefix("file:"))
        self.read(name, place, within, constrains or option == "--constraint")

    def _requirement(self, place: str, line: ParsedLine, constrains: bool) -> None:
        if line.reference and constrains:
            self.layer.options.append(FileOption(place, "--constraint", line.reference.requirement))
        elif line.reference:
            self.layer.direct_references.append(LayerReference(place, line.reference))
        elif line.requirement:
            requirement = Requirement(line.requirement)
            self._keep_hashes(requirement.name, line.hashes)
            if not constrains:
                self.layer.requirements.append(line.requirement)
            elif requirement.specifier or requirement.url:
                requirement.extras = set()
                self.layer.constraints.append(str(requirement))
        if line.reference and line.reference.file.endswith(".whl"):
            self._keep_hashes(line.reference.name, line.hashes)

    def _keep_hashes(self, package: str, hashes: Iterable[str]) -> None:
        if hashes:
            self.layer.hashes.setdefault(canonicalize_name(package), []).extend(hashes)

    def _problem(self, what: str, remedy: str) -> None:
        self.layer.problems.append((what, remedy))


def decode(data: bytes) -> str:
    """Decode a requirement file: by its byte order mark, by a `coding` comment, else as UTF-8.

    Bytes of another encoding are mostly in comments: they are read as Latin-1, and a requirement that contains one is
    rejected with its line. Raises UnicodeError for data that is not text.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding).removeprefix("\ufeff")
    if b"\0" in data:
        raise UnicodeError("it is not text, or UTF-16 without a byte order mark")
    coding = _CODING.search(b"\n".join(data.splitlines()[:2]))
    try:
        return data.decode(coding[1].decode() if coding else "utf-8")
    except (UnicodeDecodeError, LookupError):
        return data.decode("latin-1")


def requirement_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines without comments and empty ones; lines joined by `\\` are one, with the number of the first."""
    begun: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        is_comment = line.lstrip().startswith("#")
        first = first if begun else number
        begun.append(" " + line if is_comment else line)  # a comment ends a joined line, as in pip
        if line.endswith("\\") and not is_comment:
            begun[-1] = line.strip("\\")
            continue
        yield from _without_comment(first, "".join(begun))
        begun = []
    if begun:
        yield from _without_comment(first, "".join(begun))


def _without_comment(number: int, line: str) -> Iterator[tuple[int, str]]:
    line = _COMMENT.sub("", line).strip()
    if line:
        yield number, line
