"""The template of `.env` explains what the service reads, with the defaults it has."""

from __future__ import annotations

import re
from pathlib import Path

from core.inference.settings import PREFIX, ServiceSettings, read_settings

TEMPLATE = Path(__file__).parent.parent / "env.template"


def test_every_variable_of_the_service_is_explained_with_a_value_it_takes() -> None:
    shown = dict(re.findall(rf"^#({PREFIX}[A-Z_]+)=(.*)$", TEMPLATE.read_text(), re.MULTILINE))
    fields = {PREFIX + name.upper(): name for name in ServiceSettings.model_fields if name != "data"}
    assert set(fields) <= set(shown)
    defaults = ServiceSettings(data=Path("/data"))
    read = read_settings(shown, Path("/data"))
    other = {name for name in fields.values() if getattr(read, name) != getattr(defaults, name)}
    assert other == {  # examples: what has no default
        "tls_certificate", "tls_key", "cors_origins", "database_url", "event_log", "analyser_url", "smtp_url", "flows",
    }  # fmt: skip
