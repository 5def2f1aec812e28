"""The dialog that saves something from the service to a file, with progress: completely or not at all."""

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
PROGRESS_SECONDS = 0.25  # seconds between two updates of the progress


class SaveFile(FieldForm[Path]):
    """Returns the file, None when nothing was written."""

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
        """The path, relative to the site's folder. That of a demo is removed at its end, so another one is proposed."""
        folder = Path.cwd() if self.site.settings.demo else Path()
        return (Field("path", "File", str(folder / "exports" / self._proposed)),)

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(PROGRESS_SECONDS, self._show_progress)

    def send(self) -> None:
        """Write the file; an existing file is replaced only when asked a second time."""
        path = self.site.root / _expand_home(self.value("path"))
        work = partial(self._write, path, path == self._replace)
        self.run_once(work, self.dismiss, "writing…")

    def _write(self, path: Path, replace: bool) -> Path:
        """Runs in a thread: the path may be on a disk that hangs."""
        try:
            if path.is_dir():
                raise InputError(f"{path}", "it is a folder", "enter a file name")
            if path.exists() and not replace:
                raise _FileExists(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise XaivaError(f"{path}", f"it cannot be written: {os_reason(error)}", "choose another file") from error
        self._work(path, self._report_progress)
        return path

    def show_error(self, error: XaivaError) -> None:
        if isinstance(error, _FileExists):
            self._replace = error.path
            self.show_message(
                lambda width: wrap(f"{error.path} already exists: press Enter again to replace it", width, "warn")
            )
        else:
            super().show_error(error)

    def _report_progress(self, done: int, total: int) -> None:
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
        """Cancel the write; no partial file stays."""
        self._cancelled = True
        self.dismiss(None)


class _FileExists(XaivaError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}", "it already exists", "choose another file")
        self.path = path


def _expand_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(text, "there is no such user on this machine", "enter another path") from None
