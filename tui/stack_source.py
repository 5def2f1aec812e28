"""The source of the Stacks screen: the stacks of the site, each with its plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import XaivaError
from core.site import Site

if TYPE_CHECKING:
    from core.stacks.plan import StackPlan
    from core.stacks.store import StackEntry

PLAN_SECONDS = 15.0  # a plan takes processes of compose and buildx, and a look at every file of the build contexts


@dataclass(frozen=True)
class StackView:
    """A stack with its plan. A broken one has its error in `entry`; without an engine there is no plan."""

    entry: StackEntry
    plan: StackPlan | None = None
    problem: XaivaError | None = None
    """Why there is no plan."""


def read_stacks(site: Site) -> list[StackView]:
    """All stacks of the site. Raises EngineError without a docker client, InputError without access to the folder."""
    from core.stacks.store import list_stacks

    return [_view(site, entry) for entry in list_stacks(site)]


def _view(site: Site, entry: StackEntry) -> StackView:
    from core.stacks.observe import observe
    from core.stacks.plan import plan_stack

    if entry.stack is None:
        return StackView(entry)
    try:
        return StackView(entry, plan_stack(entry.stack, observe(site, entry.stack)))
    except XaivaError as error:
        return StackView(entry, problem=error)
