"""The inference service as a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.errors import XaivaError
from core.service_client import ServiceClient
from core.site import Site
from tests.support import until
from tests.support.ports import HeldPort

TOKEN = "service-token-of-the-tests-0123456789"
ROOT = Path(__file__).parent.parent.parent
SAMPLE_JOBS = "SAMPLE_JOBS"  # with this variable, a fork has the sample kinds of jobs as well
COMMAND = ("-m", "core.inference")  # as an image starts it

# To import the service takes four times as long as all else until it answers: one process does so, and is forked. It
# listens on a socket below the folder for temporary files, whose path the kernel limits to 107 bytes.
_CAN_FORK = len(os.fsencode(tempfile.gettempdir())) < 70
_IMPORTED = multiprocessing.get_context("forkserver")
_IMPORTED.set_forkserver_preload(
    ["pytest", "core.inference.startup_cameras", "core.inference.service", "core.inference.server"]
)


class ServiceProcess:
    """`xaiva-inference serve` on a port of its own. With a `command` for Python it is a new process, else a fork."""

    def __init__(
        self, data: Path, *arguments: str, command: Sequence[str] = (), folder: Path = ROOT, **env: str
    ) -> None:
        self._held = HeldPort()
        self.port = self._held.number
        self.log = data.parent / f"service-{self.port}.log"
        words = ["serve", "--port", str(self.port), "--data", str(data), *arguments]
        environment = {**os.environ, "XAIVA_SERVICE_TOKEN": TOKEN, **env}
        self.process: subprocess.Popen[bytes] | _Forked
        if command or not _CAN_FORK:
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, *(command or COMMAND), *words], cwd=folder, env=environment, stdout=log, stderr=log
                )
        else:
            self.process = _Forked(words, environment, folder, self.log)
        self.client = ServiceClient(f"http://127.0.0.1:{self.port}", 5, token=TOKEN)

    def ready(self) -> ServiceProcess:

        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return self.client.health().ready
            except XaivaError:
                return False

        until(answers, bool)
        return self

    def stop(self) -> int | None:
        """Stop it as an engine does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@contextmanager
def running_service(folder: Path) -> Iterator[ServiceProcess]:
    """A service with its data in `folder`, which is killed at the end."""
    (folder / "data").mkdir()
    running = ServiceProcess(folder / "data")
    try:
        yield running.ready()
    finally:
        running.process.kill()
        running.process.wait()


class _Forked:
    """A forked service with the interface of Popen."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        arguments = (words, environment, folder, log)
        self._process = _IMPORTED.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


def _serve(words: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
    """Runs in the forked process."""
    from core.inference.__main__ import main

    with open(log, "wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if environment.get(SAMPLE_JOBS):
        from tests.support import sample_jobs

        sample_jobs.place.TABLE = sample_jobs.TABLE
    sys.exit(main(words))


def site_of(service: ServiceProcess, site: Site) -> Site:
    """The site with this service in its settings and its token in its environment."""
    named = site.settings.service.model_copy(update={"url": service.client.url})
    settings = site.settings.model_copy(update={"service": named})
    return Site(site.root, settings, {**site.env, "XAIVA_SERVICE_TOKEN": TOKEN})
