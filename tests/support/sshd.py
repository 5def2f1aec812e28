"""A real SSH server on loopback with keys of its own, which lets the current user in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import require, until
from tests.support.ports import HeldPort

_SERVER = Path("/usr/sbin/sshd")


@contextmanager
def serve_ssh(folder: Path) -> Iterator[Path]:
    """Serve, with all files in `folder`; gives the client's configuration, under which the host `here` is this one."""
    require(shutil.which("ssh") and shutil.which("ssh-keygen") and _SERVER.exists(), "an SSH server and client")
    require(os.geteuid() == 0, "root, to run an SSH server")
    folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    with HeldPort() as held_port:
        Path("/run/sshd").mkdir(exist_ok=True)
        (folder / "server").write_text(
            f'Port {held_port.number}\nListenAddress 127.0.0.1\nHostKey "{folder}/host"\nPidFile "{folder}/pid"\n'
            f'AuthorizedKeysFile "{folder}/user.pub"\nStrictModes no\nPermitRootLogin yes\nUsePAM no\n'
            f"PasswordAuthentication no\nSetEnv PATH={os.environ['PATH']}\n"
        )
        (folder / "client").write_text(
            f"Host here\n HostName 127.0.0.1\n Port {held_port.number}\n User root\n"
            f'Host *\n IdentityFile "{folder}/user"\n IdentitiesOnly yes\n BatchMode yes\n LogLevel ERROR\n'
            f' StrictHostKeyChecking no\n UserKnownHostsFile "{folder}/known"\n'
        )
        log = folder / "log"
        with log.open("w") as log_file:
            server = subprocess.Popen(
                [_SERVER, "-D", "-e", "-f", folder / "server"], stderr=log_file, start_new_session=True
            )
        try:
            until(lambda: "listening" in log.read_text())
            yield folder / "client"
        finally:
            server.terminate()
            server.wait()
