"""The Docker engine: resolves its address, connects to it, and turns its errors into messages.

The first of these that is set names the engine: `site.toml` `[engine] host`, `[engine] context`, DOCKER_HOST,
DOCKER_CONTEXT, the current context of the docker client's configuration, the local socket. The docker client itself
also prefers DOCKER_HOST to DOCKER_CONTEXT.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from core.engine_version import version_findings
from core.errors import InputError, XaivaError, os_reason
from core.findings import Finding, Level
from core.install_commands import engine_is_installed

if TYPE_CHECKING:
    import docker
    from core.site import Site

DEFAULT_HOST = "unix:///var/run/docker.sock"
LONG_TIMEOUT_SECONDS = 600  # an engine may take minutes before the first byte of a large image
_SCHEMES = ("unix", "tcp", "ssh")  # of the docker client, too
_PATH = re.compile(r"[/.~]|[a-z]+:/")  # the path of a socket, or a scheme with one slash missing
_ADDRESS_FORMS = "write unix:///path/of/docker.sock, tcp://host:port or ssh://[user@]host[:port]"
_OBJECT_KEYS = ("auths", "HttpHeaders", "credHelpers", "proxies", "plugins", "aliases")  # of the client's configuration
_NESTED_OBJECT_KEYS = ("auths", "proxies", "plugins")
_STRING_KEYS = ("currentContext", "credsStore", "detachKeys")
START_REMEDY = "start it (sudo systemctl start docker) or name another engine in site.toml, [engine] host or context"
INSTALL_REMEDY = "see how to install one (xaiva doctor --fix), or name another engine in site.toml, [engine] host"
GROUP_REMEDY = "add the user to the group docker (sudo usermod -aG docker $USER) and log in again"
LISTEN_REMEDY = "correct the address, make the engine listen on it (dockerd --host), or use ssh://user@host"
PATH_REMEDY = "correct the path, or start the engine that listens there"
NO_SOCKET = "the socket does not exist; the engine is not running or not installed"
NOT_INSTALLED = "no Docker engine is installed here"
SLOW_REMEDY = "check whether it is running (systemctl status docker, docker version); restart it if it hangs"


class EngineError(XaivaError):
    """The Docker engine is missing, denies access, does not answer, or refuses a request."""


class InvalidEngineSettings(EngineError, InputError):
    """The address of the engine, or the docker client's configuration, cannot be used."""


@dataclass(frozen=True)
class Endpoint:
    """An engine's address."""

    host: str
    named_by: str
    """The setting that the address comes from, such as `DOCKER_HOST`."""
    tls: Path | None = None
    """The folder with ca.pem, cert.pem and key.pem."""
    tls_verify: bool = True

    @property
    def local(self) -> bool:
        """Whether the engine runs on this machine and so shares its files and ports."""
        return self.host.startswith("unix://")


def resolve_endpoint(site: Site) -> Endpoint:
    """The address of the site's engine.

    Raises EngineError when its context does not exist or cannot be read, InvalidEngineSettings.
    """
    chosen = _choose_endpoint(site, str(_client_settings(site).get("currentContext") or "default"))
    return replace(chosen, host=_normalize_address(chosen))


def _choose_endpoint(site: Site, current_context: str) -> Endpoint:
    chosen = site.settings.engine
    if chosen.host:
        return Endpoint(chosen.host, "site.toml, [engine] host", *_environment_tls(site))
    if chosen.context:
        return _context_endpoint(site, chosen.context, "site.toml, [engine] context")
    if host := site.env.get("DOCKER_HOST", "").strip():
        return Endpoint(host, "DOCKER_HOST", *_environment_tls(site))
    if name := site.env.get("DOCKER_CONTEXT", ""):
        return _context_endpoint(site, name, "DOCKER_CONTEXT")
    return _context_endpoint(site, current_context, "the docker client's current context")


