"""The dialog that adds or changes a camera, with a connection test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from core.api_schema import CameraRequest, ConnectionTest, Priority, Transport
from core.errors import InputError
from core.service_client import text_formats
from core.service_client.edit_merge import merge_changes
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters.cells import Line, wrap
from tui.screens.field_form import NO, YES, Field, FieldForm, yes_no
from tui.widgets.button import Button

DETECTORS = ("motion", "memory", "onnx")
_NUMBER_FIELDS = ("fps", "timeout", "poll_interval", "pre_roll", "post_roll", "longest_clip")
_DETECTION_NUMBER_FIELDS = ("threshold", "minimum_seconds", "cooldown")
_TEXT_FIELDS = ("source", "transport", "priority", "flow")


class CameraForm(FieldForm[str]):
    """Gives back the id of the camera that was added or changed, None when nothing was."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+t", "test", "Test the connection")]

    def __init__(self, site: Site, settings: CameraRequest | None = None) -> None:
        super().__init__(f"Camera {settings.id}" if settings else "Add a camera", site)
        self._settings = settings
        self._initial_request = settings  # what the fields say before anything is typed
        self.VERB = "Save" if settings else "Add"  # type: ignore[misc]

    def on_mount(self) -> None:
        """Remember what the fields say."""
        super().on_mount()
        if self._settings:
            with suppress(InputError):  # a setting that these fields cannot hold is changed as a whole
                self._initial_request = self.request()

    def fields(self) -> Sequence[Field]:
        """Every setting of a camera."""
        new = CameraRequest.model_construct(id="", source="")
        current = self._settings or new
        detection = current.detection
        return (
            Field("id", "Id", current.id, "gate-1", fixed=self._settings is not None),
            Field("source", "Source", current.source, "rtsp://user:password@10.0.0.20/stream, /dev/video0, or a file"),
            Field("name", "Name", current.name, "for people; empty: the id"),
            Field("enabled", "Read it", yes_no(current.enabled), choices=(YES, NO)),
            Field(
                "transport", "RTSP over", current.transport.value, choices=tuple(option.value for option in Transport)
            ),
            Field("fps", "Decided a second", f"{current.fps:g}", "5"),
            Field("timeout", "Time-out, s", f"{current.timeout:g}", "5"),
            Field("poll_interval", "Picture every, s", f"{current.poll_interval:g}", "1; of a snapshot camera"),
            Field("loop", "File again and again", yes_no(current.loop), choices=(YES, NO)),
            Field("detector", "Detector", detection.detector, choices=DETECTORS),
            Field("model", "Model file", detection.model, "of the detector onnx, under the models folder"),
            Field("threshold", "Anomaly from", f"{detection.threshold:g}", "0.5"),
            Field(
                "release", "Over below", "" if detection.release is None else f"{detection.release:g}", "0.8 of that"
            ),
            Field("minimum_seconds", "Lasting, s", f"{detection.minimum_seconds:g}", "1"),
            Field("cooldown", "Pause after, s", f"{detection.cooldown:g}", "10"),
            Field(
                "schedule",
                "Watched",
                text_formats.format_schedule(current.schedule),
                "always; mo-fr 18:00-06:00; sa,su",
            ),
            Field("zones", "Zones", _zones_text(current), "everywhere; gate: 0,0 0.5,0 0.5,1; door: …"),
            Field(
                "masks",
                "Masks",
                "; ".join(map(text_formats.format_polygon, current.masks)),
                "nowhere; 0,0 1,0 1,0.1; …",
            ),
            Field("pre_roll", "Clip before, s", f"{current.pre_roll:g}", "5"),
            Field("post_roll", "Clip after, s", f"{current.post_roll:g}", "5"),
            Field("longest_clip", "Clip at most, s", f"{current.longest_clip:g}", "60"),
            Field("priority", "Priority", current.priority.value, choices=tuple(option.value for option in Priority)),
            Field("analyse", "Ask the analyser", yes_no(current.analyse), choices=(YES, NO)),
            Field("flow", "What is done", current.flow, "default"),
        )

    def extra_buttons(self) -> Iterable[Widget]:
        """Whether it connects, before it is saved."""
        yield Button("Test", id="test")

    def request(self) -> CameraRequest:
        """What stands in the fields. Raises InputError."""
        fields: dict[str, object] = {name: value for name in _NUMBER_FIELDS if (value := self.number(name)) is not None}
        fields |= {name: words for name in _TEXT_FIELDS if (words := self.value(name))}
        fields |= {name: self.yes_or_no(name) for name in ("enabled", "loop", "analyse")}
        detection = {name: value for name in _DETECTION_NUMBER_FIELDS if (value := self.number(name)) is not None}
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
        service, settings, initial = console_of(self).service, self._settings, self._initial_request

        def work() -> object:
            if settings is None or initial is None:
                return service.add_camera(request)
            current = service.camera_settings(settings.id)
            subject = f"Camera {settings.id}"
            return service.update_camera(merge_changes(subject, settings, initial, request, current, self.overwrite))

        self.run_once(work, lambda _: self.dismiss(request.id))

    @on(Button.Pressed, "#test")
    def action_test(self) -> None:
        """One attempt to connect; nothing is saved."""
        try:
            request = self.request()
        except InputError as error:
            self.show_error(error)
            return
        work = partial(console_of(self).service.test_camera, request)
        self.run_once(work, self._show_test, f"connecting, at most {request.timeout:g} s…")

    def _show_test(self, result: ConnectionTest) -> None:
        self.show_message(partial(_test_lines, result))


def _test_lines(result: ConnectionTest, width: int) -> list[Line]:
    if not result.ok:
        return wrap(f"✗ it does not work ({result.cause}): {result.reason}", width, "error")
    fps = f", {result.fps:.1f} frames a second" if result.fps else ""
    fps = ", one picture at a time" if result.snapshot else fps
    text = f"✓ it works: {result.width}×{result.height} {result.codec}{fps}, the first after {result.seconds:.1f} s"
    return wrap(text, width, "ok")


def _zones_text(camera: CameraRequest) -> str:
    return "; ".join(f"{zone.name}: {text_formats.format_polygon(zone.polygon)}" for zone in camera.zones)
