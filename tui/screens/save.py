"""The dialog that saves something of the service into a file, with progress: whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from core.errors import Cancelled, InputError, XaivaError
from core.site import Site
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
        self._replace: Path | None = None

    def lines(self) -> Sequence[Field]:
        """Where to; from the site's folder on."""
        return (Field("path", "File", f"exports/{self._proposed}"),)

    def on_mount(self) -> None:
        """Show how far it is while it is written."""
        super().on_mount()
        self.set_interval(LOOK, self._look)

    def send(self) -> None:
        """Write it; a file that is there is replaced only when asked a second time."""
        path = self.site.root / _home(self.value("path"))
        work = partial(self._write, path, path == self._replace)
        self.attempt(work, self.dismiss, "writing…")

    def _write(self, path: Path, replace: bool) -> Path:
        """In a thread: what was typed may lie on a disk that hangs."""
        try:
            if path.is_dir():
                raise InputError(f"{path}", "that is a folder", "name a file")
            if path.exists() and not replace:
                raise _There(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise XaivaError(f"{path}", f"it cannot be written: {error.strerror}", "name another file") from error
        self._work(path, self._told)
        return path

    def explain(self, error: XaivaError) -> None:
        """What is wrong; a file that is there may be replaced."""
        if isinstance(error, _There):
            self._replace = error.path
            self.say(lambda width: wrap(f"{error.path} is there already: Enter once more replaces it", width, "warn"))
        else:
            super().explain(error)

    def _told(self, done: int, total: int) -> None:
        """From the thread."""
        self._progress = done, total
        if self._stop:
            raise Cancelled

    def _look(self) -> None:
        if any(self._progress) and self.busy:
            self.say(self._lines)

    def _lines(self, width: int) -> list[Line]:
        done, total = self._progress
        shown = [line(Span(self._words(done, total)))]
        return [*shown, bar(done / total, width, "accent")] if total else shown

    def leave(self) -> None:
        """What was begun is given up; nothing of it stays."""
        self._stop = True
        self.dismiss(None)


class _There(XaivaError):
    """Something stands where the file is to go."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}", "it is there already", "name another file")
        self.path = path


def _home(written: str) -> Path:
    try:
        return Path(written).expanduser()
    except RuntimeError:
        raise InputError(written, "there is no such user here", "name a file") from None