def docker_environment(site: Site) -> dict[str, str]:
    """The complete environment for a child process that runs the docker command line with the site's engine."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env.update(site.env)
    chosen = site.settings.engine
    if chosen.host:
        env["DOCKER_HOST"] = chosen.host
        env.pop("DOCKER_CONTEXT", None)
    elif chosen.context:
        env["DOCKER_CONTEXT"] = chosen.context
        env.pop("DOCKER_HOST", None)
    return env


def connect_engine(site: Site, timeout: float = 10) -> docker.DockerClient:
    """A client of the site's engine, which has answered once. Each of its calls gives up after `timeout` seconds.

    Raises EngineError: no engine, no permission, not reachable over ssh, no answer in time, invalid address. Calls on
    the client raise the SDK's own errors; wrap them in `engine_errors`.
    """
    target = resolve_endpoint(site)
    what = f"Docker engine at {target.host} (named by {target.named_by})"
    if target.local:
        _check_socket(target.host, what)
    import docker

    with engine_errors(what):
        if target.host.startswith("ssh://"):
            from core.engine_ssh import ssh_client

            return ssh_client(target.host, timeout, docker_environment(site))
        # the SDK's type says int, its sockets take any number of seconds
        return docker.DockerClient(base_url=target.host, timeout=timeout, tls=_tls(target))  # type: ignore[arg-type]


def _check_socket(host: str, what: str) -> None:
    """Raise EngineError when there is no socket at the path. This check avoids loading the SDK, which takes 0.1 s."""
    try:
        mode = os.stat(host.removeprefix("unix://")).st_mode
    except FileNotFoundError as error:
        if host != DEFAULT_HOST:
            raise EngineError(what, NO_SOCKET, PATH_REMEDY) from error
        if not engine_is_installed():
            raise EngineError(what, NOT_INSTALLED, INSTALL_REMEDY) from error
        raise EngineError(what, NO_SOCKET, START_REMEDY) from error
    except OSError:
        return  # the attempt to connect will explain it
    if not stat.S_ISSOCK(mode):
        raise EngineError(what, f"it is a {'folder' if stat.S_ISDIR(mode) else 'file'}, not a socket", PATH_REMEDY)


def connect_with_long_timeout(site: Site) -> docker.DockerClient:
    """A client for calls that take minutes. Raises EngineError, quickly if the engine is missing or old; InputError."""
    require_engine_version(site)
    return connect_engine(site, LONG_TIMEOUT_SECONDS)


def engine_version_findings(client: docker.DockerClient) -> list[Finding]:
    """Whether the engine is new enough: an error, a warning when that is unknown, or nothing. Raises EngineError."""
    with engine_errors("Engine's version"):
        return version_findings(client.version())


def require_engine_version(site: Site) -> None:
    """Raise EngineError when the engine is missing or too old; InputError for an invalid address."""
    with closing(connect_engine(site)) as client:
        for finding in engine_version_findings(client):
            if finding.level is Level.ERROR:
                raise EngineError(finding.what, finding.why, finding.remedy)


def engine_root(site: Site, client: docker.DockerClient) -> Path | None:
    """The folder on this machine where the engine stores images and containers; None for a remote engine.

    Raises EngineError.
    """
    if not resolve_endpoint(site).local:
        return None
    with engine_errors("Engine's description"):
        root = client.info().get("DockerRootDir", "")
    return Path(root) if root else None


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn errors of the SDK and its transport inside the block into an EngineError about `what`."""
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(what, str(error.explanation or error), "") from error
    except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        why, remedy = _explain_connection_error(error)
        raise EngineError(what, why, remedy) from error


def engine_refused(error: BaseException) -> bool:
    """Whether the engine answered with a refusal, so that a retry would be refused too."""
    import docker.errors

    return isinstance(error, EngineError) and isinstance(error.__cause__, docker.errors.APIError)


