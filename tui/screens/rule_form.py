"""The dialog that adds or changes a notification rule."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from core.errors import InputError
from core.inference.schemas import Priority, Rule, RuleRequest
from core.service_client import text_formats
from core.service_client.edit_merge import merge_changes
from core.site import Site
from tui.console_app import console_of
from tui.screens.fields import NO, YES, Field, FieldForm, yes_no


class RuleForm(FieldForm[str]):
    """Gives back the rule's name, None when the dialog was left."""

    VERB = "Save"

    def __init__(self, site: Site, rule: Rule | None = None) -> None:
        super().__init__(f"Rule {rule.name}" if rule else "Add a rule", site)
        self._rule = rule
        self._as_opened = _settings(rule) if rule else None  # what the fields say before anything is typed

    def lines(self) -> Sequence[Field]:
        """Which events, and over which channels."""
        now = self._rule or Rule.model_construct(
            name="",
            enabled=True,
            cameras=(),
            types=(),
            priority=Priority.NORMAL,
            schedule=(),
            channels=(),
            within=15,
        )
        return (
            Field("name", "Name", now.name, "night-shift", fixed=self._rule is not None),
            Field(
                "to",
                "To",
                "  ".join(map(text_formats.format_channel, now.channels)),
                "email:ops@example.org webhook:https…",
            ),
            Field("priority", "From priority", now.priority.value, choices=tuple(one.value for one in Priority)),
            Field("cameras", "Cameras", " ".join(now.cameras), "all; gate-1 gate-2"),
            Field("types", "Types", " ".join(now.types), "all; person vehicle"),
            Field("schedule", "When", text_formats.format_schedule(now.schedule), "always; mo-fr 18:00-06:00; sa,su"),
            Field("within", "One message in, s", f"{now.within:g}", "15"),
            Field("enabled", "Switched on", yes_no(now.enabled), choices=(YES, NO)),
        )

    def on_mount(self) -> None:
        """Remember what the fields say."""
        super().on_mount()
        if self._rule:
            with suppress(InputError):  # a setting that these fields cannot hold is changed as a whole
                self._as_opened = self.request()

    def request(self) -> RuleRequest:
        """What stands in the fields. Raises InputError."""
        fields: dict[str, object] = {
            "name": self.value("name"),
            "enabled": self.yes("enabled"),
            "cameras": self.value("cameras").replace(",", " ").split(),
            "types": self.value("types").replace(",", " ").split(),
            "schedule": text_formats.parse_schedule(self.value("schedule")),
            "channels": text_formats.parse_channels(self.value("to").split()),
        }
        if priority := self.value("priority"):
            fields["priority"] = priority
        if (within := self.number("within")) is not None:
            fields["within"] = within
        return text_formats.build_request(RuleRequest, fields)

    def send(self) -> None:
        """Add or change it."""
        request = self.request()
        service, opened, untouched = console_of(self).service, self._rule, self._as_opened

        def work() -> object:
            if opened is None or untouched is None:
                return service.add_rule(request)
            what, now = f"Rule {opened.name}", service.rule(opened.name)
            changed = merge_changes(what, _settings(opened), untouched, request, _settings(now), self.overwrite)
            return service.update_rule(changed)

        self.attempt(work, lambda _: self.dismiss(request.name))


def _settings(rule: Rule) -> RuleRequest:
    """What of a rule is set."""
    return RuleRequest.model_construct(**{name: getattr(rule, name) for name in RuleRequest.model_fields})
