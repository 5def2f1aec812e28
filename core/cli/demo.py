"""`xaiva demo`: a real inference service with generated cameras, and the console on it."""

from __future__ import annotations

import signal
import threading

import click

from core.cli import output
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Command


@click.command("demo", cls=Command)
@json_option
@click.pass_obj
def demo_command(session: CliSession, as_json: bool) -> int:
    """Show xaiva with generated cameras: no engine, GPU or camera is needed.

    Starts the inference service in a folder of its own and opens the console on it. Both end together, and the folder
    is removed. With --json, it opens no console, prints the folder and the service's address, and runs until Ctrl-C.
    """
    from core.demo.launch import running_demo

    open_console = None if as_json else session.open_console
    with running_demo(lambda line: output.print_line(f"xaiva: {line}", err=True)) as demo:
        if open_console is not None:
            return open_console(str(demo.site), service="")
        output.print_json({"demo": demo})
        _wait_for_signal()
        return 0


def _wait_for_signal() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(1):
        pass
