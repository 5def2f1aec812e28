"""The engine's images, volumes, networks and build cache as rows and lines; its events as lines of a log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from core.engine_objects.events import EngineEvent
from core.engine_objects.listing import kind_totals
from core.engine_objects.model import (
    CacheRecord,
    ContainerUse,
    DiskUsage,
    EngineObject,
    Image,
    ImageLayer,
    Inventory,
    KindTotal,
    Network,
    ObjectKind,
    Volume,
)
from tui.formatters.cells import Cell, Column, Line, Span, fit, labelled_lines, line, table, wrap
from tui.formatters.numbers import coarse_duration, local_time, size

COLUMNS = (
    Column("kind", 7, sort=lambda item: item.kind.value),
    Column("name", minimum=20, weight=3, sort=lambda item: item.name),
    Column("size", 9, right=True, sort=lambda item: item.size),
    Column("age", 7, right=True, rank=1, sort=lambda item: -item.created if item.created else None),
    Column("used by", minimum=14, rank=2, weight=2, sort=lambda item: len(item.used_by) or None),
)
KIND_TITLES = {
    None: "Images, volumes, networks, build cache",
    ObjectKind.IMAGE: "Images",
    ObjectKind.VOLUME: "Volumes",
    ObjectKind.NETWORK: "Networks",
    ObjectKind.CACHE: "Build cache",
}
WIDE = 110  # columns from which the line has room for what is unused
TOTAL_NAMES = {
    ObjectKind.IMAGE: "images",
    ObjectKind.VOLUME: "volumes",
    ObjectKind.NETWORK: "networks",
    ObjectKind.CACHE: "cache",
}
UNKNOWN = Span("?", "dim")
LABEL_WIDTH = 11
ID_LENGTH = 12
NOTHING = Span("nothing", "dim")


def sort_objects(inventory: Inventory, kind: ObjectKind | None) -> list[EngineObject]:
    """The objects of one kind, or of all; the largest records of the build cache first."""
    cache = sorted(inventory.cache or [], key=lambda record: -(record.size or 0))
    return inventory.model_copy(update={"cache": cache}).objects(kind)


def row(item: EngineObject, now: float) -> tuple[Cell, ...]:
    """One object in the list."""
    ours = isinstance(item, Image) and item.preset
    return (
        Span(item.kind.value, "dim"),
        Span(item.name, "title" if ours else ""),
        "" if item.kind is ObjectKind.NETWORK else size_cell(item.size),
        Span(coarse_duration(now - item.created), "dim") if item.created else UNKNOWN,
        used_by(item),
    )


def size_cell(number: int | None) -> Span:
    """A size; an unknown one is never shown as 0."""
    return UNKNOWN if number is None else Span(size(number))


def used_by(item: EngineObject) -> Span:
    """Who uses an object, in a few words."""
    if item.unreadable:
        return Span("? unreadable", "warn")
    if isinstance(item, CacheRecord):
        return Span("a build") if item.in_use else Span("shared", "dim") if item.shared else NOTHING
    if isinstance(item, Network) and item.built_in and not item.used_by:
        return Span("built in", "dim")
    if not item.used_by:
        return NOTHING
    return Span(", ".join(use.container if use.running else f"{use.container} (stopped)" for use in item.used_by))


def totals(inventory: Inventory | None, usage: DiskUsage | None, state: str, width: int) -> Line:
    """One line with the number and size of each kind; `state` says how old the sizes are, or why there are none."""
    if inventory is None:
        return ()
    parts: list[Span] = []
    roomy = width >= WIDE
    for total in kind_totals(inventory, usage):
        if roomy or total.kind is not ObjectKind.NETWORK:
            parts += [Span(f" {TOTAL_NAMES[total.kind]} ", "dim"), *_total(total, roomy), Span("  ")]
    return (*parts, Span(state, "dim"))


def _total(total: KindTotal, roomy: bool) -> list[Span]:
    count = "?" if total.count is None else str(total.count)
    if total.kind is ObjectKind.NETWORK:
        return [Span(count)]
    known = "?" if total.size is None else size(total.size) + (" + ?" if total.unmeasured else "")
    words = [Span(f"{count} · {known}")]
    if roomy and total.unused:
        unused = f"{total.unused}" if total.unused_size is None else f"{total.unused}, {size(total.unused_size)}"
        words.append(Span(f" ({unused} unused)", "dim"))
    return words


# -- details -----------------------------------------------------------------------------------------------------------


def detail(
    item: EngineObject, layers: list[ImageLayer] | None, no_layers_reason: str, now: float, width: int
) -> list[Line]:
    """Everything about one object; `layers` are those of an image, None while they are not known."""
    out: list[Line] = []
    for name, value in (*_facts(item), *_common_facts(item, now)):
        if value:
            out += labelled_lines(name, value, LABEL_WIDTH, width)
    out += _use_lines(item, width)
    if isinstance(item, Image):
        out += [
            line(),
            *(wrap(f"layers: {no_layers_reason}", width, "dim") if layers is None else _layer_lines(layers, width)),
        ]
    options = item.options if isinstance(item, (Volume, Network)) else {}
    for title, texts in (("options", options), ("labels", item.labels)):
        if texts:
            out += [line(), line(Span(title, "dim")), *_mapping_lines(texts, width)]
    return out


def _facts(item: EngineObject) -> Iterator[tuple[str, Cell]]:
    """The facts that only objects of its kind have."""
    if isinstance(item, Image):
        yield "tags", ", ".join(item.tags) or Span("none: a newer build took them, or it never had one", "warn")
        yield "preset", Span(item.preset, "accent") if item.preset else Span("not built by xaiva", "dim")
        yield "lock", item.lock_sha256[:ID_LENGTH]
        yield "build", Span(item.build, "accent")
        yield "size", line(size_cell(item.size), Span(" with all layers", "dim"))
        yield "only here", line(size_cell(item.unique_size), Span(" that no other image has", "dim"))
    elif isinstance(item, Volume):
        yield "name", item.name
        yield "", Span("the engine made up its name", "dim") if item.anonymous else ""
        yield "size", size_cell(item.size)
        yield "driver", item.driver
        yield "on disk", item.mountpoint
    elif isinstance(item, Network):
        yield "driver", item.driver
        yield "subnets", ", ".join(item.subnets)
        yield "gateways", ", ".join(item.gateways)
        yield "reaches", Span("only its own containers", "dim") if item.internal else ""
    elif isinstance(item, CacheRecord):
        yield "step", item.name
        yield "type", item.type.word
        yield "size", line(size_cell(item.size), Span(" that others share" if item.shared else "", "dim"))
        yield "used", "" if item.usage_count is None else f"{item.usage_count} times"
        yield "last used", local_time(item.last_used or 0)
        yield "now", "a build uses it" if item.in_use else ""
        yield "parents", ", ".join(parent[:ID_LENGTH] for parent in item.parents)


def _common_facts(item: EngineObject, now: float) -> Iterator[tuple[str, Cell]]:
    if item.created:
        yield "created", f"{local_time(item.created)}, {coarse_duration(now - item.created)} ago"
    if item.id != item.name:
        yield "id", item.id.removeprefix("sha256:")[:ID_LENGTH]
    if item.unreadable:
        yield "unreadable", Span(item.unreadable, "warn")


def _use_lines(item: EngineObject, width: int) -> list[Line]:
    """The containers that use it."""
    if isinstance(item, CacheRecord) or item.unreadable:
        return []
    if not item.used_by:
        return [line(Span(f"{'used by':<{LABEL_WIDTH}}", "dim"), Span("no container", "dim"))]
    return [line(), line(Span("used by", "dim")), *(fit(_use(use), width) for use in item.used_by)]


def _use(use: ContainerUse) -> Line:
    mark = Span("▶ ", "ok") if use.running else Span("■ ", "dim")
    return line("  ", mark, use.container, Span(f"  {use.how}" if use.how else "", "dim"))


def _mapping_lines(texts: Mapping[str, str], width: int) -> Iterable[Line]:
    for name, text in sorted(texts.items()):
        yield from wrap(f"{name} = {text}", width, indent="  ")


def _layer_lines(layers: list[ImageLayer], width: int) -> list[Line]:
    """The layers with data, newest first; the steps without data only change settings."""
    rows = [(size_cell(layer.size), " ".join(layer.created_by.split())) for layer in layers if layer.size != 0]
    columns = (Column("size", 9, right=True), Column("layer", minimum=20))
    return table(rows, columns, width)


# -- events ------------------------------------------------------------------------------------------------------------


def event_line(event: EngineEvent) -> str:
    """One event as a line of a log: its time, what it is about, and what happened."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.time))
    details = f" ({event.details})" if event.details else ""
    return f"{clock}\t{event.type}\t{event.action} {event.name}{details}".replace("\n", " ")
