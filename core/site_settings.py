"""The keys of `site.toml`: their values, where these come from, what they mean, and changing one.

A broken file hides nothing: its keys are listed with what is wrong, so that they can be corrected.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from core.env_file import read_env_file
from core.errors import InputError, XaivaError, os_reason
from core.files import read_regular, write_atomic, write_remedy, write_target
from core.redaction import HIDDEN, redact_text
from core.site import SERVICE_VARIABLE, TOKEN_VARIABLE, SiteSettings
from core.toml import tomllib
from core.validation_errors import first_problem

_HEADER = re.compile(r"\s*\[\s*([\w.\-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.\-]+)\s*=")
_LINE_OF_ERROR = re.compile(r"line (\d+)")
_VARIABLES = {"engine.host": "DOCKER_HOST", "engine.context": "DOCKER_CONTEXT", "service.url": SERVICE_VARIABLE}
_EXPECTED: dict[object, str] = {str: "a text", int: "a whole number", float: "a number"}
_A_TABLE = 'a table, such as {"https://a.example/": "https://mirror.example/"}'


class SettingSource(str, Enum):
    """What a setting's value comes from."""

    DEFAULT = "default"
    FILE = "site.toml"
    ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Setting:
    """One key of `site.toml`."""

    key: str
    value: Any
    """The value in force; of a key with a problem what the file says."""
    source: SettingSource
    default: Any = None
    explanation: str = ""
    expected: str = ""
    """What the value must be, in words."""
    variable: str = ""
    """The variable of the environment that the value comes from."""
    file_value: Any = None
    """What the file says; None: nothing."""
    line: int | None = None
    """Where the file says it; None where that cannot be determined."""
    problem: str = ""
    """Why the file's value cannot be used."""
    known: bool = True
    """Whether xaiva has such a key."""

    @property
    def text(self) -> str:
        """The value as text, without secrets in addresses."""
        return value_text(self.value)


@dataclass(frozen=True)
class Variable:
    """A variable of `.env`; its value is never shown."""

    name: str
    set_in: str
    """`.env`, `environment` (which wins), or empty: it is not set."""


@dataclass(frozen=True)
class SettingsFile:
    """All settings of a site, and what is wrong with its files."""

    path: Path
    settings: list[Setting]
    variables: list[Variable]
    problems: list[XaivaError] = field(default_factory=list)


class SettingsEditConflict(InputError):
    """Somebody else changed the setting since it was shown. `current` is the setting now."""

    def __init__(self, path: Path, current: Setting) -> None:
        self.current = current
        now = "it is no longer in the file" if current.file_value is None else f"it is {current.text} in the file now"
        what = f"{path}: {current.key}"
        super().__init__(what, f"somebody else changed it in the meantime: {now}", "save again to overwrite that")


