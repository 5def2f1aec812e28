"""The users in the database. Each change is one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core.api_schema import Role, User, UserRequest, UserUpdate
from core.errors import InputError
from core.inference.auth import refresh_tokens
from core.inference.auth.caller import SERVICE_CALLER_NAME
from core.inference.auth.errors import LastAdministrator, UnknownUser, UserExists
from core.inference.auth.passwords import Passwords
from core.inference.database.engine import Database
from core.inference.database.models import CameraAccessRow, UserRow


class Users:
    """Thread-safe; methods that set a password take some tenths of a second."""

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords

    def all(self) -> list[User]:
        with self._database.read() as session:
            rows = session.scalars(select(UserRow).order_by(UserRow.name)).all()
            return [as_user(session, row) for row in rows]

    def get(self, name: str) -> User:
        """Raises UnknownUser."""
        with self._database.read() as session:
            return as_user(session, _get_row(session, name))

    def add(self, request: UserRequest) -> User:
        """Add a user. Raises UserExists, and InputError for an administrator limited to some cameras."""
        if request.name == SERVICE_CALLER_NAME:
            raise UserExists(request.name)
        _check_cameras(request.name, request.role, request.cameras is not None)
        hashed = self._passwords.hash(request.password.get_secret_value())

        def work(session: Session) -> User:
            if session.get(UserRow, request.name) is not None:
                raise UserExists(request.name)
            row = UserRow(
                name=request.name,
                password_hash=hashed,
                role=request.role.value,
                active=True,
                limited=request.cameras is not None,
                created=datetime.now(timezone.utc),
                last_login=None,
                generation=1,
            )
            session.add(row)
            session.flush()
            _set_cameras(session, row, request.cameras or ())
            return as_user(session, row)

        return self._database.write(work)

    def update(self, name: str, update: UserUpdate) -> User:
        """Change the given fields; a new password or deactivation ends every login.

        Raises UnknownUser, LastAdministrator, and InputError as `add`.
        """
        if update.all_cameras and update.cameras is not None:
            raise InputError(
                f"User {name}", "all cameras and a list of cameras are both given", "choose one of the two"
            )
        hashed = self._passwords.hash(update.password.get_secret_value()) if update.password else ""

        def work(session: Session) -> User:
            row = _get_row(session, name)
            administrator = _is_administrator(row)
            row.role = (update.role or Role(row.role)).value
            if update.cameras is not None or update.all_cameras:
                row.limited = not update.all_cameras
                _set_cameras(session, row, () if update.all_cameras else update.cameras or ())
            _check_cameras(name, Role(row.role), row.limited)
            if update.active is not None:
                row.active = update.active
            if hashed:
                row.password_hash = hashed
            if hashed or not row.active:
                row.generation += 1
                refresh_tokens.end_logins(session, name)
            session.flush()
            if administrator:
                _check_administrators(session, name)
            return as_user(session, row)

        return self._database.write(work)

    def remove(self, name: str) -> None:
        """Remove a user and end the logins. Raises UnknownUser and LastAdministrator."""

        def work(session: Session) -> None:
            row = _get_row(session, name)
            administrator = _is_administrator(row)
            session.delete(row)
            session.flush()
            if administrator:
                _check_administrators(session, name)

        self._database.write(work)


def as_user(session: Session, row: UserRow) -> User:
    return User(
        name=row.name,
        role=Role(row.role),
        active=row.active,
        cameras=cameras_of(session, row),
        created=row.created,
        last_login=row.last_login,
    )


def cameras_of(session: Session, row: UserRow) -> list[str] | None:
    """The cameras a user may see; None for all."""
    if not row.limited:
        return None
    access = select(CameraAccessRow.camera).where(CameraAccessRow.user == row.name).order_by(CameraAccessRow.camera)
    return list(session.scalars(access))


def _get_row(session: Session, name: str) -> UserRow:
    row = session.get(UserRow, name)
    if row is None:
        raise UnknownUser(name)
    return row


def _set_cameras(session: Session, row: UserRow, cameras: Iterable[str]) -> None:
    session.execute(delete(CameraAccessRow).where(CameraAccessRow.user == row.name))
    session.add_all(CameraAccessRow(user=row.name, camera=camera) for camera in dict.fromkeys(cameras))
    session.flush()


def _check_cameras(name: str, role: Role, limited: bool) -> None:
    if role is Role.ADMIN and limited:
        why = "an administrator manages, and therefore sees, all cameras"
        raise InputError(f"User {name}", why, "name no cameras, or choose another role")


def _is_administrator(row: UserRow) -> bool:
    return row.active and Role(row.role) is Role.ADMIN


def _check_administrators(session: Session, name: str) -> None:
    """Call it after a change, in the same transaction, which the error then rolls back."""
    active = select(func.count()).where(UserRow.role == Role.ADMIN.value, UserRow.active)
    if not session.scalar(active):
        raise LastAdministrator(name)
