"""The command palette: every action of the table, found by its texts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.actions import ACTIONS, Action
from tui.app_protocol import console_of
from tui.navigation import SCREENS


class ActionProvider(Provider):
    """Offers all actions; in a read-only console only those that change nothing."""

    def _offered(self) -> Iterator[tuple[Action, str]]:
        for action in ACTIONS:
            if action.changes and console_of(self.screen).read_only:
                continue
            screen = SCREENS.get(action.screen)
            yield action, f"{screen.title}: {action.title}" if screen else action.title

    async def discover(self) -> Hits:
        """All actions, before anything is typed."""
        for action, title in self._offered():
            yield DiscoveryHit(title, partial(console_of(self.screen).run_named, action.id), help=action.help or None)

    async def search(self, query: str) -> Hits:
        """The actions whose title or help matches."""
        matcher = self.matcher(query)
        for action, title in self._offered():
            score = max(matcher.match(title), matcher.match(action.help) * 0.6)
            if score > 0:
                command = partial(console_of(self.screen).run_named, action.id)
                yield Hit(score, matcher.highlight(title), command, text=title, help=action.help or None)
