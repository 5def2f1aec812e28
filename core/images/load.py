"""Loads images from the artifacts into the engine, without a registry."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from pydantic import JsonValue

from core.artifacts import lock_store
from core.artifacts.base_image import stream_image
from core.artifacts.lockfile import Lock, LockedImage
from core.engine import EngineError, docker_environment, require_engine_version
from core.errors import Cancelled, XaivaError
from core.files import CHUNK_BYTES
from core.images.docker_cli import docker_cli_errors, run_docker
from core.images.image_archive import SAVE_REMEDY, check_image_archive
from core.progress import Progress, Stage, StageState, stop_if_cancelled
from core.site import Site

_REPORT_SECONDS = 0.2  # between reports of the bytes sent


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Load the base images of preset `subject`, or with the option `file` an archive of `docker save`.

    Returns the tags that were loaded. Raises XaivaError when a file is missing or the engine refuses.
    """
    env = docker_environment(site)
    if file := options.get("file"):
        path = site.root / str(file)
        check_image_archive(path)
        require_engine_version(site)
        return {"loaded": list(_docker_load(path.name, path.stat().st_size, _read_chunks(path), env, progress))}
    lock = lock_store.read_lock(site, subject)
    require_engine_version(site)
    return {"loaded": list(load_bases(site, subject, lock, env, progress))}


def load_bases(site: Site, preset: str, lock: Lock, env: Mapping[str, str], progress: Progress) -> list[str]:
    """Load the base images of the lock that the engine does not have under xaiva's tag; returns all tags."""
    images = [image for image in (lock.base_image, lock.runtime_base_image) if image is not None]
    unique = {image.tag: image for image in images}
    for image in unique.values():
        if not _is_present(image, env):
            stop_if_cancelled(progress)
            _load_base(lock_store.artifacts_folder(site, preset), preset, image, env, progress)
    return list(unique)


def image_id(reference: str, env: Mapping[str, str]) -> str:
    """The engine's id of an image; empty when it does not have it. Raises EngineError when it does not answer."""
    done = run_docker("image", "inspect", "--format", "{{.Id}}", reference, env=env)
    if done.returncode and "no such image" not in done.stderr.lower():
        raise EngineError("Docker engine", done.stderr.strip(), "see what is wrong with it: xaiva doctor")
    return done.stdout.strip()


def _is_present(image: LockedImage, env: Mapping[str, str]) -> bool:
    """Whether xaiva's tag names that image. Its id is the config's digest, or the manifest's in containerd's store."""
    return image_id(image.tag, env) in {image.config_digest, image.manifest_digest} - {""}


def _load_base(folder: Path, preset: str, image: LockedImage, env: Mapping[str, str], progress: Progress) -> None:
    what = f"Base image {image.reference}"
    layout = folder / image.folder
    if not image.folder or not (layout / "manifest.json").is_file():
        raise XaivaError(what, f"it is not in {layout}", f"fetch it, online: xaiva sync {preset}")
    total = sum(path.stat().st_size for path in layout.rglob("*") if path.is_file())
    loaded = _docker_load(what, total, stream_image(folder, image), env, progress)
    if loaded and loaded[-1] != image.tag:
        run_docker("tag", loaded[-1], image.tag, env=env)
    if not _is_present(image, env):
        why = f"the loaded image is {image_id(image.tag, env) or 'missing'}, but the lock has {image.config_digest}"
        raise XaivaError(what, why, f"find the damaged file: xaiva verify {preset}")


def _read_chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while data := file.read(CHUNK_BYTES):
            yield data


def _docker_load(
    what: str, total: int, chunks: Iterable[bytes], env: Mapping[str, str], progress: Progress
) -> list[str]:
    """Pipe an archive of about `total` bytes into `docker load`; returns the names of the loaded images."""
    stage = Stage(
        id="load", title=f"load {what}", state=StageState.RUNNING, total=total, unit="bytes", started=time.time()
    )
    progress.stage(stage)
    state = StageState.FAILED
    with tempfile.TemporaryFile() as output:
        with docker_cli_errors():
            child = subprocess.Popen(
                ["docker", "load"], env=dict(env), stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
            )
        assert child.stdin is not None
        try:
            _write_chunks(child.stdin, chunks, stage, progress)
            code = child.wait()
            output.seek(0)
            text = output.read().decode(errors="replace")
            if code:
                raise EngineError(f"Loading {what}", *_explain_load_error(text.strip()))
            state = StageState.DONE
        except Cancelled:
            state = StageState.CANCELLED
            raise
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            progress.stage(stage.model_copy(update={"state": state, "done": total, "ended": time.time()}))
    for line in text.splitlines():
        progress.log(line, stage.id)
    return re.findall(r"Loaded image(?: ID)?: (\S+)", text)


def _explain_load_error(text: str) -> tuple[str, str]:
    """Cause and remedy when the engine refuses an archive; `text` is its message."""
    if "manifest.json" in text or "/docker-import-" in text:
        why = "it is an OCI layout without a manifest.json, which this engine's image store cannot read"
        return why, f"{SAVE_REMEDY}; or convert it: skopeo copy oci-archive:FILE docker-archive:NEW:NAME:TAG"
    why = text[-500:]
    if "no space left" in text.lower():
        return why, "make room on the engine's disk: docker system df"
    if re.search(r"unexpected EOF|invalid tar header|checksum|digest|flate|corrupt", text):
        return why, "the file is damaged: copy it again; for the artifacts of a preset: xaiva verify PRESET"
    return why, "see what is wrong with the engine: xaiva doctor"


def _write_chunks(pipe: IO[bytes], chunks: Iterable[bytes], stage: Stage, progress: Progress) -> None:
    sent_bytes, reported = 0, 0.0
    try:
        with pipe:
            for data in chunks:
                stop_if_cancelled(progress)
                pipe.write(data)
                sent_bytes += len(data)
                if time.monotonic() - reported > _REPORT_SECONDS:
                    reported = time.monotonic()
                    progress.stage(stage.model_copy(update={"done": min(sent_bytes, stage.total)}))
    except BrokenPipeError:
        pass  # the engine refused in the middle: its message becomes the error
