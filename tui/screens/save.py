"""The dialog that saves something of the service into a file, with progress: whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from core.errors import Cancelled, XaivaError
from core.site import Site
from tui.console_app import console_of
from tui.present.cells import Line, Span, line, wrap
from tui.present.figures import bar
from tui.screens.fields import Field, FieldForm

Told: TypeAlias = Callable[[int, int], None]  # done, all (0: not known)
Work: TypeAlias = Callable[[Path, Told], object]  # writes the file; raises XaivaError
LOOK = 0.25  # seconds between two looks at the progress


class SaveFile(FieldForm[Path]):
    """Gives back the file, None when nothing was written."""

    VERB = "Save"

    def __init__(self, title: str, site: Site, name: str, work: Work, words: Callable[[int, int], str]) -> None:
        super().__init__(title, site)
        self._proposed = name
        self._work = work
        self._words = words
        self._progress = (0, 0)
        self._stop = False
        self._writing = False
        self._replace: Path | None = None

    def lines(self) -> Sequence[Field]:
        """Where to; from the site's folder on."""
        return (Field("path", "File", f"exports/{self._proposed}"),)

    def send(self) -> None:
        """Write it; a file that is there is replaced only when asked a second time."""
        if self._writing:
            return
        path = self.site.root / Path(self.value("path")).expanduser()
        if path.is_dir():
            raise XaivaError(f"{path}", "that is a folder", "name a file")
        if path.exists() and path != self._replace:
            self._replace = path
            self.say(lambda width: wrap(f"{path} is there already: Enter once more replaces it", width, "warn"))
            return
        self._writing = True
        self.set_interval(LOOK, self._look)
        console_of(self).background(lambda: self._write(path), self._done, self._failed)

    def _write(self, path: Path) -> Path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise XaivaError(f"{path.parent}", f"it cannot be made: {error.strerror}", "name another file") from error
        self._work(path, self._told)
        return path

    def _told(self, done: int, total: int) -> None:
        """From the thread."""
        self._progress = done, total
        if self._stop:
            raise Cancelled

    def _look(self) -> None:
        if self._writing:
            self.say(self._lines)

    def _lines(self, width: int) -> list[Line]:
        done, total = self._progress
        shown = [line(Span(self._words(done, total)))]
        return [*shown, bar(done / total, width, "accent")] if total else shown

    def _done(self, path: Path) -> None:
        if self.is_attached:
            self.dismiss(path)

    def _failed(self, error: XaivaError) -> None:
        self._writing = False
        if self.is_attached:
            self.explain(error)

    def action_leave(self) -> None:
        """What was begun is given up; nothing of it stays."""
        self._stop = True
        self.dismiss(None)
