"""A person's login at one service, kept in a file that only its owner can read."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from core.errors import XaivaError
from core.files import write_atomic
from core.inference.schemas import Tokens

PRIVATE = 0o600
EARLY_SECONDS = 30.0  # an access token is renewed this long before its end: it must last for the request


class KeptLogin(BaseModel):
    """The content of the file. `expires`: a Unix time of this machine's clock. No `tokens`: the login has ended."""

    url: str
    user: str
    expires: float = 0
    tokens: Tokens | None = None

    @property
    def access(self) -> str:
        """The access token; empty when the login has ended."""
        return self.tokens.access if self.tokens else ""

    @property
    def aged(self) -> bool:
        """Whether the access token is about to end."""
        return time.time() > self.expires - EARLY_SECONDS


class Session:
    """The login in one file; several processes may share it."""

    def __init__(self, path: Path, url: str) -> None:
        self._path = path
        self._url = url.rstrip("/")

    def load(self) -> KeptLogin | None:
        """The kept login; None when there is none, or only one at another service: tokens go to their own alone."""
        try:
            login = KeptLogin.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return None
        return login if login.url == self._url else None

    def keep(self, tokens: Tokens) -> KeptLogin:
        """Keep fresh tokens. Raises XaivaError when they cannot be written."""
        login = KeptLogin(url=self._url, user=tokens.user, expires=time.time() + tokens.expires_in, tokens=tokens)
        self._write(login)
        return login

    def end(self, user: str) -> None:
        """Note that the login is over: until the next one, nobody else's token is used in its place unasked."""
        self._write(KeptLogin(url=self._url, user=user))

    def forget(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Renewing is for one process at a time: a refresh token is good for one use. Raises as `keep`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except OSError as error:
            raise self._refused(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, login: KeptLogin) -> None:
        try:
            write_atomic(self._path, login.model_dump_json(), mode=PRIVATE)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> XaivaError:
        why = f"it cannot be written: {error.strerror or type(error).__name__}"
        return XaivaError(f"{self._path}", why, "free space, or mend the folder's permissions")
