"""Asks before long work starts, as one letter is easily typed unasked; what the work would do is shown once known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from core.errors import XaivaError
from core.site import Site
from tui.console_app import console_of
from tui.present import previews
from tui.present.cells import Span, line
from tui.screens.form import Form
from tui.widgets.panel import Formatter

Preview = Callable[[Site, str, Mapping[str, Any]], Formatter]  # blocks; raises XaivaError for what is in the way


class Start(Form[bool]):
    """Gives back True at Enter, None when it was left. Enter does not wait for the preview."""

    WIDE = True

    def __init__(self, title: str, site: Site, verb: str, preview: Callable[[], Formatter]) -> None:
        super().__init__(title, site)
        self.VERB = verb  # type: ignore[misc]
        self._preview = preview

    def on_mount(self) -> None:
        """Enter starts; what it starts is looked up in a thread."""
        self.query_one("#submit").focus()
        self.query_one(".dialog").border_subtitle = "Enter starts · Esc leaves"
        self.say(lambda _: [line(Span("looking what there is to do…", "dim"))])
        console_of(self).background(self._preview, self._show, self._warn)

    def _show(self, formatter: Formatter) -> None:
        if self.is_attached:
            self.say(formatter)

    def _warn(self, error: XaivaError) -> None:
        if self.is_attached:
            self.explain(error)

    def submit(self) -> None:
        """Yes."""
        self.dismiss(True)


def _lock(site: Site, name: str, options: Mapping[str, Any]) -> Formatter:
    from core.artifacts.lock_store import find_lock
    from core.presets.store import load_named

    return partial(previews.lock, load_named(site, name), find_lock(site, name), bool(options.get("upgrade")))


def _sync(site: Site, name: str, _options: Mapping[str, Any]) -> Formatter:
    from core.artifacts.sync_plan import plan

    return partial(previews.sync, plan(site, name))


def _verify(site: Site, name: str, _options: Mapping[str, Any]) -> Formatter:
    from core.artifacts.lock_store import read_lock

    return partial(previews.verify, read_lock(site, name))


def _build(site: Site, name: str, options: Mapping[str, Any]) -> Formatter:
    from core.images.build_checks import preview_stages

    return partial(previews.build, preview_stages(site, name, str(options.get("target") or "runtime")))


PREVIEWS: dict[str, Preview] = {"lock": _lock, "sync": _sync, "verify": _verify, "build": _build}
