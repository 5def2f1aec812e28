"""The dialog that adds or changes a camera, with a connection test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from core.errors import InputError
from core.inference.schemas import CameraRequest, ConnectionTest, Priority, Transport
from core.service_client import text_formats
from core.service_client.edit_merge import merge_changes
from core.site import Site
from tui.console_app import console_of
from tui.present.cells import Line, wrap
from tui.screens.fields import NO, YES, Field, FieldForm, yes_no
from tui.widgets.button import Button

DETECTORS = ("motion", "memory", "onnx")
_FIGURES = ("fps", "timeout", "poll_interval", "pre_roll", "post_roll", "longest_clip")
_DETECTION_FIGURES = ("threshold", "minimum_seconds", "cooldown")
_WORDS = ("source", "transport", "priority", "flow")


class CameraForm(FieldForm[str]):
    """Gives back the id of the camera that was added or changed, None when nothing was."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+t", "test", "Test the connection")]

    def __init__(self, site: Site, settings: CameraRequest | None = None) -> None:
        super().__init__(f"Camera {settings.id}" if settings else "Add a camera", site)
        self._before = settings
        self._as_opened = settings  # what the fields say before anything is typed
        self.VERB = "Save" if settings else "Add"  # type: ignore[misc]

    def on_mount(self) -> None:
        """Remember what the fields say."""
        super().on_mount()
        if self._before:
            with suppress(InputError):  # a setting that these fields cannot hold is changed as a whole
                self._as_opened = self.request()

    def lines(self) -> Sequence[Field]:
        """Every setting of a camera."""
        new = CameraRequest.model_construct(id="", source="")
        now = self._before or new
        seen = now.detection
        return (
            Field("id", "Id", now.id, "gate-1", fixed=self._before is not None),
            Field("source", "Source", now.source, "rtsp://user:password@10.0.0.20/stream, /dev/video0, or a file"),
            Field("name", "Name", now.name, "for people; empty: the id"),
            Field("enabled", "Read it", yes_no(now.enabled), choices=(YES, NO)),
            Field("transport", "RTSP over", now.transport.value, choices=tuple(one.value for one in Transport)),
            Field("fps", "Decided a second", f"{now.fps:g}", "5"),
            Field("timeout", "Time-out, s", f"{now.timeout:g}", "5"),
            Field("poll_interval", "Picture every, s", f"{now.poll_interval:g}", "1; of a snapshot camera"),
            Field("loop", "File again and again", yes_no(now.loop), choices=(YES, NO)),
            Field("detector", "Detector", seen.detector, choices=DETECTORS),
            Field("model", "Model file", seen.model, "of the detector onnx, under the models folder"),
            Field("threshold", "Anomaly from", f"{seen.threshold:g}", "0.5"),
            Field("release", "Over below", "" if seen.release is None else f"{seen.release:g}", "0.8 of that"),
            Field("minimum_seconds", "Lasting, s", f"{seen.minimum_seconds:g}", "1"),
            Field("cooldown", "Pause after, s", f"{seen.cooldown:g}", "10"),
            Field(
                "schedule", "Watched", text_formats.format_schedule(now.schedule), "always; mo-fr 18:00-06:00; sa,su"
            ),
            Field("zones", "Zones", _zones(now), "everywhere; gate: 0,0 0.5,0 0.5,1; door: …"),
            Field(
                "masks", "Masks", "; ".join(map(text_formats.format_polygon, now.masks)), "nowhere; 0,0 1,0 1,0.1; …"
            ),
            Field("pre_roll", "Clip before, s", f"{now.pre_roll:g}", "5"),
            Field("post_roll", "Clip after, s", f"{now.post_roll:g}", "5"),
            Field("longest_clip", "Clip at most, s", f"{now.longest_clip:g}", "60"),
            Field("priority", "Priority", now.priority.value, choices=tuple(one.value for one in Priority)),
            Field("analyse", "Ask the analyser", yes_no(now.analyse), choices=(YES, NO)),
            Field("flow", "What is done", now.flow, "default"),
        )

    def more_buttons(self) -> Iterable[Widget]:
        """Whether it connects, before it is saved."""
        yield Button("Test", id="test")

    def request(self) -> CameraRequest:
        """What stands in the fields. Raises InputError."""
        fields: dict[str, object] = {name: value for name in _FIGURES if (value := self.number(name)) is not None}
        fields |= {name: words for name in _WORDS if (words := self.value(name))}
        fields |= {name: self.yes(name) for name in ("enabled", "loop", "analyse")}
        detection = {name: value for name in _DETECTION_FIGURES if (value := self.number(name)) is not None}
        fields["detection"] = {
            **detection,
            "release": self.number("release"),
            "detector": self.value("detector") or "motion",
            "model": self.value("model"),
        }
        fields |= {"id": self.value("id"), "source": self.value("source"), "name": self.value("name")}
        fields["schedule"] = text_formats.parse_schedule(self.value("schedule"))
        fields["zones"] = text_formats.parse_zones(self.value("zones"))
        fields["masks"] = text_formats.parse_polygons(self.value("masks"))
        return text_formats.build_request(CameraRequest, fields)

    def send(self) -> None:
        """Add or change it."""
        request = self.request()
        service, opened, untouched = console_of(self).service, self._before, self._as_opened

        def work() -> object:
            if opened is None or untouched is None:
                return service.add_camera(request)
            now = service.camera_settings(opened.id)
            what = f"Camera {opened.id}"
            return service.update_camera(merge_changes(what, opened, untouched, request, now, self.overwrite))

        self.attempt(work, lambda _: self.dismiss(request.id))

    @on(Button.Pressed, "#test")
    def action_test(self) -> None:
        """One attempt to connect; nothing is saved."""
        try:
            request = self.request()
        except InputError as error:
            self.explain(error)
            return
        work = partial(console_of(self).service.test_camera, request)
        self.attempt(work, self._tested, f"connecting, at most {request.timeout:g} s…")

    def _tested(self, found: ConnectionTest) -> None:
        self.say(partial(_found, found))


def _found(found: ConnectionTest, width: int) -> list[Line]:
    if not found.ok:
        return wrap(f"✗ it does not work ({found.cause}): {found.reason}", width, "error")
    fps = f", {found.fps:.1f} frames a second" if found.fps else ""
    fps = ", one picture at a time" if found.snapshot else fps
    text = f"✓ it works: {found.width}×{found.height} {found.codec}{fps}, the first after {found.seconds:.1f} s"
    return wrap(text, width, "ok")


def _zones(camera: CameraRequest) -> str:
    return "; ".join(f"{zone.name}: {text_formats.format_polygon(zone.polygon)}" for zone in camera.zones)
