"""Runs `docker buildx build` as a child process: arguments, progress, exit, cancellation."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from core.engine import Endpoint
from core.errors import XaivaError
from core.images.client import docker
from core.images.progress_stream import Plain, RawJson, Reader
from core.images.stages import StageTree
from core.progress import Progress

RAWJSON_SINCE = (0, 13)  # the first buildx that knows --progress=rawjson
_POLL = 0.1  # seconds between two looks at whether to stop
_GRACE = 0.5  # seconds a child has between being asked to stop and being killed
_READ = 1 << 16


@dataclass(frozen=True)
class Request:
    """What to build. `secrets` names variables of the environment; they reach the build as BuildKit secrets."""

    context: Path
    dockerfile: Path
    target: str
    tag: str
    builder: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    no_cache: bool = False


@dataclass(frozen=True)
class Result:
    """How buildx ended; `metadata` is what it wrote about the image, empty after a failure."""

    code: int
    cancelled: bool
    metadata: Mapping[str, Any]


def buildx_version(env: Mapping[str, str]) -> tuple[int, int]:
    """Major and minor version of the buildx plugin. Raises XaivaError when it is missing."""
    done = docker("buildx", "version", env=env)
    match = re.search(r"\bv?(\d+)\.(\d+)\.", done.stdout)
    if done.returncode or not match:
        why = (done.stderr or done.stdout).strip() or "it did not say its version"
        raise XaivaError("docker buildx", why, "install the buildx plugin (docker-buildx or docker-buildx-plugin)")
    return int(match[1]), int(match[2])


def builder_of(engine: Endpoint) -> str:
    """The builder inside that engine: every docker context has one of its name. Never one in a container of its own."""
    return engine.named_by.removeprefix("context ") if engine.named_by.startswith("context ") else "default"


def command(request: Request, progress: str, metadata: Path) -> list[str]:
    """The whole command line."""
    words = ["docker", "buildx", "build", "--builder", request.builder, "--network", "none", "--pull=false"]
    words += ["--progress", progress, "--metadata-file", str(metadata), "--provenance=false"]
    words += ["--file", str(request.dockerfile), "--target", request.target, "--tag", request.tag]
    for key, value in request.labels.items():
        words += ["--label", f"{key}={value}"]
    for name in request.secrets:
        words += ["--secret", f"id={name},env={name}"]
    if request.no_cache:
        words.append("--no-cache")
    return [*words, str(request.context)]


def build(request: Request, env: Mapping[str, str], tree: StageTree, progress: Progress) -> Result:
    """Build, feeding `tree` with what happens; stops within a second after `progress` says so."""
    raw = buildx_version(env) >= RAWJSON_SINCE
    reader: Reader = RawJson() if raw else Plain()
    with tempfile.TemporaryDirectory(prefix="xaiva-build-") as scratch:
        metadata = Path(scratch) / "metadata.json"
        words = command(request, "rawjson" if raw else "plain", metadata)
        # The child stays in our process group: whoever kills the group of an operation ends it, too.
        child = subprocess.Popen(
            words, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            cancelled = _follow(child, reader, tree, progress)
        finally:
            _stop(child)
        found = _read_metadata(metadata)
    return Result(child.returncode, cancelled, found)


def _read_metadata(path: Path) -> dict[str, Any]:
    """What buildx says of the image; nothing where it says it in a way that is not known."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _follow(child: subprocess.Popen[bytes], reader: Reader, tree: StageTree, progress: Progress) -> bool:
    assert child.stderr is not None
    pipe = child.stderr.fileno()
    while not progress.cancelled():
        if select.select([pipe], [], [], _POLL)[0]:
            data = os.read(pipe, _READ)
            if not data:
                child.wait()
                break
            for event in reader.feed(data):
                tree.take(event)
    else:
        return True
    for event in reader.close():
        tree.take(event)
    return False


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the client and its plugin; the engine ends the build when the connection goes."""
    if child.stderr is not None:
        child.stderr.close()
    if child.poll() is not None:
        return
    try:
        family = psutil.Process(child.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    child.terminate()
    for process in family:
        _quietly(process.terminate)
    end = time.monotonic() + _GRACE
    _, alive = psutil.wait_procs(family, timeout=_GRACE)
    for process in alive:
        _quietly(process.kill)
    try:
        child.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _quietly(action: Any) -> None:
    try:
        action()
    except psutil.NoSuchProcess:
        pass
