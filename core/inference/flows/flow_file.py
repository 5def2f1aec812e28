"""Reads the flows file (JSON or TOML) and explains its errors."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.api_schema import Name
from core.errors import InputError, XaivaError, os_reason
from core.files import read_regular
from core.inference.flows.flow import DEFAULT_FLOW, ChooseStep, Flow, FlowStep, WebhookStep
from core.inference.http_post import check_url
from core.strict_json import RepeatedKey, unique_keys
from core.toml import tomllib
from core.validation_errors import explain_error

DEFAULT_FLOW_NAME = "default"
_FLOWS: TypeAdapter[dict[str, Flow]] = TypeAdapter(dict[Name, Flow])
_REMEDY = "see docs/notifications.md for the format"


def read_flows(file: Path | None) -> dict[str, Flow]:
    """The flows by name, always including `default` (notify). Raises InputError naming file and field or line."""
    flows = {DEFAULT_FLOW_NAME: DEFAULT_FLOW}
    if file is None:
        return flows
    try:
        text = read_regular(file).decode("utf-8")
    except OSError as error:
        raise InputError(f"{file}", os_reason(error), "correct XAIVA_FLOWS") from error
    except UnicodeDecodeError:
        raise InputError(f"{file}", "it is not UTF-8 text", _REMEDY) from None
    try:
        listed = _FLOWS.validate_python(_parse(file, text))
    except ValidationError as error:
        raise InputError(f"{file}", _problems(error), _REMEDY) from None
    for name, flow in listed.items():
        _check_urls(f"{file}: {name}", flow.steps)
    return flows | listed


def _parse(file: Path, text: str) -> object:
    try:
        if file.suffix == ".toml":
            return tomllib.loads(text)
        return json.loads(text, object_pairs_hook=unique_keys)
    except RepeatedKey as error:
        raise InputError(f"{file}", str(error), "remove one of the two") from None
    except json.JSONDecodeError as error:
        why = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise InputError(f"{file}", f"not valid JSON: {why}", _REMEDY) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file}", f"not valid TOML: {error}", _REMEDY) from None


def _problems(error: ValidationError) -> str:
    """Every problem with its place: `night.steps[2].to: …`. Values are hidden: a URL may contain a password."""
    return "; ".join(
        f"{_place(problem['loc'])}: {explain_error(problem)}" for problem in error.errors(include_url=False)
    )


def _place(path: tuple[int | str, ...]) -> str:
    text = ""
    kinds = {"notify", "keep_clip", "raise_priority", "webhook", "choose"}
    for at, part in enumerate(path):
        if isinstance(part, int):
            text += f"[{part + 1}]"
        elif not (
            part in kinds and at and isinstance(path[at - 1], int)
        ):  # pydantic adds the kind of a step to the path
            text += f".{part}" if text else str(part)
    return text or "the file"


def _check_urls(place: str, steps: tuple[FlowStep, ...]) -> None:
    for number, step in enumerate(steps, 1):
        step_place = f"{place}.steps[{number}]"
        if isinstance(step, WebhookStep):
            try:
                check_url(step.url, f"{step_place}.url")
            except XaivaError as error:
                raise InputError(error.what, error.why, error.remedy) from None
        elif isinstance(step, ChooseStep):
            for option, branch in step.options.items():
                _check_urls(f"{step_place}.options.{option}", branch)
