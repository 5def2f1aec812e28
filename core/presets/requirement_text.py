"""Parses one line of a requirement file as pip does: a requirement or an address, and options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from core.presets.requirement_remedies import remedy_of

# Options of a requirement file: those with a value, and switches.
_SHORT = {"-i": "--index-url", "-f": "--find-links", "-r": "--requirement", "-c": "--constraint", "-e": "--editable"}
_OPTION_ALIASES = {"--pypi-url": "--index-url", "--requirements": "--requirement", "--constraints": "--constraint"}
_OPTION_ALIASES |= {"--config-setting": "--config-settings"}
_WITH_VALUE = frozenset(
    [
        *("--index-url", "--extra-index-url", "--find-links", "--requirement", "--constraint", "--editable"),
        *("--no-binary", "--only-binary", "--trusted-host", "--use-feature"),
        *("--hash", "--config-settings", "--global-option", "--build-option", "--install-option"),
    ]
)
_SWITCHES = frozenset(["--no-index", "--pre", "--prefer-binary", "--require-hashes"])
BUILD_OPTIONS = frozenset(["--config-settings", "--global-option", "--build-option", "--install-option"])
_LONG = sorted({*_WITH_VALUE, *_SWITCHES, *_OPTION_ALIASES})

_NAMED_BEFORE = r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?P<extras>\[[^\]]*\])?\s*@\s*"
_NAMED = re.compile(rf"{_NAMED_BEFORE}(?P<address>\S.*)")
_SCHEME = re.compile(r"(?:(?:git|hg|svn|bzr)\+)?[a-z][a-z0-9+.-]*:", re.I)
_ARCHIVE = re.compile(r"\.(?:whl|zip|tar|tgz|tbz|txz|tar\.(?:gz|bz2|xz|lz|lzma))$", re.I)
_PATH = re.compile(r"\.{1,2}[/\\]|[/~]|[A-Za-z]:[/\\]|[\w.-]+/[\w./-]+(?:#\S*)?$")
_SCP = re.compile(r"(?<![\w+])git\+([\w.-]+@[\w.-]+):(?!//)")
_SSH_PORT = re.compile(r"(git\+ssh://[\w.@-]+):(?=[^\d/])")  # a path, as in `git@host:path`, not a port
_WITH_SCHEME = re.compile(
    rf"(?:{_NAMED_BEFORE})?(?:(?P<scheme>[a-z][a-z0-9+.-]+)://|[\w.-]+@[\w.-]+\.\w+:[^/\d])", re.I
)
_READ_SCHEME = re.compile(r"https?|ftp|file|(?:git|hg|svn|bzr)\+[a-z+-]+", re.I)
_BACKSLASH = re.compile(r"\\(?=[\w.])")  # in a Windows path; elsewhere it quotes
_EXTRAS = re.compile(r"(?P<address>.*[^\]])(?P<extras>\[[^\[\]]+\])")
_EGG = re.compile(r"(?:^|&)egg=([A-Za-z0-9][\w.-]*)(?:\[([^\]]*)\]|%5B([^%]*)%5D)?", re.I)
_SHA256 = re.compile(r"(?:^|&)sha256=([0-9a-f]{64})", re.I)
ENV_REFERENCE = re.compile(r"\$\{[A-Z0-9_]+\}")


class UnreadableLine(ValueError):
    """A line that pip cannot read either: what is wrong with it, and how to correct it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True)
class DirectReference:
    """A requirement that names an address or a path. `name` is empty when it cannot be told from the line."""

    address: str
    name: str = ""
    extras: str = ""
    marker: str = ""

    @property
    def file(self) -> str:
        """The last segment of the address."""
        return re.split(r"[/\\]", unquote(urlsplit(self.address).path))[-1]

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel that anybody can download: over HTTP and without a login."""
        parts = urlsplit(self.address)
        return parts.scheme in ("http", "https") and "@" not in parts.netloc and self.file.endswith(".whl")

    @property
    def requirement(self) -> str:
        """The PEP 508 text; the address alone when the name is not known."""
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{self.extras} @ {self.address}{marker}" if self.name else self.address


@dataclass(frozen=True)
class ParsedLine:
    """A parsed line. It has at most one of `requirement` and `reference`."""

    requirement: str = ""
    """PEP 508: from an index, or a wheel that anybody can download."""

    reference: DirectReference | None = None
    """Any other requirement with an address."""

    hashes: tuple[str, ...] = ()
    """SHA-256 values that the file may have."""

    options: list[tuple[str, str]] = field(default_factory=list)
    """The other options, as (option, value)."""


def parse_line(text: str) -> ParsedLine:
    """Parse one line without comments. Raises UnreadableLine."""
    head, options = _split_options(text)
    hashes = [_sha256(value) for option, value in options if option == "--hash"]
    editable = [value for option, value in options if option == "--editable"]
    options = [(option, value) for option, value in options if option not in ("--hash", "--editable")]
    requirement = head or "".join(editable[:1])
    if not requirement:
        return ParsedLine(options=options)
    reference = _parse_reference(requirement, bool(editable))
    if reference is None and ENV_REFERENCE.search(requirement):
        return ParsedLine(reference=DirectReference(requirement), options=options)
    if reference is None:
        return ParsedLine(_checked_requirement(requirement), hashes=tuple(hashes), options=options)
    hashes += [match.lower() for match in _SHA256.findall(urlsplit(reference.address).fragment)]
    if reference.is_wheel and reference.name and not ENV_REFERENCE.search(requirement):
        wheel = DirectReference(reference.address.partition("#")[0], reference.name, reference.extras, reference.marker)
        return ParsedLine(_checked_requirement(wheel.requirement), hashes=tuple(hashes), options=options)
    return ParsedLine(reference=reference, hashes=tuple(hashes), options=options)


def _split_options(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The text before the first option, and the options."""
    start = re.search(r"(?:^|\s)(?=-)", text)
    if start is None:
        return text.strip(), []
    try:
        words = shlex.split(_BACKSLASH.sub(r"\\\\", text[start.end() :]))
    except ValueError as error:
        raise UnreadableLine(f"{text!r} has options that cannot be read ({error})", "close the quotes") from None
    return text[: start.start()].strip(), list(_options(text, iter(words)))


