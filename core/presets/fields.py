"""The field types of a preset. Each rejects a bad value with a remedy that says what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from core.presets.requirement_remedies import remedy_of
from core.presets.requirement_text import BUILD_OPTIONS, UnreadableLine, parse_line

NAME_PATTERN = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"
_LAYER_NAME_PATTERN = r"^[a-z][a-z0-9]*((\.|_|__|-+)[a-z0-9]+)*$"
PACKAGE_PATTERN = r"^[A-Za-z0-9*]([A-Za-z0-9._*-]*[A-Za-z0-9*])?$"  # a package's name; * stands for any text
_SHELL_CHARACTERS = re.compile(r"""[\s;|&$`<>"'(){}\\*?!#]""")
_IMAGE_PATTERN = (
    r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)

# Stage names of the Dockerfile and of build progress; a layer with such a name would hide one of them.
RESERVED_LAYERS = frozenset(
    [
        "base",
        "builder",
        "built",
        "context",
        "debs",
        "dev",
        "export",
        "ffmpeg",
        "load",
        "nv-codec-headers",
        "opencv",
        "python",
        "pytorch",
        "runtime",
        "scratch",
        "service",
        "smoke",
        "system",
        "tensorrt",
        "toolchain",
        "xaiva-media",
    ]
)


def field_error(what: str, remedy: str, *field: str | int) -> PydanticCustomError:
    """The error that a validator raises: `what` is wrong, and the `remedy` for it.

    `field` is the path from the validated value to the part that is wrong: `(1, "name")`.
    """
    return PydanticCustomError("preset", "{what}", {"what": what, "remedy": remedy, "field": field})


def _pattern(pattern: str, what: str, remedy: str) -> tuple[AfterValidator, object]:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise field_error(f"{text!r} {what}", remedy)
        return text

    return AfterValidator(check), Field(json_schema_extra={"pattern": pattern})


def _checked(check: Callable[[str], None]) -> AfterValidator:
    def run(text: str) -> str:
        check(text)
        return text

    return AfterValidator(run)


def _check_name(text: str) -> None:
    if not re.fullmatch(NAME_PATTERN, text) or len(text) > 63:
        raise field_error(
            f"{text!r} cannot be a name", "use small letters and digits, with single . _ or - between them, up to 63"
        )


def _check_layer_name(text: str) -> None:
    if text in RESERVED_LAYERS:
        raise field_error(f"{text!r} is the name of a build stage", f"call it something else, for example {text}-extra")
    if not re.fullmatch(_LAYER_NAME_PATTERN, text) or len(text) > 63:
        raise field_error(
            f"{text!r} cannot be a layer name",
            "begin with a small letter; then small letters and digits, with single . _ or - between them, up to 63",
        )


def _check_image(text: str) -> None:
    if shell := _SHELL_CHARACTERS.search(text):
        raise field_error(
            f"{text!r} contains {shell.group()!r}, which an image name cannot contain",
            'give only the image, for example "nvidia/cuda:12.6.3-cudnn-devel-ubuntu22.04"',
        )
    if re.fullmatch(_IMAGE_PATTERN, text) and len(text) <= 255:
        return
    if re.fullmatch(_IMAGE_PATTERN, text.lower()):
        raise field_error(f"{text!r} has capital letters in its name", f'write "{_lower_repository(text)}"')
    raise field_error(f"{text!r} is not an image name", 'write [registry/]name:tag, for example "debian:bookworm-slim"')


def _lower_repository(text: str) -> str:
    head, slash, last = text.rpartition("/")
    name, colon, tag = last.partition(":")
    return f"{head.lower()}{slash}{name.lower()}{colon}{tag}"


def _check_version(text: str) -> None:
    try:
        Version(text)
    except InvalidVersion:
        raise field_error(f"{text!r} is not a version", f"write one exact version, {_guess_version(text)}") from None


def _guess_version(text: str) -> str:
    match = re.search(r"\d+(\.\d+)+(\+\w+)?", text)
    return f'perhaps "{match.group()}"' if match else 'for example "2.7.1"'


def _check_optional_version(text: str) -> None:
    if text:
        _check_version(text)


def _check_requirement(text: str) -> None:
    try:
        line = parse_line(text)
    except UnreadableLine as error:
        raise field_error(error.what, error.remedy) from None
    if line.reference and urlsplit(line.reference.address).password:
        raise field_error(
            "the address of a requirement contains a password or token",
            "remove it; if it is needed, build the wheel and put it into local-wheels of the artifacts",
        )
    for option, _ in line.options:
        if option not in BUILD_OPTIONS:
            raise field_error(
                f"{text!r} has the option {option} of pip",
                "list packages only; indexes go into `indexes`, versions into `pins`, other files into layers of "
                "their own",
            )


def _check_pin(text: str) -> None:
    if text.startswith("-"):
        raise field_error(f"{text!r} is an option of pip", "list names with their version ranges only")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise field_error(f"{text!r} is not a pin", f"a pin is a name and a version range: {remedy_of(text)}") from None
    if requirement.extras or requirement.url or requirement.specifier == SpecifierSet():
        raise field_error(f"{text!r} pins nothing", 'a pin is a name and a version range, as in "numpy>=1.26.4,<2"')


def _check_package_pattern(text: str) -> None:
    if not re.fullmatch(PACKAGE_PATTERN, text):
        raise field_error(
            f"{text!r} is not the name of a package",
            'write the name alone, or with * for a group: "six", "ours-*"; versions go into `pins`',
        )


def _check_http(text: str) -> None:
    if not text:
        return
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)
    except ValueError:
        usable = False
    if not usable:
        raise field_error(f"{text!r} is not an http(s) address", 'write "https://host/path"')
    if parts.username or parts.password:
        raise field_error(
            "the address contains a user or a token", "put the token into .env and give its name as `token_variable`"
        )


def _check_git(text: str) -> None:
    if not text:
        return
    if re.match(r"^(https?|ssh)://[^\s:@/]+:[^\s@/]+@", text):
        raise field_error(
            "the address contains a token", "put the token into .env and give its name as `token_variable`"
        )
    if not re.fullmatch(r"^((https?|ssh|git)://[^\s]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s]+)$", text):
        raise field_error(f"{text!r} is not a git address", 'write "https://host/owner/name.git"')


def _check_ref(text: str) -> None:
    if text and (not re.fullmatch(r"^[A-Za-z0-9][A-Za-z0-9._/+-]*$", text) or ".." in text):
        raise field_error(f"{text!r} is not a branch, tag or commit", 'write its name, for example "master" or "v1.2"')


def _check_no_control(text: str) -> None:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise field_error(f"{text!r} contains a control character", "leave it out")


def _check_layer_file(text: str) -> None:
    if not text:
        return
    _check_no_control(text)
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text:
        raise field_error(
            f"{text!r} is outside the presets folder", 'put the file beside the preset: "layers/common.txt"'
        )


def _check_destination(text: str) -> None:
    _check_no_control(text)
    path = PurePosixPath(text)
    outside = ".." in path.parts or path.parts[:2] != ("/", "models") or len(path.parts) < 3
    if outside or text.endswith("/") or re.search(r'["\\$]', text):
        raise field_error(f"{text!r} is not a file under /models", 'write, for example, "/models/detector.onnx"')


def _build_option(name: str, pattern: str, example: str) -> AfterValidator:
    """One word for the shell. `;` is allowed, because CMake separates list items with it; it is quoted."""

    def check(text: str) -> None:
        if not re.match(pattern, text) or re.search(r"""[\s`$"'\\|&<>]""", text):
            raise field_error(
                f"{text!r} is not one {name} option", f'write each option as a string of its own, as in "{example}"'
            )

    return _checked(check)


