"""Bring images from the artifacts into the engine, without a registry."""

from __future__ import annotations

import re
import subprocess
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from pydantic import JsonValue

from core.artifacts import store
from core.artifacts.lockfile import Lock, LockedImage
from core.engine import EngineError, docker_environment
from core.errors import InputError, XaivaError
from core.files import CHUNK
from core.progress import Progress, Stage, StageState, stop_if_cancelled
from core.site import Site


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Load the base images of preset `subject`; with option `file`, an image archive made by `docker save` instead.

    Returns the tags that are now there. Raises XaivaError when a file is missing or the engine refuses.
    """
    env = docker_environment(site)
    if file := options.get("file"):
        path = site.root / str(file)
        if not path.is_file():
            raise InputError(
                f"Image archive {path}", "there is no such file", "give the path of a `docker save` archive"
            )
        return {"loaded": list(_load_archive(path, env, progress))}
    return {"loaded": list(load_bases(site, subject, store.read_lock(site, subject), env, progress))}


def load_bases(site: Site, preset: str, lock: Lock, env: Mapping[str, str], progress: Progress) -> list[str]:
    """Load those base images of the lock that the engine lacks under our tag; returns all their tags."""
    images = [image for image in (lock.base_image, lock.runtime_base_image) if image is not None]
    unique = {image.tag: image for image in images}
    for image in unique.values():
        if not _is_present(image, env):
            stop_if_cancelled(progress)
            _load_base(store.folder(site, preset), preset, image, env, progress)
    return list(unique)


def image_id(reference: str, env: Mapping[str, str]) -> str:
    """The engine's id of an image; empty when it has none. Raises EngineError when it does not answer."""
    words = ["docker", "image", "inspect", "--format", "{{.Id}}", reference]
    try:
        done = subprocess.run(words, env=dict(env), capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise EngineError("The docker client", "there is no `docker` on PATH", "install docker-cli") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError("Docker engine", "it does not answer within 60 s", "look whether it is alive") from error
    if done.returncode and "no such image" not in done.stderr.lower():
        raise EngineError("Docker engine", done.stderr.strip(), "start it, or name another in site.toml")
    return done.stdout.strip()


def _is_present(image: LockedImage, env: Mapping[str, str]) -> bool:
    """Under our tag, and really that image: the classic store names it by config, containerd's by manifest."""
    return image_id(image.tag, env) in {image.config_digest, image.manifest_digest} - {""}


def _load_base(folder: Path, preset: str, image: LockedImage, env: Mapping[str, str], progress: Progress) -> None:
    layout = folder / image.folder
    if not image.folder or not (layout / "manifest.json").is_file():
        remedy = f"bring it in, online: xaiva sync {preset}"
        raise XaivaError(f"Base image {image.reference}", f"it is not in {layout}", remedy)
    files = sorted(path for path in layout.rglob("*") if path.is_file())

    def feed(sink: IO[bytes], counter: _Counter) -> None:
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.GNU_FORMAT) as tar:
            for path in files:
                counter.check()
                tar.add(path, str(path.relative_to(layout)), recursive=False)

    total = sum(path.stat().st_size for path in files)
    loaded = _docker_load(f"base image {image.reference}", total, feed, env, progress)
    if not loaded:
        raise EngineError(
            f"Base image {image.reference}", "the engine did not say that it loaded it", "verify the artifacts"
        )
    if loaded[-1] != image.tag:
        subprocess.run(["docker", "tag", loaded[-1], image.tag], env=dict(env), check=True, capture_output=True)
    if not _is_present(image, env):
        why = f"what was loaded is {image_id(image.tag, env)}, locked is {image.config_digest}"
        raise XaivaError(f"Base image {image.reference}", why, f"verify the artifacts: xaiva verify {preset}")


def _load_archive(path: Path, env: Mapping[str, str], progress: Progress) -> list[str]:
    def feed(sink: IO[bytes], counter: _Counter) -> None:
        with open(path, "rb") as file:
            while data := file.read(CHUNK):
                counter.check()
                sink.write(data)

    return _docker_load(path.name, path.stat().st_size, feed, env, progress)


class _Counter:
    """Wraps the pipe to the engine: counts and reports what went through, and stops when asked to."""

    def __init__(self, title: str, total: int, sink: IO[bytes], progress: Progress) -> None:
        self._stage = Stage(
            id="load", title=f"load {title}", state=StageState.RUNNING, total=total, unit="bytes", started=time.time()
        )
        self._sink = sink
        self._progress = progress
        self._sent = 0
        self._reported = 0.0
        progress.stage(self._stage)

    def check(self) -> None:
        """Raise Cancelled when the work should stop."""
        stop_if_cancelled(self._progress)

    def write(self, data: bytes) -> int:
        """Pass `data` on."""
        self.check()
        self._sink.write(data)
        self._sent += len(data)
        if time.monotonic() - self._reported > 0.2:
            self._reported = time.monotonic()
            self._progress.stage(self._stage.model_copy(update={"done": min(self._sent, self._stage.total)}))
        return len(data)

    def end(self, state: StageState) -> None:
        """Report how it ended."""
        done = self._stage.total if state is StageState.DONE else min(self._sent, self._stage.total)
        self._progress.stage(self._stage.model_copy(update={"state": state, "done": done, "ended": time.time()}))


def _docker_load(title: str, total: int, feed, env: Mapping[str, str], progress: Progress) -> list[str]:  # type: ignore[no-untyped-def]
    child = subprocess.Popen(
        ["docker", "load"], env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert child.stdin is not None
    assert child.stdout is not None
    said: list[bytes] = []
    listener = threading.Thread(target=lambda: said.append(child.stdout.read()), daemon=True)  # type: ignore[union-attr]
    listener.start()
    counter = _Counter(title, total, child.stdin, progress)
    state = StageState.FAILED
    try:
        try:
            feed(counter, counter)
            child.stdin.close()
        except BrokenPipeError:
            pass  # the engine has said why
        code = child.wait()
        listener.join()
        text = b"".join(said).decode(errors="replace")
        if code:
            raise EngineError(
                f"Loading {title}", text.strip()[-500:], "verify the artifacts, look at the engine's disk"
            )
        state = StageState.DONE
        for line in text.splitlines():
            progress.log(line, "load")
        return re.findall(r"Loaded image(?: ID)?: (\S+)", text)
    finally:
        if child.poll() is None:
            state = StageState.CANCELLED if progress.cancelled() else state
            child.kill()
            child.wait()
        counter.end(state)
        for pipe in (child.stdin, child.stdout):
            try:
                pipe.close()
            except (OSError, BrokenPipeError, ValueError):
                pass
