"""Short-lived containers of a base image with network access: its own tools resolve packages or build wheels there."""

from __future__ import annotations

import io
import secrets
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.artifacts.build_failures import explain_failure
from core.artifacts.index_settings import PROXY_VARIABLES
from core.artifacts.orphaned_helpers import helper_label
from core.engine import engine_errors
from core.errors import Cancelled, XaivaError
from core.files import CHUNK_BYTES
from core.progress import Progress, stop_if_cancelled

if TYPE_CHECKING:
    import docker

POLL_SECONDS = 0.2


class HelperFailed(XaivaError):
    """The script ended with an error; `lines` is its error output."""

    def __init__(self, what: str, why: str, remedy: str, lines: Sequence[str] = ()) -> None:
        super().__init__(what, why, remedy)
        self.lines = lines


class HelperContainer:
    """Runs one shell script in a container with the host's network. A context manager that removes the container.

    The script gets the environment `env` and the proxies of `machine_env`.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        image: str,
        script: str,
        env: Mapping[str, str],
        machine_env: Mapping[str, str],
    ) -> None:
        proxies = {name: value for name, value in machine_env.items() if name.lower() in PROXY_VARIABLES}
        with engine_errors(f"A helper container of {image}"):
            self._container: Any = client.containers.create(
                image,
                command=["-eu", "-c", script],
                entrypoint=["/bin/sh"],
                user="0:0",
                network_mode="host",
                environment={**proxies, **env},
                labels=helper_label(),
                name=f"xaiva-helper-{secrets.token_hex(4)}",  # the engine's own names say nothing
            )
        self._image = image
        self._output: list[bytes] = []

    def __enter__(self) -> HelperContainer:
        return self

    def __exit__(self, *_: object) -> None:
        with engine_errors(f"Removing the helper container of {self._image}"):
            self._container.remove(force=True, v=True)

    def write_file(self, folder: str, name: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file that belongs to root into the container, before it runs; it is removed with the container."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
        with engine_errors(f"Writing into the helper container of {self._image}"):
            self._container.put_archive(folder, buffer.getvalue())

    def copy_files(self, folder: str, files: Sequence[Path], progress: Progress) -> None:
        """Copy files of any size into a new `folder` of the container, before it runs. Raises Cancelled, OSError."""
        parent, _, name = folder.rpartition("/")
        with engine_errors(f"Writing into the helper container of {self._image}"):
            self._container.put_archive(parent or "/", _tar(name, files, progress))

    def run(self, progress: Progress, what: str, stage: str = "") -> str:
        """Run the script to its end and return its standard output; its error output goes to the log, line by line.

        Raises HelperFailed about `what` when the script fails, Cancelled.
        """
        errors: list[str] = []
        with engine_errors(what):
            # Attach before the start: the engine may never close a stream that is attached while the container ends.
            output = self._container.attach(stdout=True, stderr=True, stream=True, demux=True)
            self._container.start()
            reader = threading.Thread(target=self._read, args=(output, progress, stage, errors), daemon=True)
            reader.start()
            while reader.is_alive():
                reader.join(POLL_SECONDS)
                if progress.cancelled():
                    raise Cancelled()
            code = self._container.wait(timeout=10)["StatusCode"]
        if code:
            raise HelperFailed(what, *explain_failure(errors, code), errors)
        return b"".join(self._output).decode(errors="replace")

    def read_files(self, folder: str) -> dict[str, bytes]:
        """Name → content of the files in `folder` of the container."""
        with engine_errors(f"Reading from the helper container of {self._image}"):
            chunks, _ = self._container.get_archive(folder)
            data = io.BytesIO(b"".join(chunks))
        files = {}
        with tarfile.open(fileobj=data) as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isfile() else None
                if source is not None:
                    files[Path(member.name).name] = source.read()
        return files

    def _read(
        self, output: Iterable[tuple[bytes | None, bytes | None]], progress: Progress, stage: str, errors: list[str]
    ) -> None:
        rest = b""
        for out, err in output:
            if out:
                self._output.append(out)
            if err:
                *lines, rest = (rest + err).split(b"\n")
                for raw in lines:
                    line = raw.decode(errors="replace").rstrip()
                    errors.append(line)
                    progress.log(line, stage)


def _tar(name: str, files: Sequence[Path], progress: Progress) -> Iterator[bytes]:
    """A tar of a folder `name` with these files, in chunks."""
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    yield folder.tobuf()
    for path in files:
        entry = tarfile.TarInfo(f"{name}/{path.name}")
        entry.size = path.stat().st_size
        yield entry.tobuf()
        with open(path, "rb") as file:
            while data := file.read(CHUNK_BYTES):
                stop_if_cancelled(progress)
                yield data
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
