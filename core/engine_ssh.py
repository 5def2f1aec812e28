"""A Docker engine on another machine, through the `ssh` command: `ssh HOST docker system dial-stdio`.

The SDK's own ssh transport needs paramiko and reads from a pipe without a time-out. Here ssh uses a socket pair, so
that every read has the client's time-out. The user's ssh configuration, keys and agent work as usual.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
import urllib3.connection
from requests.adapters import HTTPAdapter

from core.errors import InputError, os_reason

if TYPE_CHECKING:
    from requests import PreparedRequest

    import docker

CONNECT_SECONDS = 10
FORWARD_SECONDS = 30  # until a port is forwarded, after which something hangs
_NOTICE_SECONDS = 1.0
RESTART_SECONDS = 1.0  # before ssh is started again after it ended
_KEEP_ALIVE = ("-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3")  # notices a line that is dead
STDERR_TAIL = 400  # bytes of ssh's output that go into an error


class SshError(OSError):
    """ssh ended before the engine answered. The text is ssh's output; `manual_command` is for the user to try."""

    def __init__(self, text: str, manual_command: str) -> None:
        super().__init__(text)
        self.manual_command = manual_command


def ssh_client(url: str, timeout: float, env: Mapping[str, str]) -> docker.DockerClient:
    """A client of the engine at `ssh://[user@]host[:port][/path/of/docker.sock]`, which has answered once."""
    from docker.constants import MINIMUM_DOCKER_API_VERSION

    adapter = _SshAdapter(_ssh_command(url), env, timeout)
    version = _client(adapter, MINIMUM_DOCKER_API_VERSION, timeout).api.version(api_version=False)["ApiVersion"]
    return _client(adapter, version, timeout)


def _client(adapter: _SshAdapter, version: str, timeout: float) -> docker.DockerClient:
    import docker

    # with a given version the client does not connect, so its local adapter can be replaced
    client = docker.DockerClient(version=version, timeout=timeout)  # type: ignore[arg-type]
    client.api.mount("http+docker://", adapter)
    return client


def _ssh_command(url: str) -> list[str]:
    remote = ["docker"]
    path = urlsplit(url).path
    if path.strip("/"):
        remote += ["--host", f"unix://{path}"]
    return [*_ssh_target(url, "-T"), shlex.join([*remote, "system", "dial-stdio"])]


def _ssh_target(url: str, *options: str) -> list[str]:
    """The ssh command up to the host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"Engine {url}", str(error), "write ssh://[user@]host[:port]") from error
    if not host or host.startswith("-"):
        raise InputError(f"Engine {url}", "it names no host", "write ssh://[user@]host[:port]")
    # BatchMode: otherwise ssh would ask for a password on the terminal that the console draws on
    command = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}", *options]
    if parts.username:
        command += ["-l", parts.username]
    if port:
        command += ["-p", str(port)]
    return [*command, "--", host]


class ReverseForward:
    """Forwards a `port` on the loopback interface of `ssh://…`, which the other side chooses, to one on this machine's.

    When ssh ends it is started again with the same port, until `close`. `cuts` counts how often it ended.
    """

    def __init__(self, url: str, target: int, env: Mapping[str, str]) -> None:
        """Start. Raises SshError when ssh cannot log in or the other side does not allow it."""
        self._url, self._target, self._env = url, target, env
        self.port = self.cuts = 0
        self._closed = threading.Event()
        with tempfile.TemporaryFile() as output:
            self._process = self._start(output)
            try:
                self.port = _allocated_port(self._process, output.fileno(), self._command())
            except SshError:
                self._end()
                raise
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def close(self) -> None:
        """End the forwarding."""
        self._closed.set()
        self._end()
        self._keeper.join()

    def cut_since(self, count: int) -> bool:
        """Whether ssh ended since `cuts` was that. It may end a moment after the connections that it carried."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.cuts == count:
                self._process.wait(_NOTICE_SECONDS)
                return True
        return self.cuts > count

    def _command(self) -> list[str]:
        # ssh reports at the level INFO which port was chosen. A shared connection would outlive this one.
        options = ("-o", "ExitOnForwardFailure=yes", "-o", "LogLevel=INFO", "-o", "ControlPath=none", *_KEEP_ALIVE)
        forward = f"127.0.0.1:{self.port}:127.0.0.1:{self._target}"
        return _ssh_target(self._url, "-N", "-T", *options, "-R", forward)

    def _start(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                start_new_session=True,
            )
        except OSError as error:
            raise SshError(f"cannot start ssh ({os_reason(error)})", "ssh -V") from error

    def _keep(self) -> None:
        while True:
            self._process.wait()
            self.cuts += 1
            if self._closed.wait(RESTART_SECONDS):
                return
            self._process = self._start(subprocess.DEVNULL)
            if self._closed.is_set():
                self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait()


