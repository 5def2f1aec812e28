"""Runs the command line in this process, or in a separate one where the test needs that."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from core.cli import main
from core.site import Site

PRESET = '{"base_image": "debian:bookworm-slim", "python_version": "3.11", "metadata": {"description": "For tests"}}\n'
COLUMNS = "110"


class Run(NamedTuple):
    """The output and exit code of one command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document it printed."""
        return json.loads(self.out)


Xaiva = Callable[..., Run]


@pytest.fixture
def small_site(site: Site) -> Site:
    """An empty site with the preset `small`."""
    (site.presets / "small.json").write_text(PRESET)
    return site


@pytest.fixture
def xaiva(small_site: Site, capfd: pytest.CaptureFixture[str]) -> Xaiva:
    """`xaiva(*words, env={}, stdin="")` in this process: commands are many, and starting one takes half a second."""

    def run(*words: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Run:
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"COLUMNS": COLUMNS, **(env or {})}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["xaiva", *arguments(small_site, *words)])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
            # Where nobody has set up logging, as in the command's own process, warnings are printed.
            patch.setattr(logging.root, "handlers", [*logging.root.handlers, logging.lastResort])
            code = main()
        return _said(code, *capfd.readouterr())

    return run


@pytest.fixture
def xaiva_process(small_site: Site) -> Xaiva:
    """The same in a process of its own."""

    def run(*words: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Run:
        done = subprocess.run(
            command(small_site, *words),
            env={**os.environ, "COLUMNS": COLUMNS, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return _said(done.returncode, done.stdout, done.stderr)

    return run


def _said(code: int, out: str, err: str) -> Run:
    assert "Traceback" not in out + err
    return Run(code, out, err)


def arguments(site: Site, *words: str) -> list[str]:
    """The arguments of the command line for a site."""
    return ["--site", os.fspath(site.root), *words]


def command(site: Site, *words: str) -> list[str]:
    """The command that starts it as a process."""
    return [sys.executable, "-m", "core.cli", *arguments(site, *words)]
