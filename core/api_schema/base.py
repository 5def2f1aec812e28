"""Base classes and field types of the models. Pydantic only: the console reads these without heavy imports."""

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
API_VERSION = 2  # raised when an older client or service can no longer understand the other
VERSION_HEADER = "X-Xaiva-Api"  # every answer carries the service's API_VERSION

CameraId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$")]  # of a user, a rule, an agent flow
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]  # of an event's type


def _visible(value: object) -> object:
    """A label in one form (NFC), without blanks around it, and with what nobody would see written as `\\u202e`.

    It is printed in terminals, logs, file names and the subjects of mails: none of them shall do what it says.
    """
    return escape_invisible(unicodedata.normalize("NFC", value).strip()) if isinstance(value, str) else value


def _visible_lines(value: object) -> object:
    return escape_invisible(value, keep="\n\t") if isinstance(value, str) else value


ONE_VISIBLE_LINE = BeforeValidator(_visible)  # of free text that names something
VISIBLE_LINES = BeforeValidator(_visible_lines)  # of free text that may be several lines


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")
    return value


# A request is taken by the letter: 1 is not true, and "5" no number.
StrictBool = Annotated[bool, Field(strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, strict=True)]
Weekday = Annotated[int, Field(ge=0, le=6), BeforeValidator(_refuse_bool)]  # 0 is Monday

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _require_timestamp(value: object) -> object:
    """A bare number would be taken for seconds since 1970."""
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
        raise ValueError("a moment before the year 1 or after 9999 in UTC") from error


Timestamp = Annotated[AwareDatetime, BeforeValidator(_require_timestamp), AfterValidator(_to_utc)]
Day = Annotated[date, BeforeValidator(_require_date)]


WordT = TypeVar("WordT", bound=OpenEnum)

# The validation context of a client: its service may be newer, and one field must not take the rest with it.
LENIENT = {"reading": True}
NOTHING_READABLE = "nothing of it can be read"
# In the place of a required field: the first that is of its type.
_BLANK_VALUES: tuple[Any, ...] = ("", 0, [], "1970-01-01T00:00:00Z", [0, 0, 0, 0], {}, None)


def _is_lenient(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("reading"))


class ResponseModel(BaseModel):
    """What the service answers. Unknown keys are ignored, so that an older console can read a newer service.

    Validated with the context READING, a field that cannot be read is left at its default, or blank, and named in
    `unreadable`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    _unreadable: str = PrivateAttr("")

    @property
    def unreadable(self) -> str:
        """What of it could not be read, as words; empty when everything could."""
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
        """What stands for a state, or a part with one, that the service does not send: the default may mean fine."""
        missing: dict[str, Any] = {
            name: {} for name, field in cls.model_fields.items() if isinstance(field.default, ResponseModel)
        }
        if "state" in cls.model_fields:
            missing["state"] = ""
        return missing


def _wrong_fields(error: ValidationError) -> list[str]:
    """The fields that have an error, each once."""
    return list(dict.fromkeys(str(details["loc"][0]) for details in error.errors(include_url=False) if details["loc"]))


def _is_valid(handler: ModelWrapValidatorHandler[Any], values: Mapping[str, Any], name: str) -> bool:
    try:
        handler(values)
    except ValidationError as error:
        return name not in _wrong_fields(error)
    return True


class RequestModel(BaseModel):
    """What the service is asked. Unknown keys are refused: a misspelt setting must not be lost in silence.

    So is a text that a database cannot hold: one with a NUL, or with half a surrogate pair.
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
        """An unknown word is refused where it is asked for; where a client reads a setting, it is kept as it is."""
        for word in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(word, OpenEnum) and not _is_lenient(info):
                require_known(word)
        return value


def require_known(word: WordT) -> WordT:
    """The word, where it is ours to choose. Raises PydanticCustomError for one that is not listed."""
    if not word.is_known:
        raise PydanticCustomError("enum", "Input should be {expected}", {"expected": _listed(type(word))})
    return word


def _listed(words: Iterable[OpenEnum]) -> str:
    *most, last = (repr(word.value) for word in words)
    return f"{', '.join(most)} or {last}"


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a text cannot hold a NUL character")
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
    raise ValueError("write it as 23:59 or 23:59:59, without a zone: it is meant in the service's own")


TimeOfDay = Annotated[
    time, BeforeValidator(_require_local_time), WithJsonSchema({"type": "string", "pattern": _TIME_OF_DAY})
]


class Window(RequestModel):
    """Hours of some days in the service's zone; `end` at or before `start` runs over midnight into the next day."""

    days: Annotated[tuple[Weekday, ...], Field(max_length=7)] = (0, 1, 2, 3, 4, 5, 6)
    start: TimeOfDay = time(0, 0)
    end: TimeOfDay = time(0, 0)


Schedule = Annotated[tuple[Window, ...], Field(max_length=21)]  # empty: always


class Problem(ResponseModel):
    """The body of every answer that is an error, for the reader."""

    what: str
    why: str = ""
    remedy: str = ""


class Health(ResponseModel):
    """`live`: the process answers and watches its cameras; `ready`: its cameras have been started.

    `database` is empty when it works, else a sentence; events are kept on disk in the meantime.
    """

    live: bool
    ready: bool
    version: str
    detail: str = ""
    service: str = ""
    api: int = 0
    database: str = ""
