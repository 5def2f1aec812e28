"""The inference service itself: its models and their memory, logger, analyser, messages, disk; rules and users."""

from __future__ import annotations

from collections.abc import Sequence

from core.containers.vram import VramHolder, vram_holders
from core.inference.schemas import Delivery, LedgerStatus, ModelStatus, Rule, ServiceStatus, User
from core.service_client.text_formats import format_channel, format_schedule
from core.telemetry.gpus import GpuSample
from tui.present.cells import Cell, Column, Line, Span, fit, labelled, line, table, wrap
from tui.present.events import when
from tui.present.figures import coarse, size

MODEL_STATES = {
    "ready": Span("● ready", "ok"),
    "idle": Span("○ idle", "dim"),
    "loading": Span("◌ loading", "accent"),
    "closing": Span("◌ closing", "dim"),
    "failed": Span("✗ failed", "error"),
}
TROUBLE = ("behind", "failing", "broken", "waiting", "full")  # of a part of the service
RULE_COLUMNS = (Column("rule", minimum=10), Column("from", 9), Column("to", minimum=16, rank=1, weight=2))
USER_COLUMNS = (Column("user", minimum=10), Column("role", 9), Column("cameras", minimum=12, rank=1, weight=2))
DELIVERIES = 8  # messages shown with a rule
LABEL = 11
BAR = 40  # columns of the memory's bar at most


def summary(status: ServiceStatus | None, gpus: GpuSample | None, width: int) -> list[Line]:
    """The service, and the ledger of its models."""
    if status is None:
        return []
    unread = f"the service's answer cannot be read: {status.unreadable}"
    out: list[Line] = [
        *(wrap(unread, width, "warn") if status.unreadable else []),
        fit(f"version {status.version}, up {coarse(status.uptime)}, {size(status.rss)} resident", width),
        *parts(status, width),
    ]
    if status.ledger is not None:
        held = vram_holders(gpus, status) if gpus else []
        out += [line(), *ledger(status.ledger, width), *_containers(held, width)]
    return out


def parts(status: ServiceStatus, width: int) -> list[Line]:
    """Logger, analyser, messages, disk: one line each, and why where one ails."""
    logger, analyser, outbox, storage = status.logger, status.analyser, status.outbox, status.storage
    oldest = f", the oldest for {coarse(logger.oldest)}" if logger.oldest else ""
    waits = f", {logger.waiting} wait for the database{oldest}" if logger.waiting else ""
    held = f", the oldest for {coarse(outbox.oldest)}" if outbox.oldest else ""
    told = (
        ("events", logger.state, "ok", f"{logger.written} written{waits}", logger.why),
        (
            "analyser",
            analyser.state,
            "ready busy off",
            f"{analyser.backend} {analyser.answered} answered".strip(),
            analyser.why,
        ),
        (
            "messages",
            "waiting" if outbox.why else "ok",
            "ok",
            f"{outbox.sent} sent, {outbox.waiting} waiting{held}",
            outbox.why,
        ),
        (
            "recordings",
            storage.state,
            "ok",
            f"{storage.clips} clip{'' if storage.clips == 1 else 's'}, {size(storage.used)}, {size(storage.free)} free",
            storage.why,
        ),
    )
    out: list[Line] = []
    room = max(width - LABEL, 1)
    for name, state, fine, words, why in told:
        good, bad = state in fine.split(), state in TROUBLE
        mark = "●" if good else "!" if bad else "?"
        lines = wrap(f"{mark} {state or 'unknown'}  {words}", room, "error" if bad else "", indent="  ")
        lines += wrap(f"{why}", room, "warn") if why else []
        out += [(*fit(Span("" if number else name, "dim"), LABEL), *one) for number, one in enumerate(lines)]
    return out


def ledger(found: LedgerStatus, width: int) -> list[Line]:
    """The memory: who has how much of it, then model by model."""
    free = max(found.total - found.ours - found.others, 0)
    out: list[Line] = [
        line(Span(f"{found.device}", "title"), Span(f"  {size(found.total)}", "dim")),
        _shares(found, min(width, BAR)),
        *wrap(
            f"models {size(found.ours)}, others {size(found.others)}, kept free {size(found.reserve)}, "
            f"free {size(found.free or free)}{_unexplained(found.drift)}",
            width,
            "dim",
        ),
    ]
    if not found.models:
        return [*out, line(Span("no model is loaded", "dim"))]
    columns = (
        Column("model", minimum=12),
        Column("state", 9),
        Column("memory", 12, right=True),
        Column("used by", 7, right=True, rank=1),
        Column("a second", 8, right=True, rank=2),
        Column("wait", 7, right=True, rank=4),
        Column("batch", 5, right=True, rank=5),
        Column("provider", 12, rank=3),
    )
    out += [line(), *table([_model(model) for model in found.models], columns, width)]
    for model in found.models:
        if model.why:
            out += wrap(f"{model.key}: {model.why}", width, "error")
    return out


