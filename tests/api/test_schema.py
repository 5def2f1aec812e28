"""Thousands of valid and invalid requests generated from the OpenAPI document find no fault."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Events
from tests.api.serving import TOKEN, Running
from tests.support.proofs import full

# Every edge of every value (some 2,500 requests) and a few drawn at random; in full, as many of these as time allows.
LENGTH = "--max-time=35" if full("requests") else "--max-examples=3"
DEADLINE = 300.0  # seconds

# A value may be right by the document and still be refused: a source that is no address, a cursor of another order.
CONFIGURATION = """
seed = 7
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "416", "422", "429"]
[parameters]
event = "{event}"
"""


@pytest.mark.slow
@pytest.mark.proof("requests")
def test_requests_made_from_the_document_find_nothing(running: Running, events: Events, tmp_path: Path) -> None:
    running.server.close_streams()  # a stream without an end would be waited for: they are tested elsewhere
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.format(event=events.gate))
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={configuration}",
        "run",
        f"{running.url}/openapi.json",
        f"--header=Authorization: Bearer {TOKEN}",
        "--phases=coverage,fuzzing,stateful",
        LENGTH,
        "--request-timeout=30",
        "--continue-on-failure",
    ]
    env = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Tested: (\d+)", done.stdout)[1] == re.search(r"Selected: (\d+)/", done.stdout)[1]  # type: ignore[index]


def test_the_document_names_a_problem_for_every_error(running: Running) -> None:
    paths = httpx.get(f"{running.url}/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            for code, answer in operation["responses"].items():
                if int(code) >= 400:
                    (schema,) = [content["schema"]["$ref"] for content in answer["content"].values()]
                    kind = schema.rsplit("/", 1)[1]
                    assert kind == "Problem" or (kind == "Health" and path.startswith("/health")), (path, method, code)
    assert "HTTPValidationError" not in json.dumps(paths)
