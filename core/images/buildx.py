"""Runs `docker buildx build` as a child process: arguments, progress, exit code, cancellation."""

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
from core.images.build_stages import StageTree
from core.images.buildkit_progress import PlainReader, ProgressReader, RawJsonReader
from core.images.docker_cli import run_docker
from core.progress import Progress

RAWJSON_SINCE = (0, 13)  # the first buildx with --progress=rawjson
_POLL_SECONDS = 0.1  # between checks for a cancel
_TERMINATE_SECONDS = 0.5  # between SIGTERM and SIGKILL
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class BuildRequest:
    """What to build; without a `target`, the last stage.

    `secrets` are names of environment variables, which the build gets as BuildKit secrets; `options` are further
    words for buildx.
    """

    context: Path
    dockerfile: Path
    target: str
    tag: str
    builder: str = "default"
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    no_cache: bool = False
    options: Sequence[str] = ()


@dataclass(frozen=True)
class BuildResult:
    """How buildx ended. `metadata` is what it wrote about the image; empty after a failure."""

    code: int
    cancelled: bool
    metadata: Mapping[str, Any]


def buildx_version(env: Mapping[str, str]) -> tuple[int, int]:
    """Major and minor version of the buildx plugin. Raises XaivaError when it is missing."""
    done = run_docker("buildx", "version", env=env)
    match = re.search(r"\bv?(\d+)\.(\d+)\.", done.stdout)
    if done.returncode or not match:
        why = (done.stderr or done.stdout).strip() or "it did not report its version"
        raise XaivaError("docker buildx", why, "install the buildx plugin (docker-buildx or docker-buildx-plugin)")
    return int(match[1]), int(match[2])


def builder_name(engine: Endpoint) -> str:
    """The builder of the engine itself, which has the name of the docker context; never one in a container."""
    return engine.named_by.removeprefix("context ") if engine.named_by.startswith("context ") else "default"


def build_command(request: BuildRequest, *options: str) -> list[str]:
    """The command line of the build; `options` say how it reports, and change nothing in the image."""
    arguments = ["docker", "buildx", "build", "--builder", request.builder, "--network", "none", "--pull=false"]
    arguments += [*options, "--provenance=false"]
    arguments += ["--file", str(request.dockerfile), "--tag", request.tag]
    if request.target:
        arguments += ["--target", request.target]
    for key, value in request.arguments.items():
        arguments += ["--build-arg", f"{key}={value}"]
    for key, value in request.labels.items():
        arguments += ["--label", f"{key}={value}"]
    for name in request.secrets:
        arguments += ["--secret", f"id={name},env={name}"]
    if request.no_cache:
        arguments.append("--no-cache")
    return [*arguments, *request.options, str(request.context)]


def run_build(request: BuildRequest, env: Mapping[str, str], tree: StageTree, progress: Progress) -> BuildResult:
    """Build and report to `tree`; stops within a second after `progress` was cancelled."""
    use_rawjson = buildx_version(env) >= RAWJSON_SINCE
    reader: ProgressReader = RawJsonReader() if use_rawjson else PlainReader()
    with tempfile.TemporaryDirectory(prefix="xaiva-build-") as scratch:
        metadata = Path(scratch) / "metadata.json"
        format_ = "rawjson" if use_rawjson else "plain"
        arguments = build_command(request, "--progress", format_, "--metadata-file", str(metadata))
        # The child stays in our process group, so that killing the group kills it too.
        child = subprocess.Popen(
            arguments, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            cancelled = _follow(child, reader, tree, progress)
        finally:
            _stop(child)
        description = _read_metadata(metadata)
    return BuildResult(child.returncode, cancelled, description)


def _read_metadata(path: Path) -> dict[str, Any]:
    """What buildx wrote about the image; empty when it cannot be read."""
    try:
        metadata = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _follow(child: subprocess.Popen[bytes], reader: ProgressReader, tree: StageTree, progress: Progress) -> bool:
    assert child.stderr is not None
    pipe = child.stderr.fileno()
    while not progress.cancelled():
        if select.select([pipe], [], [], _POLL_SECONDS)[0]:
            data = os.read(pipe, _READ_BYTES)
            if not data:
                child.wait()
                break
            for event in reader.feed(data):
                tree.apply_event(event)
    else:
        return True
    for event in reader.close():
        tree.apply_event(event)
    return False


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the client and its plugin; the engine stops the build when the connection closes."""
    if child.stderr is not None:
        child.stderr.close()
    if child.poll() is not None:
        return
    try:
        descendants = psutil.Process(child.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        descendants = []
    child.terminate()
    for process in descendants:
        _ignore_missing(process.terminate)
    deadline = time.monotonic() + _TERMINATE_SECONDS
    _, alive = psutil.wait_procs(descendants, timeout=_TERMINATE_SECONDS)
    for process in alive:
        _ignore_missing(process.kill)
    try:
        child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _ignore_missing(action: Any) -> None:
    try:
        action()
    except psutil.NoSuchProcess:
        pass
