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
from tui.formatters.cameras import DETECTOR_NAMES, detector_name
from tui.formatters.cells import Line, wrap
from tui.screens.field_form import NO, YES, Field, FieldForm, yes_no
from tui.widgets.button import Button

_DETECTORS = {name: word for word, name in DETECTOR_NAMES.items()}
_NUMBER_FIELDS = ("fps", "timeout", "poll_interval", "pre_roll", "post_roll", "longest_clip")
_DETECTION_NUMBER_FIELDS = ("threshold", "minimum_seconds", "cooldown")
_TEXT_FIELDS = ("source", "transport", "priority", "flow")


class CameraForm(FieldForm[str]):
    """Returns the id of the camera that was added or changed, None when the dialog was cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+t", "test", "Test the connection")]

    def __init__(self, site: Site, settings: CameraRequest | None = None) -> None:
        super().__init__(f"Camera {settings.id}" if settings else "Add a camera", site)
        self._settings = settings
        self._initial_request = settings  # the fields before anything is typed
        self.VERB = "Save" if settings else "Add"  # type: ignore[misc]

    def on_mount(self) -> None:
        super().on_mount()
        if self._settings:
            with suppress(InputError):  # the fields cannot hold such a setting: it is replaced as a whole
                self._initial_request = self.request()

    def fields(self) -> Sequence[Field]:
        new = CameraRequest.model_construct(id="", source="")
        current = self._settings or new
        detection = current.detection
        return (
            Field("id", "Camera id", current.id, "gate-1", fixed=self._settings is not None),
            Field("source", "Source", current.source, "rtsp://user:password@10.0.0.20/stream, /dev/video0, or a file"),
            Field("name", "Display name", current.name, "empty: the id"),
            Field("enabled", "Enabled", yes_no(current.enabled), choices=(YES, NO)),
            Field(
                "transport",
                "RTSP transport",
                current.transport.value,
                choices=tuple(option.value for option in Transport),
            ),
            Field("fps", "Decisions per second", f"{current.fps:g}", "5"),
            Field("timeout", "Connection timeout (s)", f"{current.timeout:g}", "5"),
            Field("poll_interval", "Snapshot interval (s)", f"{current.poll_interval:g}", "1; snapshot cameras only"),
            Field("loop", "Loop the file", yes_no(current.loop), choices=(YES, NO)),
            Field("detector", "Detector", detector_name(detection.detector), choices=tuple(_DETECTORS)),
            Field("model", "Model file", detection.model, "ONNX only; path in the models folder"),
            Field("product", "Memory bank of product", detection.product, "memory only; empty: the camera's own"),
            Field("threshold", "Alarm from score", f"{detection.threshold:g}", "0.5"),
            Field(
                "release",
                "Alarm ends below",
                "" if detection.release is None else f"{detection.release:g}",
                "empty: 0.8 of the score above",
            ),
            Field("minimum_seconds", "Minimum duration (s)", f"{detection.minimum_seconds:g}", "1"),
            Field("cooldown", "Pause after alarm (s)", f"{detection.cooldown:g}", "10"),
            Field(
                "schedule",
                "Active times",
                text_formats.format_schedule(current.schedule),
                "always; mo-fr 18:00-06:00; sa,su",
            ),
            Field("zones", "Zones", _zones_text(current), "empty: all; gate: 0,0 0.5,0 0.5,1; …"),
            Field(
                "masks",
                "Masks (ignored areas)",
                "; ".join(map(text_formats.format_polygon, current.masks)),
                "empty: none; 0,0 1,0 1,0.1; …",
            ),
            Field("pre_roll", "Clip before event (s)", f"{current.pre_roll:g}", "5"),
            Field("post_roll", "Clip after event (s)", f"{current.post_roll:g}", "5"),
            Field("longest_clip", "Longest clip (s)", f"{current.longest_clip:g}", "60"),
            Field(
                "priority", "Event priority", current.priority.value, choices=tuple(option.value for option in Priority)
            ),
            Field("analyse", "Analyse events", yes_no(current.analyse), choices=(YES, NO)),
            Field("flow", "Response flow", current.flow, "default"),
        )

    def extra_buttons(self) -> Iterable[Widget]:
        yield Button("Test", id="test")

    def request(self) -> CameraRequest:
        """The fields as a request. Raises InputError."""
        fields: dict[str, object] = {name: value for name in _NUMBER_FIELDS if (value := self.number(name)) is not None}
        fields |= {name: words for name in _TEXT_FIELDS if (words := self.value(name))}
        fields |= {name: self.yes_or_no(name) for name in ("enabled", "loop", "analyse")}
        detection = {name: value for name in _DETECTION_NUMBER_FIELDS if (value := self.number(name)) is not None}
        detector = self.value("detector")
        fields["detection"] = {
            **detection,
            "release": self.number("release"),
            "detector": _DETECTORS.get(detector, detector) or "motion",
            "model": self.value("model"),
            "product": self.value("product"),
        }
        fields |= {"id": self.value("id"), "source": self.value("source"), "name": self.value("name")}
        fields["schedule"] = text_formats.parse_schedule(self.value("schedule"))
        fields["zones"] = text_formats.parse_zones(self.value("zones"))
        fields["masks"] = text_formats.parse_polygons(self.value("masks"))
        return text_formats.build_request(CameraRequest, fields)

    def send(self) -> None:
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
        """Try once to connect; nothing is saved."""
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
        return wrap(f"✗ connection failed ({result.cause}): {result.reason}", width, "error")
    fps = f", {result.fps:.1f} frames per second" if result.fps else ""
    fps = ", single snapshots" if result.snapshot else fps
    text = f"✓ connected: {result.width}×{result.height} {result.codec}{fps}, first frame after {result.seconds:.1f} s"
    return wrap(text, width, "ok")


def _zones_text(camera: CameraRequest) -> str:
    return "; ".join(f"{zone.name}: {text_formats.format_polygon(zone.polygon)}" for zone in camera.zones)
