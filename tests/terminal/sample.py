"""A small application for the tests of the terminal: run as `python -m tests.terminal.sample [what]`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from tui.terminal import environment

environment.prepare()

from textual.app import App, ComposeResult  # noqa: E402
from textual.widgets import Static  # noqa: E402

from tui.terminal.incremental_render import IncrementalRender, run  # noqa: E402
from tui.terminal.input_queue import InputQueue  # noqa: E402


class Sample(InputQueue, IncrementalRender, App[int]):
    """`counting` shows a counter; `flood` changes every cell all the time; `stuck` holds the event loop."""

    BINDINGS = [
        ("q", "quit"),
        ("x", "leave(7)"),
        ("s", "shell"),
        ("p", "stray"),
        ("c", "copy"),
        ("b", "block"),
        ("f", "fail"),
    ]
    CSS = "Static { height: 1fr; }"

    def __init__(self, mode: str, console_log: str) -> None:
        self.mode = mode
        self.console_log = Path(console_log) if console_log else None
        super().__init__()
        self.count = 0

    def compose(self) -> ComposeResult:
        yield Static("begin", id="text", markup=False)

    def on_mount(self) -> None:
        self.set_interval(0.02 if self.mode == "flood" else 0.1, self.tick)

    def tick(self) -> None:
        self.count += 1
        if self.mode == "still" and self.count > 1:
            return
        text = f"count {self.count:06d} at {self.size.width}x{self.size.height}"
        if self.mode == "flood":
            text += "".join(chr(33 + (self.count * 7 + n * 13) % 90) for n in range(self.size.area))
        self.query_one(Static).update(text)

    def action_leave(self, code: int) -> None:
        self.exit(return_code=code)

    def action_fail(self) -> None:
        raise RuntimeError("a fault of ours")

    def action_block(self) -> None:
        time.sleep(600)

    def action_copy(self) -> None:
        self.copy_to_clipboard("hello")

    def action_stray(self) -> None:
        os.write(2, b"STRAY-STDERR\n")
        subprocess.run(["sh", "-c", "echo STRAY-CHILD"], check=True)
        print("STRAY-PRINT")

    def action_shell(self) -> None:
        with self.suspend():
            subprocess.run(["sh", "-c", "echo IN-THE-SHELL; read answer; echo GOT-$answer"], check=True)


if __name__ == "__main__":
    threading.Thread(target=threading.Event().wait, name="never ends").start()  # it must not hold the process
    run(Sample(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