def _unexplained(drift: int | None) -> str:
    if drift is None:
        return ", unexplained unknown"
    return f", {size(drift)} unexplained" if drift else ""


def _shares(found: LedgerStatus, width: int) -> Line:
    """Models, others, the reserve and what is free, as parts of one bar; each has a mark of its own."""
    total = max(found.total, 1)
    marks = (("█", "accent", found.ours), ("▓", "bar", found.others), ("░", "dim", found.reserve))
    out: list[Span] = []
    left = width
    for mark, role, count in marks:
        cells = min(round(count / total * width), left)
        if count and not cells and left:
            cells = 1
        out.append(Span(mark * cells, role))
        left -= cells
    return (*out, Span("─" * left, "dim"))


def _model(model: ModelStatus) -> tuple[Cell, ...]:
    cost = size(model.cost) if model.measured else f"≈ {size(model.declared)}"
    return (
        f"{model.key}{' (pinned)' if model.pinned else ''}",
        MODEL_STATES.get(model.state) or Span(f"? {model.state or 'unknown'}"),
        cost,
        str(model.leases),
        f"{model.rate:.1f}",
        f"{model.wait * 1000:.0f} ms" if model.wait is not None else "",
        f"{model.batch:.1f}" if model.batch is not None else "",
        Span(model.provider, "dim"),
    )


def _containers(found: Sequence[VramHolder], width: int) -> list[Line]:
    """What each container holds of the GPUs, as the driver says, and how much of it the ledger explains."""
    if not found:
        return []
    columns = [Column("container", minimum=16), Column("GPU", 4, right=True), Column("memory", 10, right=True)]
    rows: list[list[Cell]] = [
        [one.name, ",".join(map(str, one.gpus)), "" if one.memory is None else size(one.memory)] for one in found
    ]
    if any(one.models is not None for one in found):
        columns += [Column("models", 10, right=True, rank=2), Column("unexplained", 11, right=True, rank=1)]
        for row, one in zip(rows, found, strict=True):
            row += ["" if one.models is None else size(one.models), _signed(one.unexplained)]
    return [line(), *table(rows, columns, width)]


def _signed(count: int | None) -> str:
    """`14 MiB`, `-3.0 MiB`; empty for None."""
    return "" if count is None else f"-{size(-count)}" if count < 0 else size(count)


# -- rules and users --------------------------------------------------------------------------------------------------


def rule_row(rule: Rule) -> tuple[Cell, ...]:
    """One rule in a list."""
    to = f"cannot be read: {rule.unreadable}" if rule.unreadable else ", ".join(one.to for one in rule.channels)
    return (rule.name or "?", rule.priority.word if rule.enabled else Span("■ off", "dim"), Span(to, "dim"))


def user_row(user: User) -> tuple[Cell, ...]:
    """One user in a list."""
    role = Span(user.role.word) if user.active else Span("■ off", "dim")
    return (user.name or "?", role, Span("all" if user.cameras is None else ", ".join(user.cameras) or "none", "dim"))


def rule_detail(rule: Rule, deliveries: Sequence[Delivery], width: int) -> list[Line]:
    """A rule and its newest messages."""
    facts = [
        ("events", f"from priority {rule.priority.word} on"),
        ("cameras", ", ".join(rule.cameras) or "all"),
        ("types", ", ".join(rule.types) or "all"),
        ("when", format_schedule(rule.schedule) or "always"),
        ("together", f"the same camera and type within {rule.within:g} s are one message"),
        *(("to", format_channel(channel)) for channel in rule.channels),
    ]
    out: list[Line] = [] if rule.enabled else [line(Span("it is switched off", "warn"))]
    for name, value in facts:
        out += labelled(name, value, LABEL, width)
    own = [one for one in deliveries if one.rule == rule.name][:DELIVERIES]
    out += [line(), line(Span("newest messages" if own else "no message yet", "dim"))]
    for one in own:
        role = {"sent": "ok", "given_up": "error"}.get(one.state, "accent" if one.state == "waiting" else "")
        events = f", {one.count} events" if one.count > 1 else ""
        state = Span(one.state or "unknown", role)
        out.append(fit(line(f"{when(one.created)}  ", state, f"  {one.to}{events}"), width))
        why = wrap(one.why, max(width - 2, 1), "warn") if one.why and one.state != "sent" else []
        out += [(Span("  "), *text) for text in why]
    return out


def user_detail(user: User, width: int) -> list[Line]:
    """What a user may."""
    may = {
        "viewer": "sees cameras and events",
        "operator": "sees, acknowledges, starts and stops",
        "admin": "may do everything",
    }
    facts = [
        ("role", f"{user.role.word}: {may.get(user.role.value, 'this xaiva does not know what that allows')}"),
        ("cameras", "all" if user.cameras is None else ", ".join(user.cameras) or "none"),
        ("log in", "yes" if user.active else "not any more"),
        ("added", when(user.created)),
        ("last login", when(user.last_login) or "never"),
    ]
    return [one for name, value in facts for one in labelled(name, value, LABEL, width)]
