"""Users, their roles, logins and tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from core.api_schema.base import CameraId, Name, RequestModel, ResponseModel, StrictBool, Timestamp
from core.open_enum import OpenEnum


def _no_placeholder(password: SecretStr) -> SecretStr:
    if not password.get_secret_value().strip("*•"):
        raise ValueError("this is the placeholder for a hidden password; write the password itself")
    return password


Password = Annotated[SecretStr, Field(min_length=10, max_length=256), AfterValidator(_no_placeholder)]


class Role(OpenEnum):
    """VIEWER may look, OPERATOR also acknowledge, start and stop, ADMIN also change cameras, users and rules."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 for VIEWER to 2 for ADMIN. An unknown role ranks lowest: it allows nothing."""
        return list(Role).index(self) if self.is_known else -1


class User(ResponseModel):
    """A user who may log in."""

    name: str
    role: Role
    active: bool = True
    cameras: list[str] | None = None
    """The cameras the user may see; None: all."""
    created: Timestamp
    last_login: Timestamp | None = None


class UserRequest(RequestModel):
    """The settings of a new user."""

    name: Name
    password: Password
    role: Role = Role.VIEWER
    cameras: list[CameraId] | None = None


class UserUpdate(RequestModel):
    """Changes to a user; fields that are not set stay. A new password or `active: false` ends the user's logins."""

    password: Password | None = None
    role: Role | None = None
    active: StrictBool | None = None
    cameras: list[CameraId] | None = None
    all_cameras: StrictBool = False
    """Let the user see all cameras again."""


class Login(RequestModel):
    """The name and password of a user who logs in."""

    name: Annotated[str, Field(max_length=63)]
    password: Annotated[SecretStr, Field(max_length=256)]


class PasswordChange(RequestModel):
    """A new password for the current user. It ends all logins except the one in the response."""

    current: Annotated[SecretStr, Field(max_length=256)]
    new: Password


class Refresh(RequestModel):
    """A refresh token, valid for one use."""

    refresh: Annotated[str, Field(max_length=4096)]


class Tokens(ResponseModel):
    """The tokens of a login."""

    access: str
    """The bearer token for requests, valid for `expires_in` seconds."""
    refresh: str
    """Gets new tokens from `POST /auth/refresh`, once."""
    expires_in: int
    user: str
    role: Role
