"""The dialog that adds or changes a notification rule."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.inference.schemas import Priority, Rule, RuleRequest
from core.service_client import notation
from core.site import Site
from tui.console_app import console_of
from tui.screens.fields import NO, YES, Field, FieldForm, yes_no


class RuleForm(FieldForm[str]):
    """Gives back the rule's name, None when the dialog was left."""

    VERB = "Save"

    def __init__(self, site: Site, rule: Rule | None = None) -> None:
        super().__init__(f"Rule {rule.name}" if rule else "Add a rule", site)
        self._rule = rule

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
                "to", "To", "  ".join(map(notation.channel_words, now.channels)), "email:ops@example.org webhook:https…"
            ),
            Field("priority", "From priority", now.priority.value, choices=tuple(one.value for one in Priority)),
            Field("cameras", "Cameras", " ".join(now.cameras), "all; gate-1 gate-2"),
            Field("types", "Types", " ".join(now.types), "all; person vehicle"),
            Field("schedule", "When", notation.schedule_words(now.schedule), "always; mo-fr 18:00-06:00; sa,su"),
            Field("within", "One message in, s", f"{now.within:g}", "15"),
            Field("enabled", "Switched on", yes_no(now.enabled), choices=(YES, NO)),
        )

    def send(self) -> None:
        """Add or change it."""
        fields: dict[str, object] = {
            "name": self.value("name"),
            "enabled": self.yes("enabled"),
            "cameras": self.value("cameras").replace(",", " ").split(),
            "types": self.value("types").replace(",", " ").split(),
            "schedule": notation.schedule(self.value("schedule")),
            "channels": notation.channels(self.value("to").split()),
        }
        if priority := self.value("priority"):
            fields["priority"] = priority
        if (within := self.number("within")) is not None:
            fields["within"] = within
        request, service = notation.build(RuleRequest, fields), console_of(self).service
        work = service.update_rule if self._rule else service.add_rule
        self.attempt(partial(work, request), lambda _: self.dismiss(request.name))
