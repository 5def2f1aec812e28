"""The dialog that adds a camera and shows whether it connects."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import partial

from textual.widget import Widget

from core.errors import InputError
from core.inference.schemas import CameraRequest, CameraState, CameraStatus
from core.site import Site
from tui.present import cameras as present
from tui.present.cells import Span, line
from tui.screens.form import Form, field

SERVICE_SECONDS = 10.0
PATIENCE = 15.0  # seconds the dialog waits for the first frame; the service goes on trying
POLL_SECONDS = 0.5


class AddCamera(Form[CameraRequest]):
    """Gives back what was added, None when nothing was."""

    VERB = "Add"

    def __init__(self, site: Site) -> None:
        super().__init__("Add a camera", site)
        self._added: CameraRequest | None = None

    def fields(self) -> Iterable[Widget]:
        """Id, source, name."""
        yield from field("Id", "camera-id", hint="gate-1")
        yield from field("Source", "source", hint="rtsp://user:password@10.0.0.20/stream, or a file in the container")
        yield from field("Name", "name", hint="for people; empty: the id")

    def on_mount(self) -> None:
        """Begin with the id."""
        self.query_one("#camera-id").focus()

    def submit(self) -> None:
        """Add it, then watch whether it connects; a second time closes the dialog."""
        if self._added is not None:
            self.dismiss(self._added)
            return
        self.say(lambda _: [line(Span("asking the service…", "dim"))])
        request = CameraRequest(id=self.value("camera-id"), source=self.value("source"), name=self.value("name"))
        self.background(partial(self._add, request), self._watched)

    def _add(self, request: CameraRequest) -> CameraStatus | None:
        """In a thread: add, then wait for the first frame or a reason."""
        from core.service_client import ServiceClient

        if not re.fullmatch(r"[A-Za-z0-9._-]+", request.id):
            raise InputError("Camera id", "it is empty or has odd characters", "use letters, digits, . _ and -")
        if not request.source:
            raise InputError("Camera source", "it is empty", "give an RTSP URL or a file")
        client = ServiceClient.of(self.site, SERVICE_SECONDS)
        client.add_camera(request)
        self._added = request
        deadline = time.monotonic() + PATIENCE
        while True:
            found = next((one for one in client.status().cameras if one.id == request.id), None)
            settled = found is not None and found.state in (CameraState.LIVE, CameraState.DISCONNECTED)
            if settled or time.monotonic() > deadline:
                return found
            time.sleep(POLL_SECONDS)

    def _watched(self, camera: CameraStatus | None) -> None:
        if not self.is_attached:
            return
        if camera is None:
            self.say(lambda _: [line(Span("added; nothing heard of it yet", "warn"))])
        else:
            self.say(partial(present.detail, camera), "Enter closes")

    def action_leave(self) -> None:
        """What was added stays added."""
        self.dismiss(self._added)
