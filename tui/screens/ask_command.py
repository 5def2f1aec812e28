"""The dialog that asks for a command to run in a container."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InputError
from core.site import Site
from tui.screens.field_form import Field, FieldForm


class AskCommand(FieldForm[str]):
    """Returns the command line, None when the dialog was cancelled."""

    VERB = "Run"
    WIDE = False

    def __init__(self, container: str, site: Site, command: str) -> None:
        """`command` is the one that was run last."""
        super().__init__(f"Run a command in {container}", site)
        self._command = command

    def fields(self) -> Sequence[Field]:
        return (Field("command", "Command", self._command, "nvidia-smi"),)

    def send(self) -> None:
        command = self.value("command").strip()
        if not command:
            raise InputError("The command", "it is empty", "type one, such as: nvidia-smi")
        self.dismiss(command)
