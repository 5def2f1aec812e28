"""The dialog that adds or changes a notification rule."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from core.api_schema import Priority, Rule, RuleRequest
from core.errors import InputError
from core.service_client import text_formats
from core.service_client.edit_merge import merge_changes
from core.site import Site
from tui.app_protocol import console_of
from tui.screens.field_form import NO, YES, Field, FieldForm, yes_no


class RuleForm(FieldForm[str]):
    """Returns the rule's name, None when the dialog was cancelled."""

    VERB = "Save"

    def __init__(self, site: Site, rule: Rule | None = None) -> None:
        super().__init__(f"Rule {rule.name}" if rule else "Add a rule", site)
        self._rule = rule
        self._initial_request = _rule_request(rule) if rule else None  # the fields before anything is typed

    def fields(self) -> Sequence[Field]:
        current = self._rule or Rule.model_construct(
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
            Field("name", "Name", current.name, "night-shift", fixed=self._rule is not None),
            Field(
                "to",
                "Send to",
                "  ".join(map(text_formats.format_channel, current.channels)),
                "email:ops@example.org webhook:https…",
            ),
            Field(
                "priority",
                "Minimum priority",
                current.priority.value,
                choices=tuple(priority.value for priority in Priority),
            ),
            Field("cameras", "Cameras", " ".join(current.cameras), "empty: all; gate-1 gate-2"),
            Field("types", "Event types", " ".join(current.types), "empty: all; person vehicle"),
            Field(
                "schedule",
                "Active times",
                text_formats.format_schedule(current.schedule),
                "always; mo-fr 18:00-06:00; sa,su",
            ),
            Field("within", "Group within (s)", f"{current.within:g}", "15"),
            Field("enabled", "Enabled", yes_no(current.enabled), choices=(YES, NO)),
        )

    def on_mount(self) -> None:
        super().on_mount()
        if self._rule:
            with suppress(InputError):  # the fields cannot hold such a setting: it is replaced as a whole
                self._initial_request = self.request()

    def request(self) -> RuleRequest:
        """The fields as a request. Raises InputError."""
        fields: dict[str, object] = {
            "name": self.value("name"),
            "enabled": self.yes_or_no("enabled"),
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
        request = self.request()
        service, rule, initial = console_of(self).service, self._rule, self._initial_request

        def work() -> object:
            if rule is None or initial is None:
                return service.add_rule(request)
            subject, current = f"Rule {rule.name}", service.rule(rule.name)
            changed = merge_changes(
                subject, _rule_request(rule), initial, request, _rule_request(current), self.overwrite
            )
            return service.update_rule(changed)

        self.run_once(work, lambda _: self.dismiss(request.name))


def _rule_request(rule: Rule) -> RuleRequest:
    return RuleRequest.model_construct(**{name: getattr(rule, name) for name in RuleRequest.model_fields})
