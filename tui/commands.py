"""The command palette: every screen by its name, and every action of the table by its texts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.actions import ACTIONS, Action, key_text
from tui.app_protocol import console_of
from tui.navigation import SCREENS, ScreenEntry

NAMED_SCORE = 1000.0  # above every score of the matcher
EXACT_SCORE = 2000.0


class ActionProvider(Provider):
    """Offers all screens, then all actions that this console allows."""

    def _offered(self) -> Iterator[tuple[Action, str]]:
        for action in ACTIONS:
            if action.opens_screen or not console_of(self.screen).allows(action):
                continue
            screen = SCREENS.get(action.screen)
            yield action, f"{screen.title}: {action.title}" if screen else action.title

    async def discover(self) -> Hits:
        """All screens and actions, before anything is typed."""
        console = console_of(self.screen)
        for entry in SCREENS.values():
            yield DiscoveryHit(entry.title, partial(console.switch_mode, entry.name), help=_screen_help(entry))
        for action, title in self._offered():
            yield DiscoveryHit(title, partial(console.run_named, action.id), help=_action_help(action))

    async def search(self, query: str) -> Hits:
        """The screens and actions whose title or help matches; first the screens whose name begins with the query."""
        matcher, console = self.matcher(query), console_of(self.screen)
        for entry in SCREENS.values():
            score = name_score(entry, query) or matcher.match(entry.title)
            if score > 0:
                go = partial(console.switch_mode, entry.name)
                yield Hit(score, matcher.highlight(entry.title), go, text=entry.title, help=_screen_help(entry))
        for action, title in self._offered():
            score = max(matcher.match(title), matcher.match(action.help) * 0.6)
            if score > 0:
                run = partial(console.run_named, action.id)
                yield Hit(score, matcher.highlight(title), run, text=title, help=_action_help(action))


def name_score(entry: ScreenEntry, query: str) -> float:
    """How well the query names the screen; 0 when it is neither its name, nor its beginning, nor another name of it."""
    word = query.strip().lower()
    if word in (entry.name, *entry.aliases):
        return EXACT_SCORE
    return NAMED_SCORE if entry.name.startswith(word) else 0.0


def _screen_help(entry: ScreenEntry) -> str:
    return f"{' '.join(key_text(key) for key in entry.keys)} — {entry.help}"


def _action_help(action: Action) -> str | None:
    return " — ".join(word for word in (key_text(action.keys.partition(",")[0]), action.help) if word) or None
