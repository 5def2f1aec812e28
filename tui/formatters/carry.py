"""Media, their shipments, and whether one may be pulled out, as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.carry.media_list import ListedMedium
from core.carry.medium_contents import PACKING_UNFINISHED, ShipmentSummary
from core.carry.removal import Removal, RemovalState
from core.carry.shipment import Kind
from core.operations.model import Operation
from core.progress import Stage, StageState
from tui.formatters import findings as finding_format
from tui.formatters import operations as operation_format
from tui.formatters.cells import Cell, Column, Line, Span, enum_span, labelled_lines, line, table, wrap
from tui.formatters.numbers import coarse_duration, local_time, size

if TYPE_CHECKING:
    from core.carry.pack_plan import PackPlan
    from core.carry.unpack_plan import UnpackPlan
    from tui.carry_source import CarryView

COLUMNS = (
    Column("medium", minimum=18, weight=2, sort=lambda medium: medium.path),
    Column("file system", 11, rank=2, sort=lambda medium: medium.file_system),
    Column("free", 9, right=True, sort=lambda medium: medium.contents and medium.contents.free_bytes),
    Column("of", 9, right=True, rank=3, sort=lambda medium: medium.contents and medium.contents.total_bytes),
    Column("ship.", 5, right=True, rank=1, sort=lambda medium: medium.contents and len(medium.contents.shipments)),
    Column("newest shipment", minimum=24, weight=3),
)
PLAN_COLUMNS = (
    Column("", minimum=20),
    Column("files", 7, right=True, rank=1),
    Column("size", 9, right=True),
    Column("new", 9, right=True),
)
REMOVAL_ROLES = {RemovalState.SAFE: "ok", RemovalState.BUSY: "error", RemovalState.UNPROVEN: "warn"}
LABEL_WIDTH = 12
MIN_RATE_SECONDS = 2.0  # of work before which nothing is said about the time that is left
MOST_FILES = 200  # named in a preview


def row(medium: ListedMedium, live: Operation | None) -> tuple[Cell, ...]:
    """One medium in the list, with the operation that works on it."""
    contents = medium.contents
    state: Span | None = None
    if live is not None:
        state = Span(f"▶ {live.kind}, operation {live.id}", "accent")
    elif medium.problem:
        state = Span(f"? {medium.problem}", "stale")
    elif medium.is_remote:
        state = Span("looked at when you pack", "dim")
    elif contents is None:
        state = Span("looking…", "dim")
    if contents is None:
        return (medium.path, medium.file_system, "", "", "", state or "")
    newest = contents.shipments[0] if contents.shipments else None
    return (
        medium.path,
        medium.file_system,
        _size(contents.free_bytes),
        _size(contents.total_bytes),
        str(len(contents.shipments)),
        state or (shipment_state(newest) if newest else Span("no shipment", "dim")),
    )


def shipment_state(shipment: ShipmentSummary) -> Span:
    """Whether a shipment can be used, in words."""
    if shipment.signer:
        return Span(f"✓ {shipment.state}", "ok")
    if shipment.state == PACKING_UNFINISHED:
        return Span(f"! {shipment.state}", "warn")
    return Span(f"✗ {shipment.state}", "error")


def detail(
    medium: ListedMedium,
    view: CarryView,
    removal: Removal,
    latest: Operation | None,
    stages: Sequence[Stage],
    now: float,
    width: int,
) -> list[Line]:
    """Whether it may be pulled out; the newest operation on it; the medium, the key, and the shipments."""
    out = [*removal_lines(removal, medium.is_remote, width), line()]
    if latest is not None:
        out += [*operation_lines(latest, stages, now, width), line()]
    contents = medium.contents
    if medium.problem:
        out += wrap(f"? {medium.problem}", width, "warn")
        out += wrap(f"→ {medium.remedy}", width, "accent", indent="  ") if medium.remedy else []
    if contents is not None:
        out += labelled_lines("medium", contents.medium, LABEL_WIDTH, width)
        room = f"{_size(contents.free_bytes)} free of {_size(contents.total_bytes)}"
        out += labelled_lines("room", room, LABEL_WIDTH, width)
    out += labelled_lines("key here", view.fingerprint or "no key yet: c creates one", LABEL_WIDTH, width)
    if contents is None:
        return out
    out += finding_format.lines(contents.findings, width) if contents.findings else []
    for shipment in contents.shipments:
        out += [line(), *shipment_lines(shipment, width)]
    return out if contents.shipments else [*out, line(), line(Span("no shipment on it: p packs one", "dim"))]


def removal_lines(removal: Removal, remote: bool, width: int) -> list[Line]:
    """Whether it may be pulled out, as a line of its own, and why."""
    if removal.state is RemovalState.UNKNOWN:
        return wrap(f"? not known whether it may be pulled out: {removal.why}", width, "stale")
    words = removal.state.word.upper()
    if remote:  # nobody pulls another machine out
        words = {RemovalState.SAFE: "COMPLETE", RemovalState.BUSY: "IN WORK"}.get(removal.state, words)
    role = REMOVAL_ROLES.get(removal.state, "stale")
    out = [line(Span("✓ " if removal.state is RemovalState.SAFE else "! ", role), Span(words, role))]
    out += wrap(removal.why, width)
    return out + (wrap(f"→ {removal.remedy}", width, "accent", indent="  ") if removal.remedy else [])


def operation_lines(operation: Operation, stages: Sequence[Stage], now: float, width: int) -> list[Line]:
    """The newest operation on the medium, with its stages while it runs and its failure afterwards."""
    head = Span(operation_format.running_since(operation), "title" if operation.state.live else "dim")
    out = [line(enum_span(operation_format.STATE_SPANS, operation.state), "  ", head)]
    if operation.state.live:
        out += operation_format.stage_lines(stages, now, width)
        if left := time_left(stages, now):
            out.append(line(Span(left, "accent")))
    if operation.failure is not None:
        out += operation_format.failure_lines(operation, width)[1:]
    return out


def time_left(stages: Sequence[Stage], now: float) -> str:
    """How long the step that counts bytes now still takes at its speed so far; empty while nobody can say."""
    for stage in stages:
        elapsed = now - stage.started
        is_counted = stage.state is StageState.RUNNING and stage.unit == "bytes" and stage.total and stage.done
        if is_counted and elapsed >= MIN_RATE_SECONDS:
            seconds = (stage.total - stage.done) * elapsed / stage.done
            return f"about {coarse_duration(seconds)} left to {stage.title}, at {size(stage.done / elapsed)}/s"
    return ""


def shipment_lines(shipment: ShipmentSummary, width: int) -> list[Line]:
    """One shipment of a medium."""
    state = shipment_state(shipment)
    out = [line(Span(shipment.id, "title")), *wrap(state.text, width, state.role)]
    facts = [
        ("packed", f"{local_time(shipment.created)} by {shipment.office}" if shipment.created else ""),
        ("presets", ", ".join(shipment.presets)),
        ("images", ", ".join(shipment.images)),
        ("files", f"{shipment.files}, {size(shipment.bytes)}" if shipment.files else ""),
        ("signed by", shipment.signer),
    ]
    for name, words in facts:
        out += labelled_lines(name, words, LABEL_WIDTH, width) if words else []
    return out


def pack_preview(plan: PackPlan, width: int) -> list[Line]:
    """What a pack would write, by group, and whether it fits."""
    out = _room_lines(plan, width)
    out += [*wrap(f"on {plan.medium}", width, "dim"), line()]
    rows: list[tuple[Cell, ...]] = [
        (group.name, str(group.files), size(group.bytes), size(group.new_bytes)) for group in plan.groups
    ]
    out += [*table(rows, PLAN_COLUMNS, width), line()]
    sums = [
        ("all files", plan.bytes),
        ("equal ones stored once", plan.unique_bytes),
        ("already on the medium", plan.present_bytes),
        ("the site has already", plan.at_site_bytes),
    ]
    for name, count in sums:
        out += labelled_lines(name, size(count), 24, width) if count else []
    if plan.shipments:
        out += wrap(f"these shipments are on it and stay: {', '.join(plan.shipments)}", width, "dim")
    return out


def _room_lines(plan: PackPlan, width: int) -> list[Line]:
    """Whether it fits."""
    if plan.free_bytes is None:
        return wrap(f"? needs {size(plan.needed_bytes)}; how much is free there is not known", width, "warn")
    room = f"needs {size(plan.needed_bytes)} of {size(plan.free_bytes)} free"
    if plan.fits:
        return [line(Span("✓ ", "ok"), room)]
    lacking = size(plan.needed_bytes - plan.free_bytes)
    remedy = f"→ free at least {lacking} on it, use a larger medium, or pack fewer presets"
    return [*wrap(f"✗ {room}: it does not fit", width, "error"), *wrap(remedy, width, "accent", indent="  ")]


def unpack_preview(plan: UnpackPlan, shipment: str, free: int, width: int) -> list[Line]:
    """What an unpack would write, file by file, the presets first, and what it needs."""
    missing = sorted(plan.missing, key=lambda item: item.file.kind is Kind.ARTIFACT)
    out = [line(Span(f"shipment {shipment}", "title"))]
    out += wrap(f"{len(plan.files)} files: {len(plan.files) - len(missing)} are here already", width)
    if not missing:
        return [*out, line(Span("✓ ", "ok"), "no file is new; images are compared by the operation itself")]
    room = f"{size(plan.needed_bytes)} come from the medium; {size(free)} are free here"
    out += [*wrap(room, width), line()]
    for item in missing[:MOST_FILES]:
        out.append(line(Span(f"{item.state.word:<9}", "dim"), item.file.path))
    if len(missing) > MOST_FILES:
        out.append(line(Span(f"… and {len(missing) - MOST_FILES} more", "dim")))
    return out


def check_preview(shipment: str, count: int, total: int, width: int) -> list[Line]:
    """What a check would read."""
    words = f"{count} files ({size(total)}) are read in full and compared with their SHA-256. Nothing is taken."
    return [line(Span(f"shipment {shipment}", "title")), *wrap(words, width)]


def trust_question(fingerprint_start: str, width: int) -> list[Line]:
    """Asks for the end of a fingerprint, which only the paper has."""
    out = wrap("This site trusts no such key yet. The shipment's key is:", width, "warn")
    out.append(line(Span(f"SHA256: {fingerprint_start} …", "title")))
    text = (
        "Compare it with the paper from the office, block by block, then type the last block from the paper. "
        "If any block differs, press Esc: somebody else signed this shipment."
    )
    return [*out, *wrap(text, width)]


def _size(count: int | None) -> str:
    return "?" if count is None else size(count)
