"""Checks whether the engine that answers is new enough for xaiva, and names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.findings import Finding, Level

MINIMUM_ENGINE = 23  # the first version that builds with BuildKit by default
MINIMUM_API = (1, 42)  # the API version of that engine
_NUMBERS = re.compile(r"v?(\d+)(?:\.(\d+))?(?!\w)")
_DOCKER_ENGINE_NAME = "Engine"  # what Docker's own engine calls itself among its components


def version_findings(answer: Mapping[str, Any]) -> list[Finding]:
    """From the engine's answer to `/version`: an error for an old engine, a warning for an unknown one, or nothing."""
    name, version, api = _parse_answer(answer)
    description = f"{name or 'Docker Engine'} {version or 'without a version'}, API {api or 'unknown'}"
    numbers, api_numbers = _parse_numbers(version), _parse_numbers(api)
    if name or not numbers or not numbers[0]:  # another vendor's version numbers, or 0.0.0 of a development build
        if name or not api_numbers or api_numbers >= MINIMUM_API:
            why = f"xaiva cannot tell whether it supports everything that Docker Engine {MINIMUM_ENGINE} does"
            return [_finding(Level.WARNING, description, why, "continue; the engine refuses what it does not support")]
    elif numbers[0] >= MINIMUM_ENGINE:
        return []
    why = f"it is too old; xaiva needs Docker Engine {MINIMUM_ENGINE} (API {'.'.join(map(str, MINIMUM_API))}) or newer"
    return [_finding(Level.ERROR, description, why, f"install Docker Engine {MINIMUM_ENGINE} or newer on that machine")]


def engine_title(answer: Mapping[str, Any]) -> str:
    """From the engine's answer to `/version`: its name and version, such as `docker 27.1.1`."""
    name, version, _ = _parse_answer(answer)
    return f"{name or 'docker'} {version or 'without a version'}"


def _parse_answer(answer: Mapping[str, Any]) -> tuple[str, str, str]:
    """The engine's name (empty for Docker's own), its version, and the version of its API."""
    components = answer.get("Components")
    entries = components if isinstance(components, list) else []
    names = [str(component.get("Name") or "") for component in entries if isinstance(component, dict)]
    name = "" if not names or _DOCKER_ENGINE_NAME in names else names[0]
    return name, str(answer.get("Version") or ""), str(answer.get("ApiVersion") or "")


def _parse_numbers(text: str) -> tuple[int, int] | None:
    """The first two numbers of a version such as `20.10.24+dfsg1` or `v23.0.1-rc.1`."""
    match = _NUMBERS.match(text)
    return (int(match[1]), int(match[2] or 0)) if match else None


def _finding(level: Level, description: str, why: str, remedy: str) -> Finding:
    return Finding(level=level, code="engine-version", what=f"The engine is {description}", why=why, remedy=remedy)
