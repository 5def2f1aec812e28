"""Streams image archives into `docker load`: a file as it is, or one that is put together on the way."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import IO

from core.artifacts.image_layout import layout_documents
from core.engine import EngineError
from core.images.docker_cli import docker_cli_errors
from core.images.image_archive import SAVE_REMEDY
from core.images.image_blobs import BlobSource, DeliveredImage, read_document, verified_chunks
from core.progress import Progress, stop_if_cancelled
from core.subprocesses import POLL_SECONDS


def docker_load(
    what: str,
    chunks: Iterable[bytes],
    env: Mapping[str, str],
    progress: Progress,
    count: Callable[[int], None],
    stage: str,
) -> list[str]:
    """Pipe an archive into `docker load`; returns the names of the loaded images.

    Raises EngineError when the engine refuses it, Cancelled, and what `chunks` raises; the engine then has no image.
    """
    with tempfile.TemporaryFile() as output:
        with docker_cli_errors():
            child = subprocess.Popen(
                ["docker", "load"], env=dict(env), stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
            )
        assert child.stdin is not None
        try:
            _write_chunks(child.stdin, chunks, progress, count)
            while child.poll() is None:  # the engine unpacks
                stop_if_cancelled(progress)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_SECONDS)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if child.returncode:
        raise EngineError(f"Loading {what}", *_explain_load_error(text.strip()))
    for line in text.splitlines():
        progress.log(line, stage)
    return re.findall(r"Loaded image(?: ID)?: (\S+)", text)


def image_chunks(source: BlobSource, image: DeliveredImage, left_out: Collection[str]) -> Iterator[bytes]:
    """The image as an archive for `docker load`, without the blobs that are left out. Raises DamagedBlob, XaivaError.

    Each blob is checked before its last bytes go out, so that a damaged one cuts the archive.
    """
    manifest = read_document(source, image.manifest)
    documents = layout_documents(image.tag, image.config, image.layers, manifest, image.platform)
    for name, content in documents.items():
        yield _tar_header(name, len(content)) + content + _padding(len(content))
    for sha256 in sorted(image.blobs - set(left_out)):
        size = source.size(sha256)
        yield _tar_header(f"blobs/sha256/{sha256}", size)
        yield from verified_chunks(source, sha256)
        yield _padding(size)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _tar_header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


def _write_chunks(pipe: IO[bytes], chunks: Iterable[bytes], progress: Progress, count: Callable[[int], None]) -> None:
    try:
        with pipe:
            for data in chunks:
                stop_if_cancelled(progress)
                pipe.write(data)
                count(len(data))
    except BrokenPipeError:
        pass  # the engine refused in the middle: its message becomes the error


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
