"""The JSON Schema of a preset file, with which editors complete and check while you type."""

from __future__ import annotations

import json

from core.presets.model import Preset


def schema_text() -> str:
    """The content of `presets/preset.schema.json`."""
    schema = Preset.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "xaiva preset"}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