def _options(text: str, words: Iterator[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        if not word.startswith("-"):
            remedy = "write the requirement before its options, each requirement on a line of its own"
            raise UnreadableLine(f"{text!r} has {word!r} after an option", remedy)
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            name, value = word[:2], word[2:].removeprefix("=")
            equals = value
        option = _find_option(name, text)
        if option in _WITH_VALUE and not equals:
            value = next(words, "")
        if option in _WITH_VALUE and not value:
            raise UnreadableLine(f"{text!r}: the option {name} has no value", "write its value after it, or remove it")
        yield option, value


def _find_option(name: str, text: str) -> str:
    """The full name of an option; as in pip, an unambiguous prefix is enough."""
    matches = [_SHORT[name]] if name in _SHORT else [name] if name in _LONG else []
    matches = matches or [option for option in _LONG if len(name) > 2 and option.startswith(name)]
    options = {_OPTION_ALIASES.get(option, option) for option in matches}
    if len(options) != 1 and name == "-":
        raise UnreadableLine(f"{text!r} is not a requirement", remedy_of(text))
    if len(options) != 1:
        remedy = "remove it: pip and uv do not accept it in a requirement file either"
        raise UnreadableLine(f"{text!r}: there is no option {name}", remedy)
    return options.pop()


def _sha256(value: str) -> str:
    kind, _, digest = value.partition(":")
    if kind != "sha256" or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        remedy = "write --hash=sha256:… with what `pip hash FILE` prints: a lock knows files by their SHA-256 alone"
        raise UnreadableLine(f"the hash {value!r} is not a SHA-256", remedy)
    return digest.lower()


def _parse_reference(text: str, editable: bool) -> DirectReference | None:
    """The requirement of an address or a path; None for one from an index."""
    text = _SSH_PORT.sub(r"\1/", _SCP.sub(r"git+ssh://\1/", text))
    if editable and re.match(r"(?:git|hg|svn|bzr)://", text, re.I):
        text = f"{text.partition(':')[0]}+{text}"  # pip reads this form only after --editable
    scheme = _WITH_SCHEME.match(text)
    if scheme and not _READ_SCHEME.fullmatch(scheme["scheme"] or ""):
        raise UnreadableLine(f"{text!r} has an address that pip cannot read", remedy_of(text))
    named = _NAMED.fullmatch(text)
    if named and (_SCHEME.match(named["address"]) or _is_path(named["address"].partition(";")[0].strip())):
        address, _, marker = named["address"].partition(";")
        extras = re.sub(r"\s", "", named["extras"] or "")
        return DirectReference(address.strip(), canonicalize_name(named["name"]), extras, _marker(marker, text))
    is_address = re.match(rf"{_SCHEME.pattern}//|file:|(?:git|hg|svn|bzr)\+", text, re.I)
    address, _, marker = text.partition("; " if is_address else ";")
    address = address.strip()
    path = _EXTRAS.fullmatch(address)
    location = path["address"] if path else address
    if not (is_address or _is_path(location) or (editable and address)):
        return None
    if "#egg=" in address.lower() and path:
        location, path = address, None
    return _with_name(DirectReference(location, extras=path["extras"] if path else "", marker=_marker(marker, text)))


def _is_path(text: str) -> bool:
    return bool(text in (".", "..") or _PATH.match(text) or _ARCHIVE.search(text))


def _with_name(reference: DirectReference) -> DirectReference:
    """The same with the name from the fragment or the wheel's file name."""
    parts = urlsplit(reference.address)
    if egg := _EGG.search(parts.fragment):
        fragment = "&".join(part for part in parts.fragment.split("&") if not part.lower().startswith("egg="))
        address = reference.address.partition("#")[0] + (f"#{fragment}" if fragment else "")
        extras = egg[2] or egg[3] or ""
        return DirectReference(address, canonicalize_name(egg[1]), f"[{extras}]" if extras else "", reference.marker)
    try:
        name = str(parse_wheel_filename(reference.file)[0])
    except InvalidWheelFilename:
        return reference
    return DirectReference(reference.address, name, reference.extras, reference.marker)


def _marker(text: str, line: str) -> str:
    text = text.strip()
    try:
        return str(Marker(text)) if text else ""
    except InvalidMarker as error:
        first = str(error).splitlines()[0].rstrip(". ")
        raise UnreadableLine(f"{line!r} has a marker that cannot be read ({first})", remedy_of(line)) from None


def _checked_requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        first = str(error).splitlines()[0].rstrip(". ")
        raise UnreadableLine(f"{text!r} is not a requirement ({first})", remedy_of(text)) from None
    return text
