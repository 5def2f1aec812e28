"""The dialog that saves something of the service into a file, with progress: whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from core.errors import Cancelled, InputError, XaivaError, os_reason
from core.site import Site
from tui.formatters.cells import Line, Span, line, wrap
from tui.formatters.numbers import bar
from tui.screens.field_form import Field, FieldForm

ReportProgress: TypeAlias = Callable[[int, int], None]  # done, all (0: not known)
WriteFile: TypeAlias = Callable[[Path, ReportProgress], object]  # writes the file; raises XaivaError
PROGRESS_SECONDS = 0.25  # seconds between two looks at the progress


class SaveFile(FieldForm[Path]):
    """Gives back the file, None when nothing was written."""

    VERB = "Save"

    def __init__(
        self, title: str, site: Site, name: str, work: WriteFile, progress_text: Callable[[int, int], str]
    ) -> None:
        super().__init__(title, site)
        self._proposed = name
        self._work = work
        self._progress_text = progress_text
        self._progress = (0, 0)
        self._cancelled = False
        self._replace: Path | None = None

    def fields(self) -> Sequence[Field]:
        """Where to; from the site's folder on."""
        return (Field("path", "File", f"exports/{self._proposed}"),)

    def on_mount(self) -> None:
        """Show how far it is while it is written."""
        super().on_mount()
        self.set_interval(PROGRESS_SECONDS, self._show_progress)

    def send(self) -> None:
        """Write it; a file that is there is replaced only when asked a second time."""
        path = self.site.root / _expand_home(self.value("path"))
        work = partial(self._write, path, path == self._replace)
        self.run_once(work, self.dismiss, "writing…")

    def _write(self, path: Path, replace: bool) -> Path:
        """In a thread: what was typed may lie on a disk that hangs."""
        try:
            if path.is_dir():
                raise InputError(f"{path}", "that is a folder", "name a file")
            if path.exists() and not replace:
                raise _FileExists(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise XaivaError(f"{path}", f"it cannot be written: {os_reason(error)}", "name another file") from error
        self._work(path, self._report_progress)
        return path

    def show_error(self, error: XaivaError) -> None:
        """What is wrong; a file that is there may be replaced."""
        if isinstance(error, _FileExists):
            self._replace = error.path
            self.show_message(
                lambda width: wrap(f"{error.path} is there already: Enter once more replaces it", width, "warn")
            )
        else:
            super().show_error(error)

    def _report_progress(self, done: int, total: int) -> None:
        """From the thread."""
        self._progress = done, total
        if self._cancelled:
            raise Cancelled

    def _show_progress(self) -> None:
        if any(self._progress) and self.busy:
            self.show_message(self._progress_lines)

    def _progress_lines(self, width: int) -> list[Line]:
        done, total = self._progress
        text_lines = [line(Span(self._progress_text(done, total)))]
        return [*text_lines, bar(done / total, width, "accent")] if total else text_lines

    def leave(self) -> None:
        """What was begun is given up; nothing of it stays."""
        self._cancelled = True
        self.dismiss(None)


class _FileExists(XaivaError):
    """Something stands where the file is to go."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}", "it is there already", "name another file")
        self.path = path


def _expand_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(text, "there is no such user here", "name a file") from None
