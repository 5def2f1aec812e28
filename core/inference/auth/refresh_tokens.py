"""Refresh tokens: each login is a family of them. A token is good for one use; a second use ends the whole family.

Because an answer may get lost on its way, a token may be used again for `REUSE_SECONDS` and gets the same answer, as
long as nobody has used the token in that answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta, timezone

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from core.inference.database.models import RefreshTokenRow

LOGIN_LIFETIME = timedelta(days=30)  # of an unused login
REUSE_SECONDS = 60.0  # after the first use: long enough for a retry, or for a line to come back


def begin_login(session: Session, user: str) -> tuple[str, str]:
    """Start a login; returns its family and first refresh token. Deletes expired tokens."""
    session.execute(delete(RefreshTokenRow).where(RefreshTokenRow.expires < _now()))
    family, token = secrets.token_hex(16), secrets.token_urlsafe(32)
    _add(session, user, family, token)
    return family, token


def rotate(session: Session, token: str, secret: str) -> tuple[str, str, str] | None:
    """Use a refresh token; returns user, family and the next token, or None when it is not valid.

    A token that was used before has leaked: its whole family ends, including the next token. The next token is derived
    from `secret`, so that a repeated use gives the same one and no token needs to be stored.
    """
    row = session.get(RefreshTokenRow, _hash_token(token))
    if row is None or row.revoked is not None or row.expires <= _now():
        return None
    next_token = _next_token(token, secret)
    if row.used is None:
        row.used = _now()
        _add(session, row.user, row.family, next_token)
    elif not _answer_may_be_lost(session, row.used, next_token):
        end_login(session, row.family)
        return None
    return row.user, row.family, next_token


def family_of(session: Session, token: str) -> str | None:
    """The login that a refresh token belongs to, whatever its state; None for an unknown token."""
    row = session.get(RefreshTokenRow, _hash_token(token))
    return row.family if row else None


def end_login(session: Session, family: str) -> None:
    _revoke(session, RefreshTokenRow.family == family)


def end_logins(session: Session, user: str) -> None:
    _revoke(session, RefreshTokenRow.user == user)


def is_login_live(session: Session, family: str) -> bool:
    """Whether a login still has a valid refresh token."""
    live = select(RefreshTokenRow.id).where(
        RefreshTokenRow.family == family, RefreshTokenRow.revoked.is_(None), RefreshTokenRow.expires > _now()
    )
    return session.scalar(live.limit(1)) is not None


def _answer_may_be_lost(session: Session, used: datetime, next_token: str) -> bool:
    """Whether a token that was used a moment ago may come again from a client that never received the next one."""
    row = session.get(RefreshTokenRow, _hash_token(next_token))
    in_time = abs(_now() - used) <= timedelta(seconds=REUSE_SECONDS)  # also where the clock was set back since
    return row is not None and row.used is None and in_time


def _next_token(token: str, secret: str) -> str:
    """The token that follows; only the secret's owner can derive it."""
    digest = hmac.new(secret.encode(), b"refresh " + token.encode(errors="replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _add(session: Session, user: str, family: str, token: str) -> None:
    times = {"created": _now(), "expires": _now() + LOGIN_LIFETIME}
    session.add(RefreshTokenRow(id=_hash_token(token), user=user, family=family, **times))


def _revoke(session: Session, tokens: ColumnElement[bool]) -> None:
    session.execute(update(RefreshTokenRow).where(tokens, RefreshTokenRow.revoked.is_(None)).values(revoked=_now()))


def _hash_token(token: str) -> str:
    """What the database stores, so that a stolen copy logs nobody in. Random tokens need no salt."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc)
