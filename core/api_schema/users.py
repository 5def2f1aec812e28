"""Users, roles and logins."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from core.api_schema.base import CameraId, Name, RequestModel, ResponseModel, StrictBool, Timestamp
from core.open_enum import OpenEnum


def _no_placeholder(password: SecretStr) -> SecretStr:
    if not password.get_secret_value().strip("*•"):
        raise ValueError("these are the signs that are shown in the place of a password; write the password itself")
    return password


Password = Annotated[SecretStr, Field(min_length=10, max_length=256), AfterValidator(_no_placeholder)]


class Role(OpenEnum):
    """VIEWER sees; OPERATOR also acknowledges, starts and stops; ADMIN also sets cameras, users and rules."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 for VIEWER to 2 for ADMIN; below them all for one that is not known: it allows nothing."""
        return list(Role).index(self) if self.is_known else -1


class User(ResponseModel):
    """Someone who may log in. `cameras` are those that may be seen, None all of them."""

    name: str
    role: Role
    active: bool = True
    cameras: list[str] | None = None
    created: Timestamp
    last_login: Timestamp | None = None


class UserRequest(RequestModel):
    """A user to add."""

    name: Name
    password: Password
    role: Role = Role.VIEWER
    cameras: list[CameraId] | None = None


class UserUpdate(RequestModel):
    """What changes; what is not named stays. A new password or `active: false` ends every login of the user.

    `all_cameras: true` takes the limit to some cameras away.
    """

    password: Password | None = None
    role: Role | None = None
    active: StrictBool | None = None
    cameras: list[CameraId] | None = None
    all_cameras: StrictBool = False


class Login(RequestModel):
    """Name and password."""

    name: Annotated[str, Field(max_length=63)]
    password: Annotated[SecretStr, Field(max_length=256)]


class PasswordChange(RequestModel):
    """A new password of one's own; it ends every login but the one it is answered with."""

    current: Annotated[SecretStr, Field(max_length=256)]
    new: Password


class Refresh(RequestModel):
    """A refresh token, good for one use."""

    refresh: Annotated[str, Field(max_length=4096)]


class Tokens(ResponseModel):
    """`access` goes into every request as a bearer token for `expires_in` seconds; `refresh` then gives new ones."""

    access: str
    refresh: str
    expires_in: int
    user: str
    role: Role
