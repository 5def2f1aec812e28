"""Settings in the documentation: keys of `site.toml`, and variables of the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.inference.settings import PREFIX, ServiceSettings, read_settings
from core.site import SiteSettings
from tests.docs.pages import ROOT, all_spans, check, matches

MEDIUM_LAUNCHER = ROOT / "core/carry/stick/xaiva.sh"
TEMPLATE = ROOT / "env.template"
OTHER_TABLES = ("name", "tool.importlinter")  # of the form of a preset's indexes, of pyproject.toml
INTERNAL = {  # xaiva sets them for its own child processes, click reads the last
    "XAIVA_OPERATION", "XAIVA_OPERATION_REQUEST", "XAIVA_OPERATION_TITLE", "XAIVA_GIT_TOKEN", "XAIVA_COMPLETE",
}  # fmt: skip
EXAMPLES = {"XAIVA_TOKEN", "ACME_INDEX_USER", "ACME_INDEX_TOKEN"}  # names that a preset chooses


def _default(path: str) -> Any:
    """The default of a key of `site.toml` such as `sync.retries`. Raises KeyError if it does not exist."""
    value: Any = SiteSettings()
    for part in path.split("."):
        if not isinstance(value, BaseModel) or part not in type(value).model_fields:
            raise KeyError(path)
        value = getattr(value, part)
    return value


def _known(path: str) -> bool:
    try:
        _default(path)
    except KeyError:
        return False
    return True


def test_every_key_of_site_toml_exists() -> None:
    named = [(span, match) for span in all_spans() if (match := re.match(r"\[([a-z._]+)\](?: ([a-z_]+))?", span.text))]
    assert len(named) > 5
    check(
        f"{span.place}: {span.text}: there is no such key"
        for span, match in named
        if match[1] not in OTHER_TABLES and not _known(".".join(filter(None, match.groups())))
    )


def test_defaults_of_site_toml_are_right() -> None:
    mentions = list(matches(r"`\[(\w+)\] (\w+)`[^`]*?(?:`site.toml` )?\(default (\w+)\)"))
    assert len(mentions) >= 2
    check(f"{place}: {match[0]}" for place, match in mentions if str(_default(f"{match[1]}.{match[2]}")) != match[3])


def _in_the_code() -> set[str]:
    """The variables that the code names; the service derives the names of its own from its settings."""
    files = [*(ROOT / "core").rglob("*.py"), *(ROOT / "tui").rglob("*.py"), ROOT / "xaiva", MEDIUM_LAUNCHER]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    literal = set(re.findall(r"XAIVA_[A-Z_]*[A-Z]", text))
    return literal | {PREFIX + field.upper() for field in ServiceSettings.model_fields if field != "data"}


def test_the_template_explains_every_variable_and_no_other() -> None:
    explained = set(re.findall(r"^#?([A-Z_]+)=", TEMPLATE.read_text(), re.MULTILINE)) - EXAMPLES
    assert {name for name in explained if name.startswith(PREFIX)} ^ (_in_the_code() - INTERNAL) == set()
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "core").rglob("*.py"))
    others = {name for name in explained if not name.startswith(PREFIX) and not name.endswith("_PROXY")}
    assert {name for name in others if name not in sources} == set()


def test_every_variable_of_the_service_has_its_default_or_an_example_in_the_template() -> None:
    examples = dict(re.findall(rf"^#({PREFIX}[A-Z_]+)=(.*)$", TEMPLATE.read_text(), re.MULTILINE))
    fields = {PREFIX + name.upper(): name for name in ServiceSettings.model_fields if name != "data"}
    defaults = ServiceSettings(data=Path("/data"))
    read = read_settings(examples, Path("/data"))
    other = {name for name in fields.values() if getattr(read, name) != getattr(defaults, name)}
    assert other == {  # examples: what has no default
        "tls_certificate", "tls_key", "cors_origins", "database_url", "event_log", "analyser_url", "smtp_url", "flows",
        "storage_url", "jobs", "encoder", "backbone", "inspect_folder",
    }  # fmt: skip


def test_every_variable_in_the_documentation_exists() -> None:
    known_variables = _in_the_code() | EXAMPLES | set(re.findall(r"[A-Z_]+", TEMPLATE.read_text()))
    harness = {"XAIVA_REQUIRE_ALL"}
    named = matches(r"XAIVA_[A-Z_]*[A-Z]")
    check(
        f"{place}: {match[0]}: nothing reads it" for place, match in named if match[0] not in known_variables | harness
    )


def test_numbers_behind_variables_are_their_defaults() -> None:
    defaults = ServiceSettings(data=Path("/data"))
    mentions = list(matches(rf"`{PREFIX}([A-Z_]+)`\s+\((\d+)[ )]"))
    assert mentions
    check(f"{place}: {match[0]}" for place, match in mentions if float(match[2]) != getattr(defaults, match[1].lower()))
