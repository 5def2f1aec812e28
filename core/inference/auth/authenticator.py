"""Authenticates callers: password logins, renewed logins, and bearer tokens."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from sqlalchemy.orm import Session

from core.api_schema import Login, PasswordChange, Role, Tokens, UserUpdate
from core.errors import InputError
from core.inference.auth import refresh_tokens
from core.inference.auth.access_token import ACCESS_TOKEN_SECONDS, AccessTokens, unauthorised
from core.inference.auth.caller import THE_SERVICE, Caller
from core.inference.auth.errors import TooManyLogins, Unauthorised
from core.inference.auth.limiter import LoginLimiter
from core.inference.auth.passwords import Passwords
from core.inference.auth.users import Users, cameras_of
from core.inference.database.engine import Database
from core.inference.database.models import UserRow
from core.inference.secret_file import MIN_SECRET_LENGTH, read_or_create_secret

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

SIGNING_SECRET_FILE = "token-secret"
SERVICE_TOKEN_FILE = "service-token"


class Authenticator:
    """Every method may be called from any thread.

    `data` is the folder of the signing secret and, when no `service_token` is given, of the service's own token; both
    are created at the first start. Raises XaivaError when that fails, InputError for a token that is too short.
    """

    def __init__(self, database: Database, data: Path, service_token: str = "") -> None:
        self._database = database
        self._passwords = Passwords()
        self._limiter = LoginLimiter()
        self._secret = read_or_create_secret(data / SIGNING_SECRET_FILE)
        self._access_tokens = AccessTokens(self._secret)
        token = _check_service_token(service_token) or read_or_create_secret(data / SERVICE_TOKEN_FILE)
        self._service_token = token.encode()
        self.users = Users(database, self._passwords)
        if not service_token:
            logger.info("XAIVA_SERVICE_TOKEN is not set: the service's token is in %s", data / SERVICE_TOKEN_FILE)

    def login(self, login: Login, address: str) -> Future[Tokens]:
        """Check a name and password when their turn comes; `address` is the client's.

        The future raises Unauthorised, with the same text for an unknown name, an inactive user and a wrong password,
        and TooManyLogins after too many attempts. Raises TooManyRequests when too many logins wait.
        """

        def work() -> Tokens:
            self._count_try(login.name, address)
            return self._login(login, address)

        return self._passwords.submit(work)

    def refresh(self, token: str) -> Tokens:
        """Exchange a refresh token for new tokens. Raises Unauthorised.

        A second use ends the login, unless the answer to the first may have been lost: see `refresh_tokens`.
        """
        if self._family_of(token) is None:
            raise unauthorised("the login has ended")

        def work(session: Session) -> Tokens | None:
            rotated = refresh_tokens.rotate(session, token, self._secret)
            if rotated is None:
                return None  # raising here would roll back the end of the login
            name, family, following = rotated
            row = session.get_one(UserRow, name)
            return self._tokens(row, family, following) if row.active else None

        tokens = self._database.write(work)
        if tokens is None:
            raise unauthorised("the login has ended")
        return tokens

    def logout(self, token: str) -> None:
        """End the login of a refresh token; an unknown token is ignored."""
        family = self._family_of(token)
        if family is not None:
            self._database.write(lambda session: refresh_tokens.end_login(session, family))

    def change_password(self, name: str, change: PasswordChange, address: str) -> Future[Tokens]:
        """Change a user's password and end all logins; the returned tokens are of a new one.

        The future raises InputError for a wrong current password, which counts as a login attempt; else as `login`.
        """

        def work() -> Tokens:
            self._count_try(name, address)
            try:
                self._login(Login(name=name, password=change.current), address)
            except Unauthorised:
                raise InputError("Password", "the current password is wrong", "type it again") from None
            self.users.update(name, UserUpdate(password=change.new))
            return self._login(Login(name=name, password=change.new), address)

        return self._passwords.submit(work)

    def run_in_turn(self, work: Callable[[], Result]) -> Future[Result]:
        """Run work that sets a password, in the same queue as the logins. Raises TooManyRequests when it is full."""
        return self._passwords.submit(work)

    def is_service(self, bearer: str) -> bool:
        """Whether it is the service's own token; this needs no database."""
        return hmac.compare_digest(bearer.encode(errors="replace"), self._service_token)

    def caller(self, bearer: str) -> Caller:
        """The caller of a bearer token. Raises Unauthorised when it is forged, expired, or its login has ended."""
        if self.is_service(bearer):
            return THE_SERVICE
        claims = self._access_tokens.read(bearer)
        with self._database.read() as session:
            row = session.get(UserRow, claims.user)
            if row is None or not row.active or row.generation != claims.generation:
                raise unauthorised("the login has ended")
            if not refresh_tokens.is_login_live(session, claims.family):
                raise unauthorised("the login has ended")
            cameras = cameras_of(session, row)
            return Caller(row.name, Role(row.role), None if cameras is None else frozenset(cameras))

    def _family_of(self, token: str) -> str | None:
        """Looked up without the writers' lock, so that strangers cannot hold it."""
        with self._database.read() as session:
            return refresh_tokens.family_of(session, token)

    def _count_try(self, name: str, address: str) -> None:
        wait = self._limiter.attempt(name, address)
        if wait:
            logger.warning("login: too many attempts from %s", address)
            raise TooManyLogins("too many attempts", wait)

    def _login(self, login: Login, address: str) -> Tokens:
        password = login.password.get_secret_value()
        with self._database.read() as session:
            row = session.get(UserRow, login.name)
        if not self._passwords.verify(password, row.password_hash if row else None) or row is None or not row.active:
            logger.warning("login: refused from %s", address)
            raise _login_error()
        self._limiter.forget(login.name, address)
        old_hash, new_hash = row.password_hash, ""
        if self._passwords.needs_rehash(old_hash):
            new_hash = self._passwords.hash(password)

        def work(session: Session) -> Tokens | None:
            current = session.get(UserRow, login.name)
            if current is None or not current.active or current.password_hash != old_hash:
                return None  # changed while the password was checked
            current.last_login = datetime.now(timezone.utc)
            current.password_hash = new_hash or old_hash
            return self._tokens(current, *refresh_tokens.begin_login(session, current.name))

        tokens = self._database.write(work)
        if tokens is None:
            raise _login_error()
        logger.info("login: %s from %s", login.name, address)
        return tokens

    def _tokens(self, row: UserRow, family: str, refresh: str) -> Tokens:
        return Tokens(
            access=self._access_tokens.issue(row.name, row.generation, family),
            refresh=refresh,
            expires_in=ACCESS_TOKEN_SECONDS,
            user=row.name,
            role=Role(row.role),
        )


def _login_error() -> Unauthorised:
    """The same error for every failed login, so that it gives nothing away."""
    return Unauthorised("Login", "name or password is wrong", "ask an administrator for a new password")


def _check_service_token(token: str) -> str:
    """Raise InputError for a short token: attempts are not limited, so a token must not be guessable."""
    if token and len(token) < MIN_SECRET_LENGTH:
        why, remedy = (
            f"it is shorter than {MIN_SECRET_LENGTH} characters, so it might be guessed",
            "use a longer one, or unset it: the service then creates one",
        )
        raise InputError("XAIVA_SERVICE_TOKEN", why, remedy)
    return token
