"""The settings of a site as rows and lines."""

from __future__ import annotations

from core.site_settings import Setting, SettingsFile, SettingSource, value_text
from tui.formatters.cells import Cell, Column, Line, Span, labelled_lines, line, wrap

COLUMNS = (
    Column("key", 26, sort=lambda setting: setting.key),
    Column("value", minimum=16, weight=2),
    Column("from", 13, rank=1, sort=lambda setting: source(setting)),
    Column("default", minimum=10, rank=2),
)
LABEL_WIDTH = 10
VARIABLE_WIDTH = 24


def source(setting: Setting) -> str:
    """What the value comes from: `default`, `site.toml`, or the variable."""
    return setting.variable or setting.source.value


def row(setting: Setting) -> tuple[Cell, ...]:
    """One setting in the list. One with a problem is marked."""
    role = "dim" if setting.source is SettingSource.DEFAULT else "accent"
    if setting.problem:
        return Span(f"✗ {setting.key}", "error"), Span(setting.text, "error"), _place(setting), _default(setting)
    return (
        setting.key,
        Span(setting.text or "(empty)", role),
        Span(source(setting), role),
        Span(_default(setting), "dim"),
    )


def _default(setting: Setting) -> str:
    return value_text(setting.default) or "(empty)" if setting.known else "unknown key"


def _place(setting: Setting) -> Span:
    return Span(f"line {setting.line}" if setting.line else source(setting), "error")


def detail(setting: Setting, width: int) -> list[Line]:
    """Everything about one setting."""
    out = wrap(setting.explanation or "xaiva has no such key, and refuses the file while it is there.", width)
    if setting.problem:
        where = f"line {setting.line}: " if setting.line else ""
        out += [line(), *wrap(f"✗ {where}{setting.problem}", width, "error")]
    facts: list[tuple[str, str]] = [("value", setting.text or "(empty)"), ("from", source(setting))]
    if setting.known:
        facts = [("must be", setting.expected), *facts, ("default", _default(setting))]
    if setting.file_value is not None:
        facts.append(("in file", value_text(setting.file_value) + (f" (line {setting.line})" if setting.line else "")))
    out.append(line())
    out += [one for name, value in facts for one in labelled_lines(name, value, LABEL_WIDTH, width)]
    if setting.variable:
        words = f"{setting.variable} is set, so the console uses that value; a change of the file has no effect now."
        out += [line(), *wrap(words, width, "warn")]
    return out


def file_lines(listing: SettingsFile | None, width: int) -> list[Line]:
    """The file, what is wrong with it, and the variables of `.env` without their values."""
    if listing is None:
        return []
    out = wrap(str(listing.path), width, "dim")
    for problem in listing.problems:
        out += wrap(f"✗ {problem.summary}", width, "error")
        out += wrap(f"→ {problem.remedy}", width, "accent", indent="  ")
    for setting in listing.settings:
        if setting.problem:
            where = f"line {setting.line}: " if setting.line else ""
            out += wrap(f"✗ {where}{setting.key}: {setting.problem}", width, "error")
    out += [line(), line(Span("Variables (values are never shown)", "title"))]
    for variable in listing.variables:
        words: Cell = Span("not set", "dim") if not variable.set_in else f"set in {variable.set_in}"
        out += labelled_lines(variable.name, words, VARIABLE_WIDTH, width)
    return out
