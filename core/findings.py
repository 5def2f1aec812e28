"""A finding: one result of a check (compatibility, verify, lint, doctor)."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from typing_extensions import Self

from core.open_enum import OpenEnum, describe_misfit
from core.redaction import redact_text
from core.terminal_text import escape_invisible, strip_controls


class Level(OpenEnum):
    """How bad a finding is. An error means: this will not work."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(BaseModel):
    """One result of a check."""

    model_config = ConfigDict(frozen=True)

    level: Level
    code: str
    """A stable word for machines and documentation."""

    what: str
    why: str = ""
    remedy: str = ""
    where: str = ""
    """The file, field or machine that it is about."""

    source: str = ""
    """Where the underlying fact comes from."""

    @classmethod
    def error(cls, code: str, what: str, why: str = "", remedy: str = "", where: str = "", source: str = "") -> Self:
        """A problem because of which it will not work."""
        return cls(level=Level.ERROR, code=code, what=what, why=why, remedy=remedy, where=where, source=source)

    @classmethod
    def warning(cls, code: str, what: str, why: str = "", remedy: str = "", where: str = "", source: str = "") -> Self:
        """A problem because of which it may not work."""
        return cls(level=Level.WARNING, code=code, what=what, why=why, remedy=remedy, where=where, source=source)

    @classmethod
    def note(cls, code: str, what: str, why: str = "", remedy: str = "", where: str = "", source: str = "") -> Self:
        """Information; nothing needs to be done."""
        return cls(level=Level.NOTE, code=code, what=what, why=why, remedy=remedy, where=where, source=source)

    @property
    def summary(self) -> str:
        """What and why, without the remedy."""
        return f"{self.what}: {self.why}" if self.why else self.what

    @field_validator("what", "why", "where")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        return redact_text(escape_invisible(strip_controls(value), keep="\n\t"))


def read_finding(value: object) -> Finding:
    """Parse a finding that another xaiva wrote; an unreadable one becomes a finding that says so."""
    try:
        return Finding.model_validate(value)
    except ValidationError as error:
        return Finding(level=Level(""), code="", what="A finding that cannot be read", why=describe_misfit(error))


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether any finding is an error."""
    return any(finding.level is Level.ERROR for finding in findings)


def describe_errors(findings: Iterable[Finding]) -> tuple[str, str]:
    """The errors among the findings as the cause and the remedy of one failure. With several, the cause lists all."""
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if len(errors) == 1:
        return errors[0].summary, errors[0].remedy
    lines = [f"\n  - {finding.summary}\n    → {finding.remedy}" for finding in errors]
    return f"{len(errors)} problems prevent it{''.join(lines)}", ""
