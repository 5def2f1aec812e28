"""The site's login at one service, kept in a file that only its owner can read: for the command line and consoles."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from core.api_schema import Tokens
from core.errors import XaivaError
from core.files import write_atomic, write_remedy

OWNER_ONLY = 0o600
RENEW_EARLY_SECONDS = 30.0  # an access token is renewed this long before its end: it must last for the request


class StoredLogin(BaseModel):
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
    def expires_soon(self) -> bool:
        """Whether the access token is about to end."""
        return time.time() > self.expires - RENEW_EARLY_SECONDS


class LoginSession:
    """The login in one file; several processes may share it."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url.rstrip("/")

    def load(self) -> StoredLogin | None:
        """The kept login; None when there is none, or only one at another service: tokens go to their own alone."""
        try:
            login = StoredLogin.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None
        return login if login.url == self.url else None

    def begin(self, tokens: Tokens) -> StoredLogin:
        """Keep the tokens of a new login. Raises XaivaError when they cannot be written."""
        with self.exclusive():
            return self.keep(tokens)

    def keep(self, tokens: Tokens) -> StoredLogin:
        """Keep fresh tokens of the login. Raises XaivaError when they cannot be written."""
        login = self._login_from(tokens)
        self.write(login)
        return login

    def end(self, user: str) -> None:
        """Note that the login is over: until the next one, nobody else's token is used in its place unasked."""
        self.write(StoredLogin(url=self.url, user=user))

    def forget(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    @property
    def owns(self) -> bool:
        """Whether leaving the login may end it at the service: nobody else goes on with it."""
        return True

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Renewing is for one process at a time: a refresh token is good for one use. Raises as `keep`."""
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
        """Replace the file. Raises XaivaError."""
        try:
            write_atomic(self.path, login.model_dump_json(), mode=OWNER_ONLY)
        except OSError as error:
            raise self._write_error(error) from error

    def _write_error(self, error: OSError) -> XaivaError:
        why = f"it cannot be written: {error.strerror or type(error).__name__}"
        return XaivaError(f"{self.path}", why, write_remedy(error))
