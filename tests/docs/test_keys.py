"""The keys on the page of the console are those of the screens, and it names each key of the screens it explains."""

from __future__ import annotations

import importlib
import pkgutil
import re

from textual.app import App
from textual.binding import Binding
from textual.screen import Screen

import tui.screens
import tui.widgets
from tests.docs.pages import Piece, check, matches, page
from tui.actions import ACTIONS
from tui.navigation import SCREENS
from tui.relatives import RELATIVES

CONSOLE = "docs/console.md"
EXPLAINED = {
    "The engine": "engine", "Processes": "processes", "Cameras": "cameras", "Events": "events",
    "Statistics": "statistics", "The service, rules and users": "service", "Settings": "settings",
    "Products": "products", "Jobs": "jobs",
}  # fmt: skip
NAMES = {
    "?": "question_mark", ":": "colon", "/": "slash", "+": "plus", "-": "minus", "&": "ampersand",
    ",": "comma", "<": "less_than_sign", ">": "greater_than_sign", "←": "left", "→": "right",
    "Esc": "escape", "PgUp": "pageup", "PgDn": "pagedown",
}  # fmt: skip
KEY = re.compile(r"[A-Za-z0-9?:,/+\-&<>←→]|F\d+|Ctrl[+-][A-Z]|Enter|Esc|Backspace|Tab|space|PgUp|PgDn")


def _keys() -> list[tuple[Piece, str]]:
    """The keys that the page names, as Textual calls them."""
    return [
        (span, text if len(text) == 1 else text.lower().replace("ctrl-", "ctrl+"))
        for span in page(CONSOLE).spans
        if KEY.fullmatch(span.text)
        for text in [NAMES.get(span.text, span.text)]
    ]


def _bound_anywhere() -> set[str]:
    """All keys of the console, those in dialogs and lists too."""
    bindings: list[object] = [*App.BINDINGS, *Screen.BINDINGS]
    for package in (tui.screens, tui.widgets):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for kind in vars(importlib.import_module(module.name)).values():
                bindings += vars(kind).get("BINDINGS", ()) if isinstance(kind, type) else ()
    keys = {key for binding in bindings if isinstance(binding, Binding) for key in binding.key.split(",")}
    keys |= {entry.letter for entry in SCREENS.values()}
    keys |= {relative.letter for relatives in RELATIVES.values() for relative in relatives}
    return keys | {key for action in ACTIONS for key in action.keys.split(",")}


def _keys_of(*screens: str) -> set[str]:
    return {key for action in ACTIONS if action.screen in screens for key in action.keys.split(",")}


def test_every_key_that_is_named_does_something_there() -> None:
    bound = _bound_anywhere()
    check(
        f"{span.place}: {span.text}: no such key" + (f" on the screen {screen}" if screen else "")
        for span, key in _keys()
        for screen in [EXPLAINED.get(span.heading)]
        if key not in (_keys_of(screen, "list", "app") if screen and len(key) == 1 else bound)
    )


def test_every_key_of_an_explained_screen_is_named() -> None:
    check(
        f"{CONSOLE}, {heading or 'anywhere'}: {action.id}: none of {action.keys} is named"
        for heading, screen in {**EXPLAINED, "": "app", " ": "list"}.items()
        for action in ACTIONS
        if action.screen == screen
        and action.keys
        and not set(action.keys.split(","))
        & {key for span, key in _keys() if not heading.strip() or span.heading == heading}
    )


def test_a_screen_is_named_after_its_key() -> None:
    by_key = {entry.key: entry.title for entry in SCREENS.values()}
    mentions = matches(r"`(\d)` ([A-Z][a-z]+)")
    check(f"{place}: {match[0]}" for place, match in mentions if by_key.get(match[1]) != match[2])
