"""The tab bar at the top, and the key bar at the bottom."""

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

from tui.actions import SHORT_TITLES
from tui.app_protocol import THIS_CONSOLE, console_of
from tui.formatters.cells import Line, Span, truncate
from tui.navigation import SCREENS
from tui.widgets.role_styles import RoleStyled

USER_COLUMNS = 16  # columns of a user's name where lines are narrow


class Bar(RoleStyled, Widget):
    """One line of parts. A click on a part runs its action."""

    user = reactive("")  # who is logged in: another one is drawn at once

    @abstractmethod
    def parts(self) -> list[tuple[Line, str]]:
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


class TabBar(Bar):
    """The screens with their keys, the current one marked, then the site's name, the user and the console's limits."""

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current

    def parts(self) -> list[tuple[Line, str]]:
        """One part for each screen, then the site."""
        parts: list[tuple[Line, str]] = [((Span(" "),), "")]
        roomy = self.size.width >= sum(len(entry.title) + 3 for entry in SCREENS.values())
        for name, entry in SCREENS.items():
            chosen = name == self._current
            title = entry.title if roomy or chosen else SHORT_TITLES.get(name, entry.title)
            parts.append((self._tab(entry.key, title, chosen), f"app.go('{name}')"))
            parts.append(((Span(" "),), ""))
        used = sum(cell_len(span.text) for part, _ in parts for span in part)
        room = self.size.width - used - 1
        console = console_of(self)
        role_when_limited = "warn" if console.flags else "dim"
        for words, role in (
            (self._joined(console.flags, console.user, console.site_name), "dim"),
            (self.required_text, role_when_limited),
        ):
            if room > cell_len(words):
                return [*parts, ((Span(" " * (room - cell_len(words))), Span(words, role)), "")]
        return parts

    @property
    def required_text(self) -> str:
        """What every screen must show somewhere: the console's limits, and the user."""
        console = console_of(self)
        return self._joined(console.flags, truncate(console.user.removesuffix(THIS_CONSOLE), USER_COLUMNS))

    @property
    def has_room(self) -> bool:
        return any(self.required_text in span.text for part, _ in self.parts() for span in part)

    @staticmethod
    def _joined(*words: str) -> str:
        return " · ".join(word for word in words if word)

    @staticmethod
    def _tab(key: str, title: str, chosen: bool) -> Line:
        if chosen:
            return (Span(key, "key"), Span(" "), Span(title, "current"))
        return (Span(key, "key"), Span(" "), Span(title, "dim"))


class KeyBar(Bar):
    """The keys that work now, taken from the active bindings. The help lists those that do not fit."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, _screen: Screen[object]) -> None:
        self.refresh()

    def parts(self) -> list[tuple[Line, str]]:
        """Help and quit always; the keys of the focused widget, then those of the screen, as far as they fit.

        The console's limits and the user are shown here when the tab bar has no room for them.
        """
        focused = self._focused_keys()
        own = self._keys("screen", self.screen)
        general = self._keys("app", self.app)
        top = self.screen.query_one(TabBar)
        last = [*general.values()]
        if not top.has_room:
            last.append(((Span(f" {top.required_text}", "warn" if console_of(self).flags else "accent"),), ""))
        room = self.size.width - sum(cell_len(span.text) for part, _ in last for span in part)
        visible_parts: list[tuple[Line, str]] = []
        for part, action in [*focused, *own.values()]:
            room -= sum(cell_len(span.text) for span in part)
            if room < 0:
                break
            visible_parts.append((part, action))
        return visible_parts + last

    def _focused_keys(self) -> list[tuple[Line, str]]:
        """The keys of the focused widget and its parents. A click does nothing: the actions are not the screen's."""
        focused = self.screen.focused
        nodes = [node for node in focused.ancestors_with_self if node is not self.screen] if focused else []
        return [(part, "") for node in nodes if isinstance(node, Widget) for part, _ in self._keys("", node).values()]

    def _keys(self, namespace: str, node: DOMNode) -> dict[str, tuple[Line, str]]:
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
