"""The code samples of the documentation can be parsed, and presets, flows and settings in them are valid."""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.api_schema import CameraRequest
from core.errors import XaivaError
from core.inference.flows.flow_file import read_flows
from core.inference.inspection.encoder import EncoderDescription
from core.inference.models.onnx_backbone import BackboneDescription
from core.inference.models.onnx_detector import ModelDescription
from core.inference.startup_cameras import CameraFile
from core.presets.compat.rows import GpuRow, WheelTagRow
from core.presets.model import Preset, Run
from core.service_client import text_formats
from core.site import SiteSettings
from core.toml import tomllib
from tests.docs.pages import Piece, all_blocks, all_spans, check, page
from tests.docs.shell import command_lines

ABOUT_PRESETS = ("docs/presets.md", "docs/artifacts.md")
PLACEHOLDERS = {"<64 digits>": "0" * 64, "<uuid>": "0"}
SMALLEST = {"base_image": "debian:bookworm-slim", "python_version": "3.11"}
OUTPUTS = ({"error"}, {"id", "rule", "test", "count", "first", "events", "event"})  # keys of what xaiva itself writes
NOTATIONS: dict[str, Callable[[str], object]] = {
    "--schedule": text_formats.parse_schedule,
    "--zone": text_formats.parse_zone,
    "--mask": text_formats.parse_polygon,
    "--since": text_formats.parse_time_of_past,
    "--until": text_formats.parse_time_of_past,
}


class Rows(BaseModel):
    """A site's own rows of the compatibility tables."""

    rows: list[WheelTagRow | GpuRow]


def _parsed(text: str) -> dict[str, Any]:
    """A JSON document, or some of its keys. Raises ValueError."""
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    document: dict[str, Any] = json.loads(text if text.startswith("{") else "{" + text + "}")
    return document


def _validate(text: str) -> None:
    """Validate a sample by its keys. Raises ValueError, or LookupError if its kind is unknown."""
    sample = _parsed(text)
    keys = set(sample)
    if keys <= {*Preset.model_fields, "$schema"}:
        Preset.model_validate({**SMALLEST, **sample})
    elif keys <= set(Run.model_fields):
        Run.model_validate(sample)
    elif keys == {"cameras"}:
        CameraFile.model_validate(sample)
    elif keys <= set(CameraRequest.model_fields):
        CameraRequest.model_validate(sample)
    elif keys <= set(ModelDescription.model_fields):
        ModelDescription.model_validate(sample)
    elif keys <= set(EncoderDescription.model_fields):
        EncoderDescription.model_validate(sample)
    elif keys <= set(BackboneDescription.model_fields):
        BackboneDescription.model_validate(sample)
    elif keys == {"rows"}:
        Rows.model_validate(sample)
    elif keys not in OUTPUTS:
        raise LookupError(f"no model has the keys {', '.join(keys)}")


def _problem(read: Callable[[str], object], text: str) -> str:
    try:
        read(text)
    except (XaivaError, LookupError, ValueError, SyntaxError) as error:
        return f"{error}"
    return ""


def _problems(pieces: list[Piece], read: Callable[[str], object]) -> list[str]:
    return [f"{piece.place}: {problem}" for piece in pieces if (problem := _problem(read, piece.text))]


def _blocks(language: str) -> list[Piece]:
    blocks = [block for block in all_blocks() if block.language == language]
    assert blocks
    return blocks


def test_every_block_of_json_is_what_it_looks_like() -> None:
    check(_problems(_blocks("json"), _validate))


def test_settings_in_a_sentence_are_good_ones() -> None:
    spans = [
        span
        for span in all_spans()
        if (span.page in ABOUT_PRESETS and span.text.startswith('"') and '": ' in span.text)
        or (span.page == "docs/cameras.md" and span.text.startswith("{"))
    ]
    assert len(spans) >= 5
    check(_problems(spans, _validate))


def test_the_examples_of_a_presets_fields_are_good_ones() -> None:
    rows = [row for heading in ("The image", "`run`") for row in page("docs/presets.md").table(heading).rows]
    examples = [(span, row[0].spans[0].text) for row in rows for span in row[1].spans]
    assert len(examples) > 15
    check(
        f"{span.place}: {problem}"
        for span, field in examples
        if (problem := _problem(_validate, f'"{field}": {span.text}'))
    )


def test_every_block_of_toml_is_what_it_looks_like(tmp_path: Path) -> None:
    flows = tmp_path / "flows.toml"

    def read(text: str) -> None:
        if set(content := tomllib.loads(text)) <= set(SiteSettings.model_fields):
            SiteSettings.model_validate(content)
        else:
            flows.write_text(text)
            read_flows(flows)

    check(_problems(_blocks("toml"), read))


def test_numbers_in_samples_of_site_toml_are_the_defaults() -> None:
    defaults = SiteSettings().model_dump()
    check(
        f"{block.place}: {section}.{key} is {defaults[section][key]}"
        for block in _blocks("toml")
        for section, content in tomllib.loads(block.text).items()
        if section in defaults and isinstance(content, dict)
        for key, value in content.items()
        if isinstance(value, (int, float)) and defaults[section][key] != value
    )


def test_every_block_of_python_can_be_parsed() -> None:
    check(_problems(_blocks("python"), ast.parse))


def test_values_of_options_are_written_as_they_are_read() -> None:
    values = [
        (piece, option, value)
        for piece, words, _ in command_lines()
        for option, value in itertools.pairwise(words)
        if option in NOTATIONS and "…" not in value and not value.startswith("--")
    ]
    assert values
    check(
        f"{piece.place}: {option}: {problem}"
        for piece, option, value in values
        if (problem := _problem(NOTATIONS[option], value))
    )
