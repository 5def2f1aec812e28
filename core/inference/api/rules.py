"""Notification rules and deliveries, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from core.api_schema import Delivery, Name, Role, Rule, RuleRequest, TestResult
from core.errors import InputError
from core.inference.api.access import Service, require_role
from core.inference.api.threads import DATABASE, routes_in

router = APIRouter(tags=["notifications"], route_class=routes_in(DATABASE))


@router.get("/rules", **require_role(Role.ADMIN))
def rules(service: Service) -> list[Rule]:
    """The rules in their order, secrets in addresses replaced by `***`."""
    return service.rules.list()


@router.post("/rules", status_code=201, **require_role(Role.ADMIN, 409))
def add(service: Service, body: RuleRequest) -> Rule:
    """Add a rule: 409 when the name is taken."""
    return service.rules.add(body)


@router.get("/rules/{name}", **require_role(Role.ADMIN, 404))
def rule(service: Service, name: Name) -> Rule:
    """A rule, secrets in addresses replaced by `***`."""
    return service.rules.get(name)


@router.put("/rules/{name}", **require_role(Role.ADMIN, 404))
def update(service: Service, name: Name, body: RuleRequest) -> Rule:
    """Replace a rule. An address that is sent back as it was shown keeps its secrets."""
    if body.name != name:
        raise InputError(
            f"Rule {name}", f"the settings are for rule {body.name}", "use the same name; it cannot be changed"
        )
    return service.rules.change(body)


@router.delete("/rules/{name}", status_code=204, **require_role(Role.ADMIN, 404))
def remove(service: Service, name: Name) -> None:
    """Remove a rule. Its waiting messages are given up."""
    service.rules.drop(name)


@router.post("/rules/{name}/test", **require_role(Role.ADMIN, 404))
def test(service: Service, name: Name) -> TestResult:
    """Send a test message over every channel of the rule. This takes up to half a minute."""
    return service.notifier.test(name)


@router.get("/deliveries", **require_role(Role.ADMIN))
def deliveries(service: Service, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Delivery]:
    """The newest messages in the outbox, with their state."""
    return service.notifier.deliveries(limit)
