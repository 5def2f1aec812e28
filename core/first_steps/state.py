"""What a site keeps about its first steps: the chosen preset, and whether the console shows them."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import InputError, XaivaError, os_reason
from core.files import write_atomic, write_remedy
from core.site import Site
from core.validation_errors import first_problem


class StepsState(BaseModel):
    """What is kept in `.xaiva/first-steps.json`."""

    model_config = ConfigDict(frozen=True)

    preset: str = ""
    """The preset that was chosen last; empty if none was."""
    chosen: float = 0
    """When it was chosen, as a Unix time in seconds."""
    hidden: bool = False
    """Whether the console shows the steps only when they are called: somebody hid them, or all were done once."""


def read_state(site: Site) -> StepsState:
    """What was chosen. Raises InputError when the file cannot be read."""
    path = _state_path(site)
    try:
        return StepsState.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return StepsState()
    except (OSError, ValueError) as error:
        remedy = "correct the file, or remove it: it only says which preset the first steps follow"
        raise InputError(f"{path}", _misfit(error), remedy) from error


def hide_steps(site: Site) -> None:
    """Let consoles show the steps only when they are called. Raises XaivaError when that cannot be kept."""
    state = read_state(site)
    if not state.hidden:
        write_state(site, state.model_copy(update={"hidden": True}))


def write_state(site: Site, state: StepsState) -> None:
    """Keep the state. Raises XaivaError."""
    path = _state_path(site)
    try:
        write_atomic(path, state.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise XaivaError(f"{path}", os_reason(error), write_remedy(error)) from error


def _state_path(site: Site) -> Path:
    return site.state / "first-steps.json"


def _misfit(error: OSError | ValueError) -> str:
    if isinstance(error, ValidationError):
        return ": ".join(part for part in first_problem(error) if part)
    return os_reason(error) if isinstance(error, OSError) else "it is not valid JSON"
