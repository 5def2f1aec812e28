"""Logins: families of refresh tokens. Each token is good for one use; a second use ends the whole family."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta, timezone

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from core.inference.database.models import RefreshTokenRow

LIFETIME = timedelta(days=30)  # of a login that is not used


def begin(session: Session, user: str) -> tuple[str, str]:
    """A new login; returns its family and its first refresh token. Tokens that are over are swept out."""
    session.execute(delete(RefreshTokenRow).where(RefreshTokenRow.expires < _now()))
    family = secrets.token_hex(16)
    return family, _add(session, user, family)


def rotate(session: Session, token: str) -> tuple[str, str, str] | None:
    """Use a refresh token up; returns user, family and the next token, None when it is not good.

    One that was used before is in two hands: its whole family ends, the next token with it.
    """
    row = session.get(RefreshTokenRow, _hashed(token))
    if row is None or row.revoked is not None or row.expires <= _now():
        return None
    if row.used is not None:
        end(session, row.family)
        return None
    row.used = _now()
    return row.user, row.family, _add(session, row.user, row.family)


def family_of(session: Session, token: str) -> str | None:
    """The login a refresh token belongs to, whatever its state."""
    row = session.get(RefreshTokenRow, _hashed(token))
    return row.family if row else None


def end(session: Session, family: str) -> None:
    """End one login."""
    _revoke(session, RefreshTokenRow.family == family)


def end_all(session: Session, user: str) -> None:
    """End every login of a user."""
    _revoke(session, RefreshTokenRow.user == user)


def lasts(session: Session, family: str) -> bool:
    """Whether a login has not ended."""
    live = select(RefreshTokenRow.id).where(
        RefreshTokenRow.family == family, RefreshTokenRow.revoked.is_(None), RefreshTokenRow.expires > _now()
    )
    return session.scalar(live.limit(1)) is not None


def _add(session: Session, user: str, family: str) -> str:
    token = secrets.token_urlsafe(32)
    now = _now()
    session.add(RefreshTokenRow(id=_hashed(token), user=user, family=family, created=now, expires=now + LIFETIME))
    return token


def _revoke(session: Session, which: ColumnElement[bool]) -> None:
    session.execute(update(RefreshTokenRow).where(which, RefreshTokenRow.revoked.is_(None)).values(revoked=_now()))


def _hashed(token: str) -> str:
    """What the database holds: a stolen copy of it logs nobody in. The token is random: no salt is needed."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc)
