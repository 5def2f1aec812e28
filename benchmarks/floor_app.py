"""The smallest Textual application worth comparing with: header, footer, a table of 20 live rows. Not a benchmark."""

from __future__ import annotations

import os
import random

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Footer, Header

ROWS = 20


class Floor(App[None]):
    """Stock Textual: four columns of 20 rows change every second."""

    BINDINGS = [("q", "quit", "Quit")]

    def compose(self) -> ComposeResult:
        yield Header()
        yield DataTable(cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        self.live = table.add_columns("name", "state", "cpu %", "mem MiB", "gpu %", "fps")[2:]
        self.keys = [table.add_row(f"service-{n:02d}", "running", "", "", "", "") for n in range(ROWS)]
        table.focus()
        self.tick()
        self.set_interval(1, self.tick)

    def tick(self) -> None:
        table = self.query_one(DataTable)
        for key in self.keys:
            for column in self.live:
                table.update_cell(key, column, f"{random.random() * 100:5.1f}")


if __name__ == "__main__":
    app = Floor()
    app.run()
    os._exit(app.return_code or 0)
