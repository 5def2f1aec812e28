"""The dialog that launches a preset: shows what prevents the start, then starts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from textual.widget import Widget
from textual.widgets import Label

from core.labels import image_tag
from core.presets.model import Preset
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters import findings as finding_format
from tui.formatters.cells import Span, line
from tui.screens.form import Form, T
from tui.widgets.checkbox import Checkbox

if TYPE_CHECKING:
    from core.containers.model import Container
    from core.findings import Finding


class Launch(Form[None]):
    """Shows preflight findings for the chosen options; the start itself runs in a thread."""

    VERB = "Launch"
    WIDE = True

    def __init__(self, site: Site, name: str, preset: Preset) -> None:
        super().__init__(f"Launch {name}", site)
        self._preset_name = name
        self._preset = preset
        self._newest_preflight: Callable[[], object] | None = None  # results of older ones are dropped

    def compose_fields(self) -> Iterable[Widget]:
        run = self._preset.run
        words = [
            f"image {image_tag(self._preset_name)}",
            f"ports {', '.join(run.ports) or 'none'}",
            f"volumes {', '.join(run.volumes) or 'none'}",
        ]
        words += [f"GPUs {run.gpus}"] if run.gpus else []
        yield Label("\n".join(words), classes="hint", markup=False)
        yield Checkbox("replace a container of the same name", id="replace", compact=True)
        yield Checkbox("create missing folders", True, id="folders", compact=True)
        yield Checkbox("dev mode: mount the source, reload automatically", run.dev.enabled, id="dev", compact=True)

    def on_mount(self) -> None:
        """Start the preflight; Enter does not wait for it."""
        self.query_one("#submit").focus()  # Enter starts; it must not toggle "replace"
        self._start_preflight()

    def on_checkbox_changed(self) -> None:
        self._start_preflight()

    def _is_on(self, name: str) -> bool:
        return self.query_one(f"#{name}", Checkbox).value

    def _with_choices(self, work: Callable[..., T]) -> Callable[[], T]:
        return partial(
            work,
            self.site,
            self._preset_name,
            self._preset,
            replace=self._is_on("replace"),
            create_folders=self._is_on("folders"),
            dev=self._is_on("dev"),
        )

    def _start_preflight(self) -> None:
        from core.containers.launch import check_launch

        self.show_message(lambda _: [line(Span("checking…", "dim"))])
        self._newest_preflight = work = self._with_choices(check_launch)
        self.background(
            work, lambda findings: self._show_findings(findings) if self._newest_preflight is work else None
        )

    def _show_findings(self, findings: list[Finding]) -> None:
        self.show_message(partial(finding_format.lines, findings, none_text="ready to launch"))

    def submit(self) -> None:
        from core.containers.launch import launch

        self._newest_preflight = None  # from now on the start reports errors itself
        self.run_once(self._with_choices(launch), self._started, "starting…")

    def _started(self, container: Container) -> None:
        console_of(self).new_rows["containers"] = container.name
        self.app.notify(f"{container.name} was started; press 5 to see it", title="Launched")
        self.dismiss(None)
