"""Stacks: their services, what would change and why; up, start, stop, restart, down, each as an operation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from textual import on

from core.containers.model import Container
from core.operations.model import Operation
from tui.actions import bindings
from tui.formatters import stack_details
from tui.formatters import stacks as stack_format
from tui.formatters.stacks import StackItem
from tui.screens.base import error_lines
from tui.screens.container_log_screen import ContainerLogScreen
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, empty_content

KIND = "stack"  # of the operations


class StacksScreen(ContainerLogScreen):
    """One row for each stack, and below it one for each of its services."""

    NAME = "stacks"
    SOURCE = "stacks"
    SOURCES = ("stacks", "containers", "operations")
    STATE_SOURCES = ("containers",)
    TITLE = "Stacks"
    COLUMNS = stack_format.COLUMNS
    EMPTY = "no stacks: write a compose.yaml into stacks/NAME/"
    NAME_CELLS = 2
    BINDINGS: ClassVar[list[Any]] = bindings("stacks", "list")

    def __init__(self) -> None:
        super().__init__()
        self._items: list[StackItem] = []
        self._was_live: set[int] = set()  # operations on stacks at the last update

    # -- what is shown -------------------------------------------------------------------------------------------------

    def feed(self) -> None:
        """Also plan again at once when an operation began or ended."""
        live = {operation.id for operation in self._operations() if operation.state.live}
        if live != self._was_live:
            self._was_live = live
            self.console.store.ask_now("stacks", "containers")
        super().feed()

    def rows(self, value: Any) -> list[ChoiceRow]:
        self._items = stack_format.items(value, self.reading("containers").value, self._outdated())
        live = {operation.subject: operation for operation in self._operations() if operation.state.live}
        return [ChoiceRow(item.key, stack_format.row(item, live.get(item.name)), item) for item in self._items]

    def selected(self) -> StackItem | None:
        return next((item for item in self._items if item.key == self.choices.key), None)

    def logged_container(self) -> Container | None:
        item = self.selected()
        return None if item is None else item.container

    def detail(self) -> tuple[Formatter, str, str]:
        item = self.selected()
        if item is None:
            return empty_content, "", ""
        if item.view.entry.error is not None:
            return partial(error_lines, item.view.entry.error), "", ""
        return partial(stack_details.detail, item), "", ""

    def _outdated(self) -> set[str]:
        """The stacks on which an operation works, or worked until after the plans were made."""
        planned = self.console.parts.now() - (self.reading("stacks").age or 0)
        return {one.subject for one in self._operations() if one.state.live or one.ended > planned}

    def _operations(self) -> list[Operation]:
        operations: list[Operation] = self.reading("operations").value or []
        return [operation for operation in operations if operation.kind == KIND]

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_up(self) -> None:
        """Show the plan of the stack, then bring it up."""
        if (item := self._chosen()) is not None:
            self._up(item.name, ())

    def action_up_service(self) -> None:
        """Show the plan of the service and of what it waits for, then bring these up."""
        if (item := self._chosen()) is not None:
            if item.service is None:
                self.notify("move to a service, or press U for the whole stack")
            else:
                self._up(item.name, (item.service.name,))

    def _up(self, stack: str, services: Sequence[str]) -> None:
        look = self.console.parts.preview(KIND)
        assert look is not None
        options = {"action": "up", "services": [*services]}
        title = f"Up {' '.join((stack, *services))}"
        self.ask_to_start(title, "Up", partial(look, self.site, stack, options), partial(self._begin, stack, options))

    def action_start(self) -> None:
        """Start what is stopped."""
        if (item := self._chosen()) is not None:
            self._begin(item.name, _options("start", item))

    def action_stop(self) -> None:
        self._confirm_and_begin("stop", "Containers are asked to stop, and killed if they do not. S starts them again.")

    def action_restart(self) -> None:
        self._confirm_and_begin(
            "restart", "The same containers start again. What changed in files takes effect with U."
        )

    def _confirm_and_begin(self, action: str, text: str) -> None:
        if (item := self._chosen()) is not None:
            title = f"{action.capitalize()} {_name(item)}?"
            begin = partial(self._begin, item.name, _options(action, item))
            self.confirm(title, text, action.capitalize(), begin)

    def action_down(self) -> None:
        """Ask, then remove the containers and networks of the stack."""
        if (item := self._chosen()) is not None:
            text = "Its containers and networks are removed. Its volumes and images stay."
            begin = partial(self._begin, item.name, {"action": "down", "services": []})
            self.confirm(f"Down: remove the containers of {item.name}?", text, "Down", begin)

    def _begin(self, stack: str, options: dict[str, Any]) -> None:
        self.begin_operation(KIND, stack, options, key=f"stack:{stack}")

    @on(ChoiceList.Chosen, "#choices")
    async def action_follow(self) -> None:
        """Open the newest operation of this stack."""
        item = self.selected()
        ids = (str(one.id) for one in self._operations() if item is not None and one.subject == item.name)
        if (newest := next(ids, None)) is None:
            self.notify("no operation has run on this stack yet")
        else:
            await self.console.open_row("operations", newest)

    def _chosen(self) -> StackItem | None:
        """The row under the cursor; None with a message when nothing can be done with it."""
        item = self.selected()
        if item is None:
            self.notify("no stack is selected")
        elif item.view.entry.error is not None:
            self.notify(f"{item.name} cannot be used: {item.view.entry.error.summary}", severity="warning")
            return None
        return item


def _options(action: str, item: StackItem) -> dict[str, Any]:
    return {"action": action, "services": [item.service.name] if item.service else []}


def _name(item: StackItem) -> str:
    return f"{item.service.name} of {item.name}" if item.service else f"all services of {item.name}"
