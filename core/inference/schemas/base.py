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
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]  # of an event's type


def _visible(value: object) -> object:
    """A label in one form (NFC), without blanks around it, and with what nobody would see written as `\\u202e`.

    It is printed in terminals, logs, file names and the subjects of mails: none of them shall do what it says.
    """
    return escape_invisible(unicodedata.normalize("NFC", value).strip()) if isinstance(value, str) else value


def _visible_lines(value: object) -> object:
    return escape_invisible(value, keep="\n\t") if isinstance(value, str) else value


LABEL = BeforeValidator(_visible)  # of free text that names something
LINES = BeforeValidator(_visible_lines)  # of free text that may be several lines


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")
    return value


# A request is taken by the letter: 1 is not true, and "5" no number.
YesNo = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Weekday = Annotated[int, Field(ge=0, le=6), BeforeValidator(_no_truth)]  # 0 is Monday

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _dated(value: object) -> object:
    """A bare number would be taken for seconds since 1970."""
    if isinstance(value, (int, float)) or (isinstance(value, str) and not _DAY.match(value)):
        raise ValueError("write it as 2026-12-31T23:59:59Z")
    return value


def _only_dated(value: object) -> object:
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError("write it as 2026-12-31")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("a moment before the year 1 or after 9999 in UTC") from error


Moment = Annotated[AwareDatetime, BeforeValidator(_dated), AfterValidator(_in_utc)]
Day = Annotated[date, BeforeValidator(_only_dated)]


AnyWord = TypeVar("AnyWord", bound=OpenEnum)

# The validation context of a client: its service may be newer, and one field must not take the rest with it.
READING = {"reading": True}
NOTHING = "nothing of it can be read"
# In the place of a required field: the first that is of its type.
_BLANKS: tuple[Any, ...] = ("", 0, [], "1970-01-01T00:00:00Z", [0, 0, 0, 0], {}, None)


def _is_reading(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("reading"))


class Said(BaseModel):
    """What the service answers. Unknown keys are ignored, so that an older console can read a newer service.

    Validated with the context READING, a field that cannot be read is left at its default, or blank, and named in
    `unreadable`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    _unreadable: str = PrivateAttr("")

    @property
    def unreadable(self) -> str:
        """What of it could not be read, as words; empty when everything could."""
        nested = (name for name, value in self if isinstance(value, Said) and value.unreadable)
        return self._unreadable or ", ".join(nested)

    @model_validator(mode="wrap")
    @classmethod
    def _as_far_as_possible(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if not _is_reading(info):
            return handler(data)
        given = {**cls._unsaid(), **data} if isinstance(data, Mapping) else {}
        try:
            return handler(given or data)
        except ValidationError as error:
            wrong = _fields(error) if given else [*cls.model_fields]
        required = {name for name, field in cls.model_fields.items() if field.is_required()}
        values = {name: value for name, value in given.items() if name not in wrong}
        for name in wrong:
            if name in required:
                blanks = (blank for blank in _BLANKS if _fits(handler, {**values, name: blank}, name))
                values[name] = next(blanks, None)
        answer = handler(values)
        readable = (required - {*wrong}) & {*data} if given else set()
        answer._unreadable = ", ".join(wrong) if readable or not required else NOTHING
        return answer

    @classmethod
    def _unsaid(cls) -> dict[str, Any]:
        """What stands for a state, or a part with one, that the service does not send: the default may mean fine."""
        unsaid: dict[str, Any] = {
            name: {} for name, field in cls.model_fields.items() if isinstance(field.default, Said)
        }
        if "state" in cls.model_fields:
            unsaid["state"] = ""
        return unsaid


def _fields(error: ValidationError) -> list[str]:
    """The fields that have an error, each once."""
    return list(dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False) if one["loc"]))


def _fits(handler: ModelWrapValidatorHandler[Any], values: Mapping[str, Any], name: str) -> bool:
    try:
        handler(values)
    except ValidationError as error:
        return name not in _fields(error)
    return True


class Asked(BaseModel):
    """What the service is asked. Unknown keys are refused: a misspelt setting must not be lost in silence.

    So is a text that a database cannot hold: one with a NUL, or with half a surrogate pair.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _storable(cls, value: object) -> object:
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, str):
                _check_text(text)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _known(cls, value: object, info: ValidationInfo) -> object:
        """An unknown word is refused where it is asked for; where a client reads a setting, it is kept as it is."""
        for word in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(word, OpenEnum) and not _is_reading(info):
                known_word(word)
        return value


def known_word(word: AnyWord) -> AnyWord:
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


_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"


def _local(value: object) -> object:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    if isinstance(value, str) and re.match(_CLOCK, value):
        return value
    raise ValueError("write it as 23:59 or 23:59:59, without a zone: it is meant in the service's own")


Clock = Annotated[time, BeforeValidator(_local), WithJsonSchema({"type": "string", "pattern": _CLOCK})]


class Window(Asked):
    """Hours of some days in the service's zone; `end` at or before `start` runs over midnight into the next day."""

    days: Annotated[tuple[Weekday, ...], Field(max_length=7)] = (0, 1, 2, 3, 4, 5, 6)
    start: Clock = time(0, 0)
    end: Clock = time(0, 0)


Schedule = Annotated[tuple[Window, ...], Field(max_length=21)]  # empty: always


class Problem(Said):
    """The body of every answer that is an error, for the reader."""

    what: str
    why: str = ""
    remedy: str = ""


class Health(Said):
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