Name = Annotated[str, _checked(_check_name), Field(json_schema_extra={"pattern": NAME_PATTERN, "maxLength": 63})]
LayerName = Annotated[
    str, _checked(_check_layer_name), Field(json_schema_extra={"pattern": _LAYER_NAME_PATTERN, "maxLength": 63})
]
ImageReference = Annotated[str, _checked(_check_image), Field(json_schema_extra={"pattern": _IMAGE_PATTERN})]
ExactVersion = Annotated[str, _checked(_check_version)]
OptionalVersion = Annotated[str, _checked(_check_optional_version)]
RequirementLine = Annotated[str, _checked(_check_requirement)]
Pin = Annotated[str, _checked(_check_pin)]
PackagePattern = Annotated[str, _checked(_check_package_pattern), Field(json_schema_extra={"pattern": PACKAGE_PATTERN})]
HttpAddress = Annotated[str, _checked(_check_http)]
GitAddress = Annotated[str, _checked(_check_git)]
GitRef = Annotated[str, _checked(_check_ref)]
PlainText = Annotated[str, _checked(_check_no_control)]
LayerFilePath = Annotated[str, _checked(_check_layer_file)]
Destination = Annotated[str, _checked(_check_destination)]
ConfigureOption = Annotated[str, _build_option("configure", r"^--[A-Za-z0-9]", "--enable-gpl")]
CmakeOption = Annotated[str, _build_option("CMake", r"^-D[A-Za-z_]", "-DWITH_CUDA=ON")]

_python = _pattern(
    r"^3\.\d{1,2}$", "is not a Python version of the form 3.N", 'write "3.10"; the patch version comes with the image'
)
PythonVersion = Annotated[str, _python[0], _python[1]]
_sha256 = _pattern(r"^[0-9a-f]{64}$", "is not a SHA-256", "write the 64 small hexadecimal digits of `sha256sum FILE`")
Sha256 = Annotated[str, _sha256[0], _sha256[1]]
_environment = _pattern(
    r"^[A-Za-z_][A-Za-z0-9_]*$",
    "is not the name of a variable",
    'write, for example, "HF_TOKEN" (the name, not the value)',
)
EnvironmentName = Annotated[str, _environment[0], _environment[1]]
_deb = _pattern(
    r"^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+~:-]+)?$", "is not a Debian package", 'write "libgl1" or "libgl1=1.6.0-1"'
)
DebName = Annotated[str, _deb[0], _deb[1]]
_headers = _pattern(
    r"^(n?\d+(\.\d+){3})?$", "is not a release of nv-codec-headers", 'write all four numbers, as "12.1.14.0"'
)
HeadersVersion = Annotated[str, _headers[0], _headers[1]]
_driver = _pattern(r"^(\d{3}(\.\d+){0,2})?$", "is not a driver version", 'write it as nvidia-smi does: "535.183.01"')
DriverVersion = Annotated[str, _driver[0], _driver[1]]
_code = _pattern(r"^[a-z0-9]+(-[a-z0-9]+)*$", "is not the code of a finding", "copy the code that the check shows")
FindingCode = Annotated[str, _code[0], _code[1]]