def _allocated_port(process: subprocess.Popen[bytes], output: int, command: list[str]) -> int:
    deadline = time.monotonic() + FORWARD_SECONDS
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        text = os.pread(output, 1 << 16, 0).decode(errors="replace")
        if match := re.search(r"Allocated port (\d+) for remote forward", text):
            return int(match[1])
        if process.returncode is not None or time.monotonic() > deadline:
            why = text.strip()[-STDERR_TAIL:] or "ssh forwards no port, and does not say why"
            raise SshError(why, shlex.join(command))


def resolve_host_name(url: str, env: Mapping[str, str]) -> str:
    """The real host name of `ssh://…`: that in ssh's configuration, or else the one in the address."""
    host = urlsplit(url).hostname or ""
    try:
        done = subprocess.run(
            ["ssh", "-G", "--", host], env=env, capture_output=True, text=True, timeout=CONNECT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return host
    names = [line.partition(" ")[2] for line in done.stdout.splitlines() if line.startswith("hostname ")]
    return names[0] if names else host


class _SshConnection(urllib3.connection.HTTPConnection):
    """A connection through one ssh process, which the pool keeps for the next request."""

    def __init__(self, command: list[str], env: Mapping[str, str], timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._command = command
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the connection

    def connect(self) -> None:
        """Start ssh with one end of a socket pair as its standard input and output."""
        ours, theirs = socket.socketpair()
        ours.settimeout(self.timeout if isinstance(self.timeout, (int, float)) else None)
        self._stderr.seek(0)
        self._stderr.truncate()
        try:
            # its own session, so that Ctrl-C in the terminal does not reach it
            self._process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                env=self._env,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise SshError(f"cannot start ssh ({os_reason(error)})", "ssh -V") from error
        finally:
            theirs.close()
        self.sock = ours

    def getresponse(self) -> Any:
        """The response. Raises SshError with ssh's output when ssh ended instead."""
        try:
            return super().getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError) as error:
            raise SshError(self._stderr_text(), shlex.join(self._command)) from error

    def close(self) -> None:
        """Close our end, which ends dial-stdio and ssh."""
        super().close()
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def _stderr_text(self) -> str:
        if self._process is not None:
            try:
                self._process.wait(timeout=1)  # its stream has ended, so it is about to exit
            except subprocess.TimeoutExpired:
                pass
        self._stderr.seek(0)
        text = self._stderr.read()[-STDERR_TAIL:].decode(errors="replace").strip()
        return text or "ssh ended without a message"


class _SshPool(urllib3.HTTPConnectionPool):
    def __init__(self, command: list[str], env: Mapping[str, str], timeout: float) -> None:
        super().__init__("localhost", timeout=timeout, maxsize=10)
        self._dial = (command, env, timeout)

    def _new_conn(self) -> _SshConnection:
        return _SshConnection(*self._dial)


class _SshAdapter(HTTPAdapter):
    """Sends every request of the SDK through one pool of ssh connections."""

    def __init__(self, command: list[str], env: Mapping[str, str], timeout: float) -> None:
        super().__init__()
        self._pool = _SshPool(command, env, timeout)

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,  # noqa: ARG002 - requests' own signature
        verify: Any,  # noqa: ARG002
        proxies: Any = None,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
    ) -> urllib3.HTTPConnectionPool:
        """The pool, for any address."""
        return self._pool

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:  # noqa: ARG002
        """Only the path, because ssh needs no proxy."""
        return request.path_url

    def close(self) -> None:
        """Close all idle connections and their ssh processes."""
        super().close()
        self._pool.close()
