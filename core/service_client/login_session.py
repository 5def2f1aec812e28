"""The site's login at one service, in a file that only its owner can read. The command line and consoles share it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from core.api_schema import Tokens
from core.errors import XaivaError, os_reason
from core.files import write_atomic, write_remedy

OWNER_ONLY = 0o600
RENEW_EARLY_SECONDS = 30.0  # before its expiry, an access token is renewed, so that it lasts for the request


class StoredLogin(BaseModel):
    """The content of the file."""

    url: str
    user: str
    expires: float = 0
    """The Unix time, by this machine's clock, at which the access token expires."""
    tokens: Tokens | None = None
    """None: the login has ended."""

    @property
    def access(self) -> str:
        """The access token; empty if the login has ended."""
        return self.tokens.access if self.tokens else ""

    @property
    def expires_soon(self) -> bool:
        """Whether the access token is about to expire."""
        return time.time() > self.expires - RENEW_EARLY_SECONDS


class LoginSession:
    """The login in one file. Several processes may share it."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url.rstrip("/")

    def load(self) -> StoredLogin | None:
        """The stored login. None if there is none for this service; tokens are never sent to another service."""
        try:
            login = StoredLogin.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None
        return login if login.url == self.url else None

    def begin(self, tokens: Tokens) -> StoredLogin:
        """Store the tokens of a new login. Raises XaivaError if they cannot be written."""
        with self.exclusive():
            return self.keep(tokens)

    def keep(self, tokens: Tokens) -> StoredLogin:
        """Store renewed tokens of the login. Raises XaivaError if they cannot be written."""
        login = self._login_from(tokens)
        self.write(login)
        return login

    def end(self, user: str) -> None:
        """Mark the login as ended, so that no other token is silently used until the next login."""
        self.write(StoredLogin(url=self.url, user=user))

    def forget(self) -> None:
        """Delete the file with the login."""
        self.path.unlink(missing_ok=True)

    @property
    def owns(self) -> bool:
        """Whether no other program uses the login, so that logging out may end it at the service."""
        return True

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let one process at a time renew: a refresh token is valid for one use. Raises as `keep`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        except OSError as error:
            raise self._write_error(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _login_from(self, tokens: Tokens) -> StoredLogin:
        expires = time.time() + tokens.expires_in
        return StoredLogin(url=self.url, user=tokens.user, expires=expires, tokens=tokens)

    def write(self, login: StoredLogin) -> None:
        """Replace the file. Raises XaivaError if it cannot be written."""
        try:
            write_atomic(self.path, login.model_dump_json(), mode=OWNER_ONLY)
        except OSError as error:
            raise self._write_error(error) from error

    def _write_error(self, error: OSError) -> XaivaError:
        why = f"it cannot be written: {os_reason(error)}"
        return XaivaError(f"{self.path}", why, write_remedy(error))