def setting_fields(section: type[BaseModel] = SiteSettings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of `site.toml` with its field, in the order of the documentation."""
    for name, one in section.model_fields.items():
        if isinstance(one.default, BaseModel):
            yield from setting_fields(type(one.default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", one


def value_text(value: Any) -> str:
    """A value as text: a text as it is, all else as JSON; without secrets in addresses."""
    return redact_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def read_settings(root: Path, environ: Mapping[str, str]) -> SettingsFile:
    """The settings of the site in folder `root`. `environ` is the process environment, without `.env`.

    Files that cannot be read are among the problems.
    """
    path = root / "site.toml"
    problems: list[XaivaError] = []
    text, data = "", dict[str, Any]()
    try:
        text, data = _read(path)
    except InputError as error:
        problems.append(error)
    try:
        dotenv = _read_dotenv(root / ".env", environ)
    except InputError as error:
        problems.append(error)
        dotenv = {}
    names = dict.fromkeys([SERVICE_VARIABLE, TOKEN_VARIABLE, *dotenv])
    variables = [Variable(name, _set_in(name, environ, dotenv)) for name in names]
    return SettingsFile(path, _settings(text, data, {**dotenv, **environ}), variables, problems)


def set_setting(root: Path, key: str, text: str, *, seen: Setting | None = None) -> None:
    """Write one key into `site.toml`, whole or not at all. Comments, order and permissions of the file stay.

    `text` is the value as `value_text` writes it. `seen` is the setting as the user saw it. Raises InputError when key
    or value cannot be used, SettingsEditConflict when the file says something else than `seen`, and XaivaError when it
    cannot be written.
    """
    fields = dict(setting_fields())
    if key not in fields:
        near = difflib.get_close_matches(key, fields, 1)
        remedy = f"did you mean {near[0]}?" if near else "list the keys: xaiva settings list"
        raise InputError(f"Setting {key}", "there is no such key", remedy)
    value = _parse(key, fields[key], text)
    if problem := _problem(key, value):
        raise InputError(f"Setting {key}", problem, f"it must be {_expected(fields[key])}")
    _change(root / "site.toml", key, value, seen)


def reset_setting(root: Path, key: str, *, seen: Setting | None = None) -> None:
    """Remove one key from `site.toml`, known or not, so that its default holds. Raises as `set_setting`."""
    _change(root / "site.toml", key, None, seen)


def _settings(text: str, data: Mapping[str, Any], env: Mapping[str, str]) -> list[Setting]:
    written, lines = dict(_flat(data, SiteSettings)), _lines(text)
    fields = dict(setting_fields())
    settings = [_known(key, one, written.pop(key, None), lines.get(key)) for key, one in fields.items()]
    settings = [_with_variable(setting, settings, env) for setting in settings]
    return settings + [_unknown(key, value, lines.get(key)) for key, value in written.items()]


def _unknown(key: str, value: Any, line: int | None) -> Setting:
    is_table = any(name.startswith(f"{key}.") for name, _ in setting_fields())
    problem = "it must be a table" if is_table else "there is no such key"
    return Setting(key, value, SettingSource.FILE, file_value=value, line=line, problem=problem, known=False)


def _known(key: str, one: FieldInfo, written: Any, line: int | None) -> Setting:
    problem = "" if written is None else _problem(key, written)
    return Setting(
        key,
        one.default if written is None else written,
        SettingSource.DEFAULT if written is None else SettingSource.FILE,
        default=one.default,
        explanation=one.description or "",
        expected=_expected(one),
        file_value=written,
        line=line,
        problem=problem,
    )


def _with_variable(setting: Setting, settings: list[Setting], env: Mapping[str, str]) -> Setting:
    """The setting with the value of its variable, where that is in force.

    XAIVA_SERVICE wins over the file. The engine's variables count when the file names no engine, DOCKER_HOST first.
    """
    name = _VARIABLES.get(setting.key, "")
    if not (value := env.get(name, "").strip()):
        return setting
    if name != SERVICE_VARIABLE:
        in_file = any(other.file_value for other in settings if other.key in ("engine.host", "engine.context"))
        if in_file or (name == "DOCKER_CONTEXT" and env.get("DOCKER_HOST", "").strip()):
            return setting
    return replace(setting, value=value, source=SettingSource.ENVIRONMENT, variable=name)


def _flat(data: Mapping[str, Any], section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What the file says, by key. A key that xaiva does not have keeps its whole value."""
    for name, value in data.items():
        one = section.model_fields.get(name)
        if one is not None and isinstance(one.default, BaseModel) and isinstance(value, dict):
            yield from _flat(value, type(one.default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _lines(text: str) -> dict[str, int]:
    """The line of each key and table that stands on a line of its own."""
    table, lines = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = f"{header[1]}."
            lines.setdefault(header[1], number)
        elif match := _KEY.match(line):
            lines.setdefault(f"{table}{match[1]}", number)
    return lines


def _nested(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def _problem(key: str, value: Any) -> str:
    """Why the model of the settings does not accept the value; empty when it does."""
    try:
        SiteSettings.model_validate(_nested(key, value))
    except ValidationError as error:
        return first_problem(error)[1]
    return ""


def _expected(one: FieldInfo) -> str:
    """What a value must be, in words: `a whole number from 1 to 64`."""
    words = _EXPECTED.get(one.annotation, _A_TABLE)
    names = ("ge", "gt", "le")
    limits = {name: getattr(limit, name) for limit in one.metadata for name in names if hasattr(limit, name)}
    if "ge" in limits and "le" in limits:
        return f"{words} from {limits['ge']} to {limits['le']}"
    if "ge" in limits:
        return f"{words} of at least {limits['ge']}"
    return f"{words} above {limits['gt']}" if "gt" in limits else words


def _parse(key: str, one: FieldInfo, text: str) -> Any:
    if HIDDEN in text:
        why = "a part of it is hidden, and would be written as it is shown"
        raise InputError(f"Setting {key}", why, "type the whole value")
    if one.annotation is str:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return text if isinstance(value, bool) else value  # a model takes true for 1


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of the file and its data; empty when there is none. Raises InputError."""
    try:
        text = read_regular(path).decode("utf-8-sig")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        return "", {}
    except tomllib.TOMLDecodeError as error:
        where = _LINE_OF_ERROR.search(str(error))
        remedy = f"correct line {where[1]}" if where else "correct the end of the file"
        raise InputError(f"{path}", f"not valid TOML: {error}", remedy) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}", "it is not UTF-8 text", "correct the file") from error
    except OSError as error:
        raise InputError(f"{path}", os_reason(error), "correct the file, or its permissions") from error


def _read_dotenv(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        return read_env_file(path, environ)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise InputError(f"{path}", "it is not UTF-8 text", "correct the file") from error
    except OSError as error:
        raise InputError(f"{path}", os_reason(error), "correct the file, or its permissions") from error


def _set_in(name: str, environ: Mapping[str, str], dotenv: Mapping[str, str]) -> str:
    return "environment" if environ.get(name) else ".env" if dotenv.get(name) else ""


def _change(path: Path, key: str, value: Any, seen: Setting | None) -> None:
    """Set or remove (None) a key, after checking that nobody else changed it and that nothing else would change."""
    import tomlkit

    text, data = _read(path)
    current = next((one for one in _settings(text, data, {}) if one.key == key), None)
    if current is None or (value is None and current.file_value is None):
        raise InputError(f"{path}: {key}", "it is not in the file", "list the keys: xaiva settings list")
    if seen is not None and seen.file_value != current.file_value:
        raise SettingsEditConflict(path, current)
    try:
        document = tomlkit.parse(text)
        for part in (document, data):
            _put(part, key, value)
        changed = tomlkit.dumps(document)
        alone = tomllib.loads(changed) == data
    except (AttributeError, KeyError, TypeError, ValueError):  # its table is a value, or its name is in quotes
        alone = False
    if not alone:
        raise XaivaError(f"{path}: {key}", "it cannot be changed without changing other keys", "edit the file by hand")
    try:
        target, mode = write_target(path)
        write_atomic(target, changed, mode)
    except OSError as error:
        raise XaivaError(f"{path}", os_reason(error), write_remedy(error)) from error


def _put(holder: MutableMapping[str, Any], key: str, value: Any) -> None:
    *tables, name = key.split(".")
    for table in tables:
        holder = holder.setdefault(table, {})
    if value is None:
        del holder[name]
    else:
        holder[name] = value
