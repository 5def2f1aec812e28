"""A folder of xaiva and the engine that it talks to, as a person at a shell uses them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.support.engine import TestEngine

END_SECONDS = 60.0

Value = TypeVar("Value")


@dataclass
class Place:
    """A folder of xaiva and the engine that it talks to; `home` is where `~` leads, if not to the tests' own."""

    folder: Path
    engine: TestEngine
    home: Path | None = None

    def run(self, command: list[str], folder: Path) -> str:
        """Run a command in the engine's own network; returns what it printed."""
        env = {name: value for name, value in self.engine.env.items() if not name.startswith("XAIVA_")}
        env |= {"HOME": str(self.home)} if self.home else {}
        done = subprocess.run(
            self.engine.inside(command), cwd=folder, env=env, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def xaiva(self, *arguments: str) -> str:
        """Run `./xaiva` in its folder."""
        return self.run(["./xaiva", *arguments], self.folder)

    def json(self, *arguments: str) -> Any:
        """The JSON document a command prints."""
        return json.loads(self.xaiva(*arguments, "--json"))


def eventually(attempt: Callable[[], Value]) -> Value:
    """The attempt's result, as soon as it passes."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        try:
            return attempt()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
