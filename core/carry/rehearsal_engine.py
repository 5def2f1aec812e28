"""The engine of a rehearsal: a `dockerd` with nothing in it, in the namespaces of the process that starts it."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from core.errors import XaivaError

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1
_LOG_BYTES = 500  # of the end of its log, for an error


@dataclass(frozen=True)
class RehearsalEngine:
    """A running engine. It listens where every client expects one; /run is the namespace's own."""

    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path) -> RehearsalEngine:
        """Start it with its data below `folder`. Raises XaivaError when it does not start here."""
        settings, log = folder / "daemon.json", folder / "dockerd.log"
        settings.write_text("{}")  # the machine's own would name other folders
        command = [
            *("dockerd", f"--config-file={settings}", f"--data-root={folder}/engine", "--exec-root=/run/docker"),
            *("--pidfile=/run/docker.pid", "--host=unix:///run/docker.sock", "--iptables=false", "--ip6tables=false"),
        ]
        with open(log, "ab") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        engine = cls(process)
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run([*_DOCKER, "version"], capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                engine.stop()
                raise XaivaError("The engine of the rehearsal did not start", _end_of(log))
            time.sleep(_POLL_SECONDS)
        return engine

    def stop(self) -> None:
        """Remove its containers, and end it."""
        listed = subprocess.run([*_DOCKER, "ps", "-aq"], capture_output=True, text=True, check=False)
        if containers := listed.stdout.split():
            subprocess.run([*_DOCKER, "rm", "--force", *containers], capture_output=True, check=False)
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _end_of(log: Path) -> str:
    return log.read_bytes()[-_LOG_BYTES:].decode(errors="replace").strip()


_DOCKER = ("docker", "--host", "unix:///run/docker.sock")
