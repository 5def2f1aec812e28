"""The published JSON Schema and the model say the same."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from core.presets.schema import schema_text

from .conftest import CHECKOUT, SHIPPED
from .test_loading import GOOD, USERS_PRESET

FILE = CHECKOUT / "presets" / "preset.schema.json"
SCHEMA = json.loads(FILE.read_text())


def test_the_published_schema_is_that_of_the_model() -> None:
    assert FILE.read_text() == schema_text(), "write it again: xaiva preset schema > presets/preset.schema.json"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_preset_refers_to_the_schema_and_satisfies_it(path: Path) -> None:
    data = json.loads(path.read_text())
    assert data["$schema"] == "./preset.schema.json"
    jsonschema.validate(data, SCHEMA)


def test_the_users_preset_satisfies_it() -> None:
    jsonschema.validate(json.loads(USERS_PRESET), SCHEMA)


@pytest.mark.parametrize(
    "fields",
    [
        {"base_imge": "x"},
        {"base_image": "debian; reboot"},
        {"python_version": "3"},
        {"layers": [{"name": "Bad Name", "requirements": []}]},
        {"run": {"ports": ["8600"]}},
        {"run": {"restart": "allways"}},
        {"debs": ["Bad_Name"]},
    ],
)
def test_it_refuses_what_the_model_refuses(fields: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**GOOD, **fields}, SCHEMA)
