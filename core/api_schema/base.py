"""Base classes and field types of the models. Pydantic only, so that the console loads them quickly."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timezone
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from core.open_enum import OpenEnum
from core.terminal_text import escape_invisible

SERVICE_NAME = "xaiva-inference"
API_VERSION = 3  # raised when an older client or service can no longer understand the other
READABLE_APIS = (2, API_VERSION)  # of services that this console can talk to
VERSION_HEADER = "X-Xaiva-Api"  # in every response, with the service's API_VERSION

CameraId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$")]  # of a user, a rule or a flow
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]  # of an event type


def _visible(value: object) -> object:
    """Normalise a label: NFC, surrounding blanks removed, invisible characters written as `\\u202e`.

    Labels are printed in terminals, logs, file names and mail subjects, none of which must obey control characters.
    """
    return escape_invisible(unicodedata.normalize("NFC", value).strip()) if isinstance(value, str) else value


def _visible_lines(value: object) -> object:
    return escape_invisible(value, keep="\n\t") if isinstance(value, str) else value


ONE_VISIBLE_LINE = BeforeValidator(_visible)  # free text that names something
VISIBLE_LINES = BeforeValidator(_visible_lines)  # free text of several lines


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write a number, not true or false")
    return value


# Requests are not coerced: 1 is not true, and "5" is not a number.
StrictBool = Annotated[bool, Field(strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, strict=True)]
Weekday = Annotated[int, Field(ge=0, le=6), BeforeValidator(_refuse_bool)]  # 0 is Monday

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _require_timestamp(value: object) -> object:
    """Refuse numbers, which pydantic would read as seconds since 1970."""
    if isinstance(value, (int, float)) or (isinstance(value, str) and not _DAY.match(value)):
        raise ValueError("write it as 2026-12-31T23:59:59Z")
    return value


def _require_date(value: object) -> object:
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError("write it as 2026-12-31")
    return value


def _to_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("the time is before the year 1 or after 9999 in UTC") from error


Timestamp = Annotated[AwareDatetime, BeforeValidator(_require_timestamp), AfterValidator(_to_utc)]
Day = Annotated[date, BeforeValidator(_require_date)]


WordT = TypeVar("WordT", bound=OpenEnum)

# The validation context of a client: its service may be newer, and one bad field must not make the rest unreadable.
LENIENT = {"reading": True}
NOTHING_READABLE = "all of it"
# Replaces a required field that cannot be read: the first value that is valid for it.
_BLANK_VALUES: tuple[Any, ...] = ("", 0, [], "1970-01-01T00:00:00Z", [0, 0, 0, 0], {}, None)


def _is_lenient(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("reading"))


class ResponseModel(BaseModel):
    """Base class of responses. Unknown keys are ignored, so that an older console can read a newer service.

    With the validation context LENIENT, an unreadable field gets its default or a blank value and is listed in
    `unreadable`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    _unreadable: str = PrivateAttr("")

    @property
    def unreadable(self) -> str:
        """The fields that could not be read, as text; empty: all were readable."""
        nested = (name for name, value in self if isinstance(value, ResponseModel) and value.unreadable)
        return self._unreadable or ", ".join(nested)

    @model_validator(mode="wrap")
    @classmethod
    def _read_leniently(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if not _is_lenient(info):
            return handler(data)
        values_given = {**cls._missing_states(), **data} if isinstance(data, Mapping) else {}
        try:
            return handler(values_given or data)
        except ValidationError as error:
            wrong = _wrong_fields(error) if values_given else [*cls.model_fields]
        required = {name for name, field in cls.model_fields.items() if field.is_required()}
        values = {name: value for name, value in values_given.items() if name not in wrong}
        for name in wrong:
            if name in required:
                blanks = (blank for blank in _BLANK_VALUES if _is_valid(handler, {**values, name: blank}, name))
                values[name] = next(blanks, None)
        answer = handler(values)
        readable = (required - {*wrong}) & {*data} if values_given else set()
        answer._unreadable = ", ".join(wrong) if readable or not required else NOTHING_READABLE
        return answer

    @classmethod
    def _missing_states(cls) -> dict[str, Any]:
        """Blank values for states that the service did not send; their defaults could mean that all is fine."""
        missing: dict[str, Any] = {
            name: {} for name, field in cls.model_fields.items() if isinstance(field.default, ResponseModel)
        }
        if "state" in cls.model_fields:
            missing["state"] = ""
        return missing


def _wrong_fields(error: ValidationError) -> list[str]:
    """The fields with an error, each once."""
    return list(dict.fromkeys(str(details["loc"][0]) for details in error.errors(include_url=False) if details["loc"]))


def _is_valid(handler: ModelWrapValidatorHandler[Any], values: Mapping[str, Any], name: str) -> bool:
    try:
        handler(values)
    except ValidationError as error:
        return name not in _wrong_fields(error)
    return True


class RequestModel(BaseModel):
    """Base class of requests. Unknown keys are refused, so that a misspelt setting is not silently lost.

    Text that a database cannot store (with a NUL or half a surrogate pair) is refused, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_unstorable_text(cls, value: object) -> object:
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, str):
                _check_text(text)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _refuse_unknown_words(cls, value: object, info: ValidationInfo) -> object:
        """Refuse unknown words in a request; a client that reads settings keeps them."""
        for word in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(word, OpenEnum) and not _is_lenient(info):
                require_known(word)
        return value


def require_known(word: WordT) -> WordT:
    """Return the word. Raises PydanticCustomError if it is not in its enumeration."""
    if not word.is_known:
        raise PydanticCustomError("enum", "Input should be {expected}", {"expected": _listed(type(word))})
    return word


def _listed(words: Iterable[OpenEnum]) -> str:
    *most, last = (repr(word.value) for word in words)
    return f"{', '.join(most)} or {last}"


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("text cannot contain a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not valid Unicode text") from None


_TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"


def _require_local_time(value: object) -> object:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    if isinstance(value, str) and re.match(_TIME_OF_DAY, value):
        return value
    raise ValueError("write it as 23:59 or 23:59:59 in the service's time zone, without a zone")


TimeOfDay = Annotated[
    time, BeforeValidator(_require_local_time), WithJsonSchema({"type": "string", "pattern": _TIME_OF_DAY})
]


class Window(RequestModel):
    """Hours on some days, in the service's time zone. If `end` is not after `start`, it is on the next day."""

    days: Annotated[tuple[Weekday, ...], Field(max_length=7)] = (0, 1, 2, 3, 4, 5, 6)
    start: TimeOfDay = time(0, 0)
    end: TimeOfDay = time(0, 0)


Schedule = Annotated[tuple[Window, ...], Field(max_length=21)]  # empty: always


class Problem(ResponseModel):
    """The body of every error response, written for people."""

    what: str
    why: str = ""
    remedy: str = ""


class Health(ResponseModel):
    """The health of the service."""

    live: bool
    """The process responds and watches its cameras."""
    ready: bool
    """Its cameras have been started."""
    version: str
    detail: str = ""
    service: str = ""
    api: int = 0
    database: str = ""
    """Why the database does not work; empty: it works. Events are kept on disk until it does."""
