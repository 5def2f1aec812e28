"""Containers: all of the engine, those of xaiva first; details, log, shell, stop, restart, remove."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, ClassVar

from core.containers.model import Container
from core.errors import XaivaError
from core.terminal_text import escape_invisible
from tui.actions import bindings
from tui.formatters import containers as container_format
from tui.screens.container_log_screen import ContainerLogScreen
from tui.sources import Containers
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.panel import Formatter, empty_content

ENGINE_SECONDS = 30.0  # a stop waits until the container has ended


class ContainersScreen(ContainerLogScreen):
    """The engine's containers; beside them the details and the log of the one under the cursor."""

    NAME = "containers"
    SOURCE = "containers"
    SOURCES = ("containers", "container")
    TITLE = "Containers"
    COLUMNS = container_format.COLUMNS
    EMPTY = "no containers: open Presets (2) and press L to launch one"
    BINDINGS: ClassVar[list[Any]] = bindings("containers", "list")

    def __init__(self) -> None:
        super().__init__()
        self._command = ""  # the one that was run last

    def rows(self, value: Containers) -> list[ChoiceRow]:
        items = [(container, value.stats.get(container.id)) for container in container_format.sort_containers(value)]
        return [ChoiceRow(item[0].name, container_format.row(*item), item) for item in items]

    def logged_container(self) -> Container | None:
        return self.selected()

    def row_changed(self) -> None:
        """Ask what is wrong with the container, and follow its log."""
        super().row_changed()
        container = self.selected()
        if container is not None:
            self.console.store.retarget("container", partial(self._diagnose, container.name))

    def detail(self) -> tuple[Formatter, str, str]:
        container = self.selected()
        listing: Containers | None = self.reading("containers").value
        if container is None or listing is None:
            return empty_content, "", ""
        diagnosis = self.reading("container")
        findings = None if diagnosis.is_stale else diagnosis.value
        stats, trends = listing.stats.get(container.id), listing.trends.get(container.id, {})
        return partial(container_format.detail, container, stats, findings, trends), "", ""

    def selected(self) -> Container | None:
        listing: Containers | None = self.reading("containers").value
        return (
            next((container for container in listing.containers if container.name == self.choices.key), None)
            if listing
            else None
        )

    def _diagnose(self, name: str) -> Any:
        from core.containers.manage import diagnose

        return self._with_engine(lambda client: diagnose(client, name))

    def _with_engine(self, work: Callable[[Any], Any]) -> Any:
        from core.engine import connect_engine

        with closing(connect_engine(self.site, ENGINE_SECONDS)) as client:
            return work(client)

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_inspect(self) -> None:
        if (container := self.selected()) is None:
            return

        def work() -> str:
            import json

            from core.containers.listing import redacted_description

            return json.dumps(self._with_engine(lambda client: redacted_description(client, container.id)), indent=1)

        def show(text: str) -> None:
            from tui.screens.text_dialog import TextDialog

            self.app.push_screen(TextDialog(container.name, text))

        self.console.load_then_open(work, show)

    def action_shell(self) -> None:
        """Open a shell in the container; the console waits until it is closed."""
        if (container := self._running_container()) is not None:
            from core.containers.shell import SHELL

            self._run_inside(container, SHELL, f"Shell in {container.name}; type exit to return to the console.")

    def action_command(self) -> None:
        """Ask for a command and run it in the container; the console waits until it has ended."""
        if (container := self._running_container()) is None:
            return
        from tui.screens.ask_command import AskCommand

        def run(command: str | None) -> None:
            if command:
                self._command = command
                done = "\nThe command has ended with exit code {}. Press Enter to return to the console."
                self._run_inside(container, ("sh", "-c", command), f"{container.name}: {command}", done)

        self.app.push_screen(AskCommand(container.name, self.site, self._command), run)

    def _running_container(self) -> Container | None:
        """The container under the cursor; if it does not run, say so."""
        container = self.selected()
        if container is None or not container.running:
            self.notify("the container does not run, so no command can run in it")
            return None
        return container

    def _run_inside(self, container: Container, command: Sequence[str], heading: str, done: str = "") -> None:
        """Give the terminal to a command in the container; `done` is printed after it and waits for Enter."""
        from core.containers.shell import exec_argv
        from core.engine import docker_environment
        from core.images.docker_cli import docker_cli_errors

        try:
            with self.app.suspend(), docker_cli_errors():
                print(escape_invisible(heading), flush=True)  # noqa: T201
                argv = exec_argv(container.name, command)
                ended = subprocess.run(argv, env=docker_environment(self.site), check=False)
                if done:
                    print(done.format(ended.returncode), flush=True)  # noqa: T201
                    sys.stdin.readline()
        except XaivaError as error:
            self.console.show_error(error)
        self.app.refresh()

    def action_stop(self) -> None:
        from core.containers.manage import stop_container

        self._confirm_and_run(
            "Stop",
            "The container is asked to stop, and killed if it does not. It can be started again.",
            stop_container,
        )

    def action_restart(self) -> None:
        from core.containers.manage import restart_container

        self._confirm_and_run("Restart", "Its cameras and jobs stop meanwhile.", restart_container)

    def action_remove(self) -> None:
        from core.containers.manage import remove_container

        text = "The container is removed even if it is running. Its volumes and its image stay."
        self._confirm_and_run("Remove", text, partial(remove_container, force=True))

    def _confirm_and_run(self, verb: str, text: str, work: Callable[[Any, str], None]) -> None:
        if (container := self.selected()) is None:
            self.notify("no container selected")
            return
        foreign_note = "" if container.managed else "\n\nxaiva did not launch this container."

        def done(_: None) -> None:
            self.console.store.ask_now("containers", "container")
            self.notify(f"{container.name}: {verb.lower()} done")

        def run() -> None:
            self.background(partial(self._with_engine, lambda client: work(client, container.id)), done)

        self.confirm(f"{verb} {container.name}?", text + foreign_note, verb, run)
