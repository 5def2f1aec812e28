"""The dialog that adds or changes a user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.api_schema import Role, User, UserRequest, UserUpdate
from core.errors import InputError
from core.service_client import text_formats
from core.service_client.edit_merge import merge_changes
from core.site import Site
from tui.app_protocol import console_of
from tui.screens.field_form import NO, YES, Field, FieldForm, yes_no


class UserForm(FieldForm[str]):
    """Returns the user's name, None when the dialog was cancelled."""

    VERB = "Save"

    def __init__(self, site: Site, user: User | None = None) -> None:
        super().__init__(f"User {user.name}" if user else "Add a user", site)
        self._user = user

    def fields(self) -> Sequence[Field]:
        user = self._user
        cameras = " ".join(user.cameras or ()) if user else ""
        password_hint = "empty: unchanged; a new one ends all logins" if user else "at least 10 characters"
        out = [
            Field("name", "Name", user.name if user else "", "ana", fixed=user is not None),
            Field("password", "Password", hint=password_hint, secret=True),
            Field("again", "Repeat password", secret=True),
            Field(
                "role", "Role", (user.role if user else Role.VIEWER).value, choices=tuple(role.value for role in Role)
            ),
            Field("cameras", "Cameras", cameras, "empty: all; gate-1 gate-2"),
        ]
        return [*out, Field("active", "Can log in", yes_no(user.active), choices=(YES, NO))] if user else out

    def send(self) -> None:
        password = self.exact_text("password")
        if password != self.exact_text("again"):
            raise InputError("Password", "the two passwords differ", "enter the same password twice")
        cameras = self.value("cameras").replace(",", " ").split()
        role = self.value("role") or Role.VIEWER.value
        service, name = console_of(self).service, self.value("name")
        if self._user is None:
            fields = {"name": name, "password": password, "role": role, "cameras": cameras or None}
            request = text_formats.build_request(UserRequest, fields)
            self.run_once(partial(service.add_user, request), lambda _: self.dismiss(name))
            return
        changed: dict[str, object] = (
            {"password": password} if password else {}
        )  # a field that is not sent stays as it is
        if role != self._user.role.value:
            changed["role"] = role
        if (active := self.yes_or_no("active")) != self._user.active:
            changed["active"] = active
        if cameras != (self._user.cameras or []):
            changed |= {"cameras": cameras} if cameras else {"all_cameras": True}
        update = text_formats.build_request(UserUpdate, changed)
        initial = _user_settings(self._user)
        requested = initial.model_copy(
            update={"role": Role(role), "active": self.yes_or_no("active"), "cameras": cameras or None},
        )

        def work() -> object:
            for current in service.users():
                if current.name == name:  # raises when somebody else changed the same field
                    merge_changes(f"User {name}", initial, initial, requested, _user_settings(current), self.overwrite)
            return service.update_user(name, update)

        self.run_once(work, lambda _: self.dismiss(name))


def _user_settings(user: User) -> UserUpdate:
    """A user's settings, without the password, which the service does not reveal."""
    return UserUpdate.model_construct(role=user.role, active=user.active, cameras=user.cameras or None)
