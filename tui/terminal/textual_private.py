"""The private names of Textual and Rich that this package uses, and a check that they all exist.

Where one is missing, the console uses Textual's own driver and drawing: slower over a thin line, but it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

try:
    from textual._ansi_sequences import SYNC_END, SYNC_START
    from textual._compositor import ChopsUpdate, LayoutUpdate
    from textual._xterm_parser import XTermParser
except ImportError:  # missing_names() reports it, and these are not used
    SYNC_START = SYNC_END = ""
    ChopsUpdate = LayoutUpdate = XTermParser = object  # type: ignore[assignment,misc]

__all__ = ["SYNC_END", "SYNC_START", "ChopsUpdate", "LayoutUpdate", "XTermParser", "missing_names"]

USED = {
    "textual._ansi_sequences": "SYNC_START SYNC_END",
    "textual._compositor": "ChopsUpdate LayoutUpdate",
    "textual._compositor:ChopsUpdate": "chops chop_ends",
    "textual._xterm_parser": "XTermParser",
    "textual.app:App": "_display _batch_count _driver _sync_available _exception _exit_renderables "
    "_close_messages_no_wait _fatal_error _screen_stack _clipboard",
    "textual.drivers.linux_driver:LinuxDriver": "_run_input_thread _get_terminal_size _enable_mouse_support "
    "_disable_mouse_support _sigcont_application _mouse _loop attrs_before",
    "textual.message_pump:MessagePump": "_message_queue _is_mounted _task _closing _closed _running",
    "textual.screen:Screen": "_compositor",
    "textual.strip:Strip": "_segments render_ansi",
    "rich.console:Console": "_color_system",
    "rich.style:Style": "_ansi",
}


@lru_cache(1)
def missing_names() -> tuple[str, ...]:
    """The names of USED that are missing, as `module:class.name`."""
    return tuple(f"{where}.{name}" for where, names in USED.items() for name in _absent(where, names.split()))


def _absent(where: str, names: list[str]) -> Iterator[str]:
    module, _, class_name = where.partition(":")
    try:
        owner: Any = importlib.import_module(module)
    except ImportError:
        yield from names
        return
    if class_name:
        owner = getattr(owner, class_name, None)
    there = set(dir(owner)) | (_assigned(owner) if class_name and owner is not None else set())
    yield from (name for name in names if name not in there)


def _assigned(owner: type) -> set[str]:
    """The names that methods of a class and its bases use, among them the attributes that only instances have."""
    functions = (value for base in owner.__mro__ for value in vars(base).values())
    codes = (getattr(getattr(value, "fget", value), "__code__", None) for value in functions)
    return {name for code in codes if code is not None for name in code.co_names}
