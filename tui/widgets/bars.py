"""The two bars at the top, status and tabs, and the key bar at the bottom."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from rich.cells import cell_len
from textual import events
from textual.dom import DOMNode
from textual.reactive import reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from tui.app_protocol import console_of
from tui.formatters.cells import Span
from tui.formatters.top_lines import Part, Status, status_parts, tab_parts
from tui.widgets.role_styles import RoleStyled


class Bar(RoleStyled, Widget):
    """One line of parts. A click on a part runs its action."""

    @abstractmethod
    def parts(self) -> list[Part]:
        """The parts from left to right, each with the action that a click runs ("" for none)."""

    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        return self.role_strip(tuple(span for part, _ in self.parts() for span in part), self.size.width)

    async def on_click(self, event: events.Click) -> None:
        """Run the action under the pointer."""
        left = 0
        for part, action in self.parts():
            left += sum(cell_len(span.text) for span in part)
            if event.x < left:
                if action:
                    await self.run_action(action)
                return


class StatusBar(Bar):
    """The site, the host, the engine, the user, and the limits of this console."""

    status: reactive[Status | None] = reactive(None)  # another one is drawn at once

    def on_mount(self) -> None:
        self.status = console_of(self).status

    def parts(self) -> list[Part]:
        return status_parts(self.status, self.size.width) if self.status else []


class TabBar(Bar):
    """The screens in their groups with their keys, the current one marked."""

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current

    def parts(self) -> list[Part]:
        return tab_parts(self._current, self.size.width)


class KeyBar(Bar):
    """The keys that work now, taken from the active bindings. The help lists those that do not fit."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, _screen: Screen[object]) -> None:
        self.refresh()

    def parts(self) -> list[Part]:
        """Help and quit always; the keys of the focused widget, then those of the screen, as far as they fit."""
        focused = self._focused_keys()
        own = self._keys("screen", self.screen)
        general = self._keys("app", self.app)
        last = [*general.values()]
        room = self.size.width - sum(cell_len(span.text) for part, _ in last for span in part)
        visible_parts: list[Part] = []
        for part, action in [*focused, *own.values()]:
            room -= sum(cell_len(span.text) for span in part)
            if room < 0:
                break
            visible_parts.append((part, action))
        return visible_parts + last

    def _focused_keys(self) -> list[Part]:
        """The keys of the focused widget and its parents. A click does nothing: the actions are not the screen's."""
        focused = self.screen.focused
        nodes = [node for node in focused.ancestors_with_self if node is not self.screen] if focused else []
        return [(part, "") for node in nodes if isinstance(node, Widget) for part, _ in self._keys("", node).values()]

    def _keys(self, namespace: str, node: DOMNode) -> dict[str, Part]:
        """Action → its part, with the shortest of the keys that work now. `node` is the screen or the application."""
        shortest: dict[str, tuple[str, str]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if active.node is node and binding.show and active.enabled and not binding.system:
                key = self.app.get_key_display(replace(binding, key_display=None))
                shortest_key = shortest.get(binding.action)
                if shortest_key is None or len(key) < len(shortest_key[0]):
                    shortest[binding.action] = key, binding.description
        return {
            action: ((Span(f" {key}", "key"), Span(f" {words} ")), f"{namespace}.{action}")
            for action, (key, words) in shortest.items()
        }
