"""A site: the folder that holds presets, artifacts, settings and state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from core.env_file import read_env_file
from core.errors import InputError, XaivaError, os_reason
from core.redaction import set_secrets
from core.terminal_text import escape_invisible
from core.toml import tomllib
from core.validation_errors import first_problem

DefaultT = TypeVar("DefaultT")
SERVICE_VARIABLE = "XAIVA_SERVICE"  # names the inference service, and wins over `[service] url`
TOKEN_VARIABLE = "XAIVA_SERVICE_TOKEN"  # the token that this machine uses at that service


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSettings(_Section):
    """The Docker engine. Empty: DOCKER_HOST, DOCKER_CONTEXT or the current context, as the docker client does."""

    context: str = Field(
        default="", description="a context of the docker client; empty: the docker client's own choice"
    )
    host: str = Field(default="", description="`unix://…`, `tcp://…` or `ssh://user@host`; wins over `engine.context`")


class ServiceClientSettings(_Section):
    """Where the console finds the inference service."""

    url: str = Field(
        default="",
        description="the address of the inference service; empty: the container that was launched from this site, "
        "else `http://127.0.0.1:8600`",
    )
    ca: str = Field(
        default="",
        description="PEM file, relative to the site, with the certificate of an `https://` service or of its authority",
    )


class SyncSettings(_Section):
    """Limits and mirrors for downloads."""

    connections: int = Field(default=16, ge=1, le=64, description="connections at once, to all hosts together")
    per_host: int = Field(default=8, ge=1, le=32, description="connections at once to one host")
    stall_seconds: float = Field(
        default=20, gt=0, description="a connection without data for so long is dropped and retried"
    )
    retries: int = Field(
        default=6, ge=0, le=50, description="failed attempts in a row, each with less than 1 MB received"
    )
    mirrors: dict[str, str] = Field(default={}, description="a table: URL prefix → the prefix to try first")


class CarrySettings(_Section):
    """What is carried to other sites, and who signs it."""

    signing_key: str = Field(
        default=".xaiva/carry/signing_key",
        description="the key that signs shipments, relative to the site; a `.pub` file names a key in an agent",
    )
    python: str = Field(
        default="",
        description="a tar file, relative to the site, with a relocatable Python in a folder `python/`: it is carried "
        "for machines that have none; empty: none is carried",
    )
    python_sha256: str = Field(default="", description="the SHA-256 of that tar file, which must be right")


class OperationSettings(_Section):
    """Limits on the logs and records of operations."""

    log_limit_mb: int = Field(default=64, ge=1, description="the size of one operation's log, in MB")
    keep: int = Field(default=500, ge=10, description="operations kept in the ledger")


class SiteSettings(_Section):
    """The content of `site.toml`; every key has a default, so the file may be absent."""

    name: Annotated[str, AfterValidator(escape_invisible)] = Field(
        default="", description="shown in the console's title; empty: the folder's name"
    )
    demo: bool = Field(default=False, description="the site of `xaiva demo`: the console says so in its first line")
    engine: EngineSettings = EngineSettings()
    service: ServiceClientSettings = ServiceClientSettings()
    sync: SyncSettings = SyncSettings()
    carry: CarrySettings = CarrySettings()
    operations: OperationSettings = OperationSettings()


def site_folder(root: Path | str) -> Path:
    """The folder of a site as an absolute path. Raises InputError when it does not exist."""
    folder = Path(root).resolve()
    if not folder.is_dir():
        raise InputError(f"Site folder {folder}", "there is no such folder", "name another one with --site DIR")
    return folder


class Site:
    """Paths and settings of one site. Opening it creates nothing, and hides its secrets in all output from then on."""

    def __init__(self, root: Path, settings: SiteSettings, env: Mapping[str, str]) -> None:
        self.root = root
        self.settings = settings
        self.env: Mapping[str, str] = env  # the process environment wins over `.env`
        set_secrets(env, _read_dotenv(root / ".env", env))
        self.service: tuple[str, str] | None = None  # the service chosen for this run, and where it was chosen
        self.generation = 0  # how often the files were reloaded
        self.process_env = env  # without `.env`
        self._loaded_signature = self._signature()

    @classmethod
    def open(cls, root: Path | str = ".", environ: Mapping[str, str] | None = None) -> Site:
        """Open the site in folder `root`.

        Raises InputError when the folder does not exist, or `site.toml` or `.env` is broken.
        """
        folder = site_folder(root)
        process_env = os.environ if environ is None else environ
        site = cls(
            folder, _read_settings(folder / "site.toml"), {**_read_dotenv(folder / ".env", process_env), **process_env}
        )
        site.process_env = process_env
        return site

    def reload(self) -> int:
        """Reload `site.toml` and `.env` if they changed. Returns how often they were reloaded.

        Raises InputError if one is broken, and keeps the old values. May block on a slow disk.
        """
        if (now := self._signature()) != self._loaded_signature:
            settings = _read_settings(self.root / "site.toml")
            dotenv = _read_dotenv(self.root / ".env", self.process_env)
            self.env = {**dotenv, **self.process_env}
            set_secrets(self.env, dotenv)
            self.settings, self._loaded_signature = settings, now
            self.generation += 1
        return self.generation

    def _signature(self) -> list[tuple[int, ...]]:
        """Inode, times and size of both files, which change when a file is written; empty for a missing file."""
        signature: list[tuple[int, ...]] = []
        for name in ("site.toml", ".env"):
            try:
                status = os.stat(self.root / name)
                signature.append((status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size))
            except OSError:
                signature.append(())
        return signature

    def secret(self, name: str) -> str:
        """A variable, or an empty string. Also finds one that another xaiva added to `.env` after this site was opened.

        Raises InputError if `.env` is broken.
        """
        return self.env.get(name) or _read_dotenv(self.root / ".env", self.process_env).get(name, "")

    def append_secret(self, name: str, value: str) -> None:
        """Add a variable to `.env`, and let only the owner read the file. Raises XaivaError if it cannot be written."""
        dotenv = self.root / ".env"
        try:
            handle = os.open(dotenv, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o600)
                before = dotenv.read_bytes()
                separator = b"" if not before or before.endswith(b"\n") else b"\n"
                file.write(separator + f"{name}={value}\n".encode())
                file.flush()
                os.fsync(handle)
        except OSError as error:
            why = f"it cannot be written: {os_reason(error)}"
            raise XaivaError(f"{dotenv}", why, f"add a line {name}=… with a secret of your choice") from error
        self.env, self._loaded_signature = {**self.env, name: value}, self._signature()
        set_secrets(self.env, _read_dotenv(dotenv, self.process_env))

    @property
    def presets(self) -> Path:
        """The folder of preset files."""
        return self.root / "presets"

    @property
    def artifacts(self) -> Path:
        """The folder with one subfolder of locked files per preset."""
        return self.root / "artifacts"

    @property
    def stacks(self) -> Path:
        """The folder with one subfolder per stack."""
        return self.root / "stacks"

    @property
    def docker(self) -> Path:
        """The site's overrides of the Dockerfile template and the compatibility rows."""
        return self.root / "docker"

    @property
    def state(self) -> Path:
        """The folder of ledger, logs and histories: `.xaiva/`."""
        return self.root / ".xaiva"


def _read_dotenv(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        return read_env_file(path, environ)
    except FileNotFoundError as error:
        return _default_if_missing(path, error, {})
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable_error(path, error) from error


def _read_settings(path: Path) -> SiteSettings:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
        data: dict[str, Any] = tomllib.loads(text)
        return SiteSettings.model_validate(data)
    except FileNotFoundError as error:
        return _default_if_missing(path, error, SiteSettings())
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}", f"not valid TOML: {error}", "correct that line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable_error(path, error) from error
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError(f"{path}: {field}", why, "see: xaiva settings list") from error


def _default_if_missing(path: Path, error: FileNotFoundError, default: DefaultT) -> DefaultT:
    """The default for a missing file. Raises InputError for a broken link."""
    if path.is_symlink():
        raise InputError(
            f"{path}", "it is a link to a file that does not exist", "correct the link, or remove it"
        ) from error
    return default


def _unreadable_error(path: Path, error: OSError | UnicodeDecodeError) -> InputError:
    why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else os_reason(error)
    return InputError(f"{path}", why, "correct the file, or its permissions")
