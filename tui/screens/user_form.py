"""The dialog that adds or changes a user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.errors import InputError
from core.inference.schemas import Role, User, UserRequest, UserUpdate
from core.service_client import text_formats
from core.service_client.edit_merge import merge_changes
from core.site import Site
from tui.console_app import console_of
from tui.screens.fields import NO, YES, Field, FieldForm, yes_no


class UserForm(FieldForm[str]):
    """Gives back the user's name, None when the dialog was left."""

    VERB = "Save"

    def __init__(self, site: Site, user: User | None = None) -> None:
        super().__init__(f"User {user.name}" if user else "Add a user", site)
        self._user = user

    def lines(self) -> Sequence[Field]:
        """Who, and what they may."""
        now = self._user
        cameras = " ".join(now.cameras or ()) if now else ""
        stays = "empty: it stays; a new one ends all logins" if now else "at least 10 characters"
        out = [
            Field("name", "Name", now.name if now else "", "ana", fixed=now is not None),
            Field("password", "Password", hint=stays, secret=True),
            Field("again", "Once more", secret=True),
            Field("role", "Role", (now.role if now else Role.VIEWER).value, choices=tuple(one.value for one in Role)),
            Field("cameras", "Only cameras", cameras, "all; gate-1 gate-2"),
        ]
        return [*out, Field("active", "May log in", yes_no(now.active), choices=(YES, NO))] if now else out

    def send(self) -> None:
        """Add or change them."""
        password = self.secret("password")
        if password != self.secret("again"):
            raise InputError("Password", "the two are not the same", "type it twice")
        cameras = self.value("cameras").replace(",", " ").split()
        role = self.value("role") or Role.VIEWER.value
        service, name = console_of(self).service, self.value("name")
        if self._user is None:
            fields = {"name": name, "password": password, "role": role, "cameras": cameras or None}
            request = text_formats.build_request(UserRequest, fields)
            self.attempt(partial(service.add_user, request), lambda _: self.dismiss(name))
            return
        changed: dict[str, object] = {"password": password} if password else {}  # what is not sent stays
        if role != self._user.role.value:
            changed["role"] = role
        if (active := self.yes("active")) != self._user.active:
            changed["active"] = active
        if cameras != (self._user.cameras or []):
            changed |= {"cameras": cameras} if cameras else {"all_cameras": True}
        update = text_formats.build_request(UserUpdate, changed)
        opened = _settings(self._user)
        wanted = opened.model_copy(
            update={"role": Role(role), "active": self.yes("active"), "cameras": cameras or None},
        )

        def work() -> object:
            for now in service.users():
                if now.name == name:  # raises where somebody else changed the same
                    merge_changes(f"User {name}", opened, opened, wanted, _settings(now), self.overwrite)
            return service.update_user(name, update)

        self.attempt(work, lambda _: self.dismiss(name))


def _settings(user: User) -> UserUpdate:
    """What of a user is set, without the password, which nobody can see."""
    return UserUpdate.model_construct(role=user.role, active=user.active, cameras=user.cameras or None)
