"""Service: the inference service with its models, notification rules and users."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.containers import Container
from textual.events import DescendantFocus
from textual.widget import Widget

from core.api_schema import Rule, TestResult, User
from core.service_client.text_formats import format_channel
from tui.actions import ACTION_BY_ID, bindings
from tui.formatters import service as service_format
from tui.formatters.cells import Span
from tui.screens.base import ConsoleScreen, error_lines, stale_lines
from tui.sources import ServiceView
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Panel, empty_content

ADMINS_ONLY = "visible to administrators only"


class ServiceScreen(ConsoleScreen):
    """Rules and users; beside them the details of the one under the cursor, and the state of the service."""

    NAME = "service"
    SOURCES = ("service", "cameras", "gpus")
    LOGIN_SOURCE = "service"
    BINDINGS: ClassVar[list[Any]] = bindings("service", "list")

    def body(self) -> Iterable[Widget]:
        rules = ChoiceList(service_format.RULE_COLUMNS, id="rules")
        users = ChoiceList(service_format.USER_COLUMNS, id="users")
        rules.border_title, users.border_title = "Rules", "Users"
        with Container(classes="columns"):
            with Container(classes="side"):
                yield rules
                yield users
            with Container(classes="main"):
                yield Panel(id="detail")
                yield Panel("Service", id="summary")

    def __init__(self) -> None:
        super().__init__()
        self._in_users = False  # which of the two lists had the focus last

    def on_mount(self) -> None:
        super().on_mount()
        self._rules.focus()

    @property
    def _rules(self) -> ChoiceList:
        return self.query_one("#rules", ChoiceList)

    @property
    def _users(self) -> ChoiceList:
        return self.query_one("#users", ChoiceList)

    @property
    def _view(self) -> ServiceView | None:
        view: ServiceView | None = self.reading("service").value
        return view

    # -- showing ------------------------------------------------------------------------------------------------------

    def feed(self) -> None:
        reading, view = self.reading("service"), self._view
        self._show_list(
            self._rules, None if view is None else view.rules, "no rules, nobody is notified: press n to add one"
        )
        self._show_list(self._users, None if view is None else view.users, "no users: press u to add one")
        status, gpus = self.reading("cameras"), self.reading("gpus")
        summary = self.query_one("#summary", Panel)
        address = self.console.service_address
        address_text = f" · {address.container or address.url}" if address else ""
        login_text = f" · logged in as {view.user}" if view and view.user and not reading.is_stale else ""
        summary.border_title = f"Service{address_text}{login_text}"
        error = status.error or reading.error
        if status.is_stale:
            summary.show(partial(stale_lines, status), *status.state)
        elif status.value is None and error is not None:
            summary.show(partial(error_lines, error), *status.state)
        else:
            formatter = partial(
                service_format.summary, status.value, None if gpus.is_stale or not gpus.value else gpus.value.sample
            )
            summary.show(formatter, *status.state)
        self._show_detail()

    def _show_list(self, choices: ChoiceList, items: list[Any] | None, empty: str) -> None:
        reading = self.reading("service")
        choices.empty = empty if items is not None else ADMINS_ONLY
        if reading.value is None:
            choices.empty = f"unknown: {reading.error.why or reading.error.what}" if reading.error else ""
        row = service_format.rule_row if choices.id == "rules" else service_format.user_row
        rows = [ChoiceRow(item.name, row(item), item) for item in items or ()]
        if reading.is_stale:
            choices.empty = f"? {reading.unknown_text}"
            rows = [
                ChoiceRow(
                    row_shown.key, (row_shown.cells[0], Span(f"? {reading.unknown_text}", "stale")), row_shown.item
                )
                for row_shown in rows
            ]
        choices.show(rows, *reading.state)

    def _show_detail(self) -> None:
        panel, chosen, view = self.query_one("#detail", Panel), self._selected(), self._view
        reading = self.reading("service")
        if reading.is_stale:
            panel.show(partial(stale_lines, reading), *reading.state)
        elif reading.value is None and reading.error is not None:
            panel.show(partial(error_lines, reading.error), *reading.state)
        elif isinstance(chosen, Rule):
            panel.show(partial(service_format.rule_detail, chosen, view.deliveries if view else []))
        elif isinstance(chosen, User):
            panel.show(partial(service_format.user_detail, chosen))
        else:
            panel.show(empty_content)
        panel.border_title = chosen.name if chosen else "Rule or user"

    def _selected(self) -> Rule | User | None:
        """The row under the cursor of the list that has, or last had, the focus."""
        view = self._view
        if view is None:
            return None
        if self._in_users:
            return next((user for user in view.users or () if user.name == self._users.key), None)
        return next((rule for rule in view.rules or () if rule.name == self._rules.key), None)

    @on(ChoiceList.Highlighted)
    @on(DescendantFocus)
    def _moved(self) -> None:
        if self.is_mounted:
            if isinstance(self.focused, ChoiceList):
                self._in_users = self.focused is self._users
            self._show_detail()

    def copy_text(self) -> str:
        return "\n\n".join(f"{panel.border_title}\n{panel.text}" for panel in self.query(Panel))

    # -- changing -----------------------------------------------------------------------------------------------------

    def action_rule(self) -> None:
        from tui.screens.rule_form import RuleForm

        self.app.push_screen(RuleForm(self.site), partial(self._show_new_row, self._rules))

    def action_user(self) -> None:
        from tui.screens.user_form import UserForm

        self.app.push_screen(UserForm(self.site), partial(self._show_new_row, self._users))

    @on(ChoiceList.Chosen)
    def action_edit(self) -> None:
        from tui.screens.rule_form import RuleForm
        from tui.screens.user_form import UserForm

        chosen = self._selected()
        if chosen is None:
            self.notify("nothing selected to edit")
        elif chosen.unreadable:
            self.notify(f"the service's answer cannot be read: {chosen.unreadable}")
        elif self.console.allows(ACTION_BY_ID["service.edit"]):
            form = RuleForm(self.site, chosen) if isinstance(chosen, Rule) else UserForm(self.site, chosen)
            self.app.push_screen(form, self._refresh)

    def action_test(self) -> None:
        chosen = self._selected()
        if not isinstance(chosen, Rule):
            self.notify("no rule selected")
            return
        self.confirm(
            f"Send a test message for the rule {chosen.name}?",
            "It is sent now to " + ", ".join(map(format_channel, chosen.channels)) + ".",
            "Send",
            partial(self._send_test, chosen.name, len(chosen.channels)),
        )

    def _send_test(self, name: str, channels: int) -> None:
        self.notify(f"sending over {channels} channel{'' if channels == 1 else 's'}…", title=name)
        self.background(partial(self.console.service.test_rule, name), partial(self._show_test, name))

    def _show_test(self, name: str, result: TestResult) -> None:
        from tui.screens.text_dialog import TextDialog

        lines = [*(f"✓ {to}" for to in result.sent), *(f"✗ {to}: {reason}" for to, reason in result.failed.items())]
        self.app.push_screen(TextDialog(f"Test of {name}", "\n".join(lines), danger=bool(result.failed)))
        self._refresh()

    def action_remove(self) -> None:
        chosen, service = self._selected(), self.console.service
        if chosen is None:
            self.notify("nothing selected to remove")
            return
        rule = isinstance(chosen, Rule)
        work = partial(service.remove_rule if rule else service.remove_user, chosen.name)
        text = "The rule no longer notifies anybody." if rule else "The user is logged out and can no longer log in."
        kind = "rule" if rule else "user"
        self.confirm(f"Remove the {kind} {chosen.name}?", text, "Remove", lambda: self.background(work, self._refresh))

    def _show_new_row(self, choices: ChoiceList, name: str | None) -> None:
        """Move the cursor of the list to the new row."""
        if name is not None:
            choices.move_cursor_to_new(name)
            self._refresh()
            self.update_now()

    def _refresh(self, _result: object = None) -> None:
        self.console.store.ask_now("service")
