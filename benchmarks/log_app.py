"""The console's log panel over one file, for measuring. Not a benchmark."""

from __future__ import annotations

import sys
from pathlib import Path

from tui.terminal import environment

environment.prepare("low" in sys.argv)

from textual.app import App, ComposeResult  # noqa: E402

from core.log_lines import FileLines  # noqa: E402
from tui.terminal.incremental_render import IncrementalRender, run  # noqa: E402
from tui.theme import DARK_THEME, TERMINAL_VARIABLES  # noqa: E402
from tui.widgets.log_panel import LogPanel  # noqa: E402


class LogApp(IncrementalRender, App[int]):
    """One panel, the whole screen."""

    CSS_PATH = Path(__file__).parent.parent / "tui" / "app.tcss"
    BINDINGS = [("q", "quit", "Quit")]
    low_bandwidth = "low" in sys.argv

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return TERMINAL_VARIABLES

    def compose(self) -> ComposeResult:
        yield LogPanel(FileLines(Path(sys.argv[1])))

    def on_mount(self) -> None:
        self.register_theme(DARK_THEME)
        self.theme = DARK_THEME.name
        self.query_one(LogPanel).view.focus()


if __name__ == "__main__":
    run(LogApp())