def _normalize_address(target: Endpoint) -> str:
    """The address as the docker client completes it: the default scheme is tcp://, the default host this machine.

    Raises InvalidEngineSettings for an address that the client rejects or would misread. The SDK would raise errors of
    any kind for it.
    """
    host = target.host.strip()
    scheme, has_scheme, rest = host.partition("://")
    if not has_scheme:
        scheme, rest = "tcp", host
    login, at, host_port = rest.rpartition("@")
    why, remedy = "", _ADDRESS_FORMS
    if not has_scheme and (at or _PATH.match(host)):
        why, remedy = "it has no scheme", f"write {_guess_address(host)}" if _guess_address(host) else _ADDRESS_FORMS
    elif scheme not in _SCHEMES:
        why = f"{scheme}:// is not supported by the docker client on Linux"
    elif scheme == "unix":
        why = "" if rest.startswith("/") or not rest else "the path of its socket is not absolute"
    elif scheme == "ssh" and ":" in login:
        why = "it contains a password, which the docker client does not accept"
        remedy = "write ssh://user@host, and log in with a key: ssh-copy-id user@host"
    else:
        why = _host_port_error(host_port, scheme)
    if why:
        raise InvalidEngineSettings(f"Docker engine at {host} (named by {target.named_by})", why, remedy)
    if scheme == "unix":
        return host if rest else DEFAULT_HOST
    return f"tcp://{_with_port(host_port, target)}" if scheme == "tcp" else host  # only ssh uses a login


def _with_port(host_port: str, target: Endpoint) -> str:
    """`host:port/path` with the docker client's defaults for host and port."""
    parts = urlsplit(f"//{host_port}")
    host, _, port = parts.netloc.rpartition(":") if parts.port is not None else (parts.netloc.rstrip(":"), "", "")
    port = port or ("2376" if target.tls and target.tls_verify else "2375")
    return f"{host or 'localhost'}:{port}{parts.path}"


def _host_port_error(host_port: str, scheme: str) -> str:
    """What is wrong with `host:port`; empty when it is valid."""
    try:
        parts = urlsplit(f"//{host_port}")
        _ = parts.port
    except ValueError as error:
        return str(error)
    return "it names no host" if scheme == "ssh" and not parts.hostname else ""


def _guess_address(host: str) -> str:
    """The address that a text without a scheme most likely means; empty when that is not clear."""
    if host.startswith("/"):
        return f"unix://{host}"
    return f"ssh://{host}" if re.fullmatch(r"[\w.-]+@[\w.-]+", host) else ""


def _explain_connection_error(error: BaseException) -> tuple[str, str]:
    """Cause and remedy of a failed connection, from the first error in the chain that is known."""
    from docker.errors import APIError
    from urllib3.exceptions import NewConnectionError, ReadTimeoutError

    from core.engine_ssh import SshError

    causes = _error_chain(error)
    over_tcp = any(isinstance(cause, NewConnectionError) for cause in causes)  # not raised for a socket's path
    for cause in causes:
        if isinstance(cause, SshError):
            return str(
                cause
            ), f"run it by hand: {cause.manual_command} (load keys into ssh-agent; xaiva never asks for passwords)"
        if isinstance(cause, FileNotFoundError):
            return NO_SOCKET, START_REMEDY
        if isinstance(cause, PermissionError):
            return "this user may not use the engine's socket", GROUP_REMEDY
        if isinstance(cause, ConnectionRefusedError) and over_tcp:
            return "nothing listens on that port", LISTEN_REMEDY
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there; the engine is not running", START_REMEDY
        if isinstance(cause, (TimeoutError, ReadTimeoutError)):
            return "it does not answer in time", SLOW_REMEDY
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
            return "the connection was interrupted", SLOW_REMEDY
        if isinstance(cause, socket.gaierror):
            return (
                f"the host name cannot be resolved ({cause.strerror})",
                "correct the name, or use the host's IP address",
            )
        if isinstance(cause, ssl.SSLError):
            remedy = "check the context's certificates, or DOCKER_CERT_PATH and DOCKER_TLS_VERIFY"
            return f"TLS failed: {cause.reason or cause}", remedy
        if isinstance(cause, APIError):
            return f"what answers there is not a Docker engine (HTTP {cause.status_code})", "correct the address"
        if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return f"the host cannot be reached ({cause.strerror})", "check the address and the network"
    return str(error), "check with the docker client: docker version"


