"""Running the command line as a user would: a process of its own, with what it printed and its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from core.site import Site

PRESET = '{"base_image": "debian:bookworm-slim", "python_version": "3.11", "metadata": {"description": "For tests"}}\n'


class Run:
    """One finished command."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def document(self) -> Any:
        """The one JSON document it printed."""
        return json.loads(self.out)


Xaiva = Callable[..., Run]


@pytest.fixture
def xaiva(site: Site) -> Xaiva:
    """`xaiva(*words, env={})` on an empty site with the preset `small`."""
    (site.presets / "small.json").write_text(PRESET)

    def run(*words: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Run:
        done = subprocess.run(
            command(site, *words),
            env={**os.environ, "COLUMNS": "110", **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Run(done)

    return run


def command(site: Site, *words: str) -> list[str]:
    """The command line's words for a site."""
    return [sys.executable, "-m", "core.cli", "--site", os.fspath(site.root), *words]


@contextlib.contextmanager
def interruptible(words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that Ctrl-C reaches, also where the tests themselves run in the background, which ignores it."""
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    ) as child:
        try:
            yield child
        finally:
            child.kill()
