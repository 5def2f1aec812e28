"""A PostgreSQL server of the tests' own, as the user that it demands to run as."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from tests.support import require
from tests.support.ports import HeldPort

START_SECONDS = 30
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"


class Postgres:
    """A server on a port of the loopback, which it keeps over stop and start. `password` is its superuser's."""

    password = "not-to-be-shown"

    def __init__(self, binaries: Path, folder: Path, port: int) -> None:
        self._binaries = binaries
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._emptied: list[str] = []  # the URLs of databases that were used and emptied

    def create(self) -> None:
        pwfile = self._folder / "pw"
        pwfile.write_text(self.password)
        arguments = ["-D", str(self._folder / "data"), "-U", "xaiva", "--auth=scram-sha-256", f"--pwfile={pwfile}"]
        command = [str(self._binaries / "initdb"), *arguments, "--no-sync", "-E", "UTF8", "--locale=C"]
        if os.geteuid() == 0:
            account = _account()
            for path in (self._folder, pwfile):
                os.chown(path, account.pw_uid, account.pw_gid)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **self._as_user())

    def start(self) -> None:
        """Start the server; returns when it answers."""
        settings = {"port": self._port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        settings |= {"fsync": "off", "shared_buffers": "16MB", "max_connections": 60, "log_min_messages": "fatal"}
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), *options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._as_user()
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self._url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.05)  # how often it is asked

    def stop(self) -> None:
        """End at once, as in a crash; nothing that was committed is lost."""
        if self._process:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_SECONDS)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The server does not run, but its machine answers for it: as when its disk hangs."""
        assert self._process
        server = psutil.Process(self._process.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def new_database(self) -> str:
        """The URL of an empty database."""
        if self._emptied:
            return self._emptied.pop()
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self._url(name)

    def give_back(self, url: str) -> None:
        """Empty a database for the next test: to make and remove the files of a new one takes far longer.

        One that somebody is still connected to is not used again.
        """
        with psycopg.connect(url, autocommit=True) as connection:
            other_connections = connection.execute(_OTHERS).fetchone()
            if other_connections == (0,):
                for (schema,) in connection.execute(_SCHEMAS).fetchall():
                    connection.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())
                connection.execute("CREATE SCHEMA public")
                self._emptied.append(url)

    def _url(self, name: str) -> str:
        return f"postgresql://xaiva:{self.password}@127.0.0.1:{self._port}/{name}"

    def _as_user(self) -> dict[str, object]:
        if os.geteuid() != 0:
            return {}
        account = _account()
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": self._folder}


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A running server, gone afterwards."""
    binaries = _binaries()
    require(binaries, "PostgreSQL's server (package postgresql)")
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="xaiva-pg-", dir=_reachable()))
    with HeldPort() as held_port:
        server = Postgres(binaries, folder, held_port.number)
        try:
            server.create()
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return programs[-1].parent if programs else Path(on_path).resolve().parent if on_path else None


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _reachable() -> Path:
    """A folder for temporary files that the server's user can reach: TMPDIR may be closed to everybody else."""
    folders = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/dev/shm")]
    if os.geteuid() != 0:
        return folders[0]
    open_ones = [
        folder for folder in folders if all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))
    ]
    require(open_ones, "a folder for temporary files that PostgreSQL's user can reach")
    return open_ones[0]
