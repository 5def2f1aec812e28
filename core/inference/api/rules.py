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
    """One rule."""
    return service.rules.get(name)


@router.put("/rules/{name}", **require_role(Role.ADMIN, 404))
def update(service: Service, name: Name, body: RuleRequest) -> Rule:
    """Set a rule anew, as a whole. An address that is sent as it is shown keeps its secrets."""
    if body.name != name:
        raise InputError(f"Rule {name}", f"the settings are of rule {body.name}", "a rule keeps its name")
    return service.rules.change(body)


@router.delete("/rules/{name}", status_code=204, **require_role(Role.ADMIN, 404))
def remove(service: Service, name: Name) -> None:
    """Remove a rule; what waits for it is given up."""
    service.rules.drop(name)


@router.post("/rules/{name}/test", **require_role(Role.ADMIN, 404))
def test(service: Service, name: Name) -> TestResult:
    """Send a test message over every channel of the rule, now; takes up to half a minute."""
    return service.notifier.test(name)


@router.get("/deliveries", **require_role(Role.ADMIN))
def deliveries(service: Service, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Delivery]:
    """The newest messages of the outbox and what became of them."""
    return service.notifier.deliveries(limit)
