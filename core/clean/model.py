"""The data model of a clean-up: what can go, what stays and why, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from pydantic import BaseModel, ConfigDict


class Category(str, Enum):
    """The kinds of things that a clean-up removes, in the order of its plan."""

    ARTIFACTS = "artifacts"
    IMAGES = "images"
    CACHE = "cache"
    CONTAINERS = "containers"
    BUILDS = "builds"
    OPERATIONS = "operations"
    LEFTOVERS = "leftovers"
    CLIPS = "clips"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    """Names it in every plan of the same site, as in `artifacts:old-preset`."""
    category: Category
    what: str
    """A path below the site, or an image with its name."""
    why: str


class CleanItem(_Part):
    """Something that can go. `size` is what that frees in bytes, None when it is unknown."""

    size: int | None
    loss: str
    """What is lost with it, or how to get it again."""


class KeptItem(_Part):
    """Something that stays."""


class UnknownPart(BaseModel):
    """A category that could not be looked at, so that nothing of it is listed."""

    model_config = ConfigDict(frozen=True)

    category: Category
    why: str
    remedy: str = ""


class CleanPlan(BaseModel):
    """Everything that a clean-up would remove, and what it would not."""

    model_config = ConfigDict(frozen=True)

    items: list[CleanItem]
    kept: list[KeptItem]
    unknown: list[UnknownPart]

    @property
    def size(self) -> int:
        """What the items free, as far as that is known."""
        return sum(item.size or 0 for item in self.items)

    def only(self, categories: Iterable[Category]) -> CleanPlan:
        """The part of the plan in these categories; all of it for none."""
        wanted = set(categories) or set(Category)
        return CleanPlan(
            items=[item for item in self.items if item.category in wanted],
            kept=[item for item in self.kept if item.category in wanted],
            unknown=[part for part in self.unknown if part.category in wanted],
        )


@dataclass(frozen=True)
class Removable:
    """An item with the function that removes it, which returns the bytes that were freed if it knows better."""

    item: CleanItem
    remove: Callable[[], int | None]


@dataclass
class Findings:
    """What the looks at a site's parts have come to."""

    removable: list[Removable] = field(default_factory=list)
    kept: list[KeptItem] = field(default_factory=list)
    unknown: list[UnknownPart] = field(default_factory=list)

    def keep(self, category: Category, name: str, what: str, why: str) -> None:
        """Note something that stays."""
        self.kept.append(KeptItem(id=f"{category.value}:{name}", category=category, what=what, why=why))

    def offer(
        self,
        category: Category,
        name: str,
        what: str,
        why: str,
        *,
        size: int | None,
        loss: str,
        remove: Callable[[], int | None],
    ) -> None:
        """Note something that can go."""
        item = CleanItem(id=f"{category.value}:{name}", category=category, what=what, why=why, size=size, loss=loss)
        self.removable.append(Removable(item, remove))

    def plan(self) -> CleanPlan:
        """The plan of all that, in the order of the categories; the largest item of each first."""
        order = list(Category)
        items = sorted(
            (removable.item for removable in self.removable),
            key=lambda item: (order.index(item.category), -(item.size or 0), item.id),
        )
        return CleanPlan(items=items, kept=self.kept, unknown=self.unknown)