def _error_chain(error: BaseException) -> list[BaseException]:
    """The error and all its causes. urllib3 and requests also pass causes as arguments."""
    causes: list[BaseException] = []
    pending: list[object] = [error]
    while pending:
        cause = pending.pop()
        if not isinstance(cause, BaseException) or any(cause is known for known in causes):
            continue
        causes.append(cause)
        pending.extend([cause.__context__, cause.__cause__, getattr(cause, "reason", None), *cause.args])
    return causes


def docker_config_folder(site: Site) -> Path:
    """The folder of the docker client's configuration."""
    home = site.env.get("HOME", "") or str(Path.home())
    return Path(site.env.get("DOCKER_CONFIG", "") or Path(home) / ".docker")


def _client_settings(site: Site) -> dict[str, Any]:
    """The docker client's configuration; empty when there is no file. Raises InvalidEngineSettings.

    For a broken file the client only warns and continues without it: with another engine, without logins and proxies.
    The SDK crashes.
    """
    path = docker_config_folder(site) / "config.json"
    remedy = f"correct it, or move it away: mv {path} {path}.broken"
    try:
        text = path.read_text()
        settings: Any = json.loads(text) if text.strip() else {}
        why = _settings_error(settings)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        why, remedy = os_reason(error), "make the file readable, or set DOCKER_CONFIG"
    except (ValueError, RecursionError) as error:
        why = f"it is not valid JSON: {error}"
    if why:
        raise InvalidEngineSettings(f"The docker client's configuration {path}", why, remedy)
    return dict(settings)


def _settings_error(settings: Any) -> str:
    """What in the configuration has a type that the docker client does not accept; empty when nothing has."""
    if not isinstance(settings, dict):
        return "it is not a JSON object"
    for name, value in settings.items():
        if value is None:
            continue
        if name in _STRING_KEYS and not isinstance(value, str):
            return f"{name} is not a string"
        if name in _OBJECT_KEYS and not isinstance(value, dict):
            return f"{name} is not an object"
        if name in _NESTED_OBJECT_KEYS and not all(isinstance(inner, dict) for inner in value.values()):
            return f"an entry of {name} is not an object"
    return ""


def _context_endpoint(site: Site, name: str, named_by: str) -> Endpoint:
    if name == "default":
        return Endpoint(DEFAULT_HOST, "default")
    contexts = docker_config_folder(site) / "contexts"
    identity = hashlib.sha256(name.encode()).hexdigest()  # the docker client's name for the folder of a context
    what, remedy = f"Docker context {name} (named by {named_by})", f"look at it with: docker context inspect {name}"
    try:
        data: Any = json.loads((contexts / "meta" / identity / "meta.json").read_text())
        docker_endpoint = data["Endpoints"]["docker"]
        host = str(docker_endpoint.get("Host") or DEFAULT_HOST)
        skip_verify = bool(docker_endpoint.get("SkipTLSVerify", False))
    except FileNotFoundError as error:
        raise EngineError(what, "there is no such context", "list them with: docker context ls") from error
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError(what, f"its description cannot be read: {error}", remedy) from error
    except (LookupError, TypeError, AttributeError) as error:
        raise EngineError(what, "its description names no Docker engine", remedy) from error
    tls = contexts / "tls" / identity / "docker"
    return Endpoint(host, f"context {name}", tls if tls.is_dir() else None, not skip_verify)


def _environment_tls(site: Site) -> tuple[Path | None, bool]:
    """TLS folder and verification from DOCKER_CERT_PATH and DOCKER_TLS_VERIFY, for a host without a context."""
    verify = bool(site.env.get("DOCKER_TLS_VERIFY", ""))
    folder = site.env.get("DOCKER_CERT_PATH", "")
    if not folder and not verify:
        return None, True
    return Path(folder) if folder else docker_config_folder(site), verify


def _tls(target: Endpoint) -> Any:
    if target.tls is None or target.local:
        return False
    from docker.tls import TLSConfig

    certificate, key, authority = (target.tls / name for name in ("cert.pem", "key.pem", "ca.pem"))
    pair = (str(certificate), str(key)) if certificate.is_file() and key.is_file() else None
    return TLSConfig(
        client_cert=pair,
        ca_cert=str(authority) if authority.is_file() else None,
        verify=target.tls_verify,
    )
