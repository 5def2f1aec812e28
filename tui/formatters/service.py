"""The inference service: models and their memory, logger, analyser, messages, recordings; rules and users."""

from __future__ import annotations

from collections.abc import Sequence

from core.api_schema import Delivery, LedgerStatus, ModelStatus, Rule, ServiceStatus, User
from core.containers.vram import VramHolder, vram_holders
from core.service_client.text_formats import format_channel, format_schedule
from core.telemetry.gpus import GpuSample
from tui.formatters.cells import Cell, Column, Line, Span, fit, labelled_lines, line, table, wrap
from tui.formatters.events import local_datetime
from tui.formatters.numbers import coarse_duration, size

MODEL_STATE_SPANS = {
    "ready": Span("● ready", "ok"),
    "idle": Span("○ idle", "dim"),
    "loading": Span("◌ loading", "accent"),
    "closing": Span("◌ closing", "dim"),
    "failed": Span("✗ failed", "error"),
    "reserved": Span("reserved", "accent"),  # for a job
}
TROUBLED_STATES = ("behind", "failing", "broken", "waiting", "full")  # of a component of the service
RULE_COLUMNS = (
    Column("rule", minimum=10, sort=lambda rule: rule.name),
    Column("priority", 10, sort=lambda rule: rule.priority.rank),
    Column("to", minimum=16, rank=1, weight=2, sort=lambda rule: ", ".join(channel.to for channel in rule.channels)),
)
USER_COLUMNS = (
    Column("user", minimum=9, sort=lambda user: user.name),
    Column("role", 10, sort=lambda user: user.role.word),
    Column("cameras", minimum=12, rank=1, weight=2, sort=lambda user: ", ".join(user.cameras or ())),
)
MAX_DELIVERIES = 8  # shown with a rule
LABEL_WIDTH = 11
MEMORY_BAR_WIDTH = 40  # columns at most


def summary(status: ServiceStatus | None, gpus: GpuSample | None, width: int) -> list[Line]:
    """The state of the service, and the memory of its models."""
    if status is None:
        return []
    unreadable_text = f"the service's answer cannot be read: {status.unreadable}"
    out: list[Line] = [
        *(wrap(unreadable_text, width, "warn") if status.unreadable else []),
        fit(f"version {status.version}, up {coarse_duration(status.uptime)}, {size(status.rss)} RAM", width),
        *component_lines(status, width),
    ]
    if status.ledger is not None:
        holders_of_memory = vram_holders(gpus, status) if gpus else []
        out += [line(), *memory_lines(status.ledger, width), *_container_lines(holders_of_memory, width)]
    return out


def component_lines(status: ServiceStatus, width: int) -> list[Line]:
    """Logger, analyser, messages and recordings: one line each, with the reason of a problem."""
    logger, analyser, outbox, storage = status.logger, status.analyser, status.outbox, status.storage
    oldest = f", the oldest for {coarse_duration(logger.oldest)}" if logger.oldest else ""
    waiting_text = f", {logger.waiting} waiting for the database{oldest}" if logger.waiting else ""
    oldest_message = f", the oldest for {coarse_duration(outbox.oldest)}" if outbox.oldest else ""
    components = (
        ("events", logger.state, "ok", f"{logger.written} written{waiting_text}", logger.why),
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
            f"{outbox.sent} sent, {outbox.waiting} waiting{oldest_message}",
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
    room = max(width - LABEL_WIDTH, 1)
    for name, state, good_states, words, reason in components:
        is_good, is_bad = state in good_states.split(), state in TROUBLED_STATES
        mark = "○" if state == "off" else "●" if is_good else "!" if is_bad else "?"
        lines = wrap(f"{mark} {state or 'unknown'}  {words}", room, "error" if is_bad else "", indent="  ")
        lines += wrap(f"{reason}", room, "warn") if reason else []
        out += [
            (*fit(Span("" if number else name, "dim"), LABEL_WIDTH), *text_line)
            for number, text_line in enumerate(lines)
        ]
    return out


def memory_lines(memory: LedgerStatus, width: int) -> list[Line]:
    """The GPU memory: who uses how much, then each model."""
    free = max(memory.total - memory.ours - memory.others, 0)
    out: list[Line] = [
        line(Span(f"{memory.device}", "title"), Span(f"  {size(memory.total)}", "dim")),
        _shares_bar(memory, min(width, MEMORY_BAR_WIDTH)),
        *wrap(
            f"models {size(memory.ours)}, others {size(memory.others)}, reserved {size(memory.reserve)}, "
            f"free {size(memory.free or free)}{_unexplained_text(memory.drift)}",
            width,
            "dim",
        ),
    ]
    if not memory.models:
        return [*out, line(Span("no models loaded", "dim"))]
    columns = (
        Column("model", minimum=12),
        Column("state", 9),
        Column("memory", 12, right=True),
        Column("used by", 7, right=True, rank=1),
        Column("per s", 8, right=True, rank=2),
        Column("wait", 7, right=True, rank=4),
        Column("batch", 5, right=True, rank=5),
        Column("provider", 12, rank=3),
    )
    out += [line(), *table([_model_row(model) for model in memory.models], columns, width)]
    for model in memory.models:
        if model.why:
            out += wrap(f"{model.key}: {model.why}", width, "error")
    return out


def _unexplained_text(drift: int | None) -> str:
    if drift is None:
        return ", unexplained: unknown"
    return f", {size(drift)} unexplained" if drift else ""


def _shares_bar(memory: LedgerStatus, width: int) -> Line:
    """Models, others, the reserve and free memory as parts of one bar, each with its own mark."""
    total = max(memory.total, 1)
    marks = (("█", "accent", memory.ours), ("▓", "bar", memory.others), ("░", "dim", memory.reserve))
    out: list[Span] = []
    room = width
    for mark, role, count in marks:
        cells = min(round(count / total * width), room)
        if count and not cells and room:
            cells = 1
        out.append(Span(mark * cells, role))
        room -= cells
    return (*out, Span("─" * room, "dim"))


def _model_row(model: ModelStatus) -> tuple[Cell, ...]:
    cost = size(model.cost) if model.measured else f"≈ {size(model.declared)}"
    return (
        f"{model.key}{' (pinned)' if model.pinned else ''}",
        MODEL_STATE_SPANS.get(model.state) or Span(f"? {model.state or 'unknown'}"),
        cost,
        str(model.leases),
        f"{model.rate:.1f}",
        f"{model.wait * 1000:.0f} ms" if model.wait is not None else "",
        f"{model.batch:.1f}" if model.batch is not None else "",
        Span(model.provider, "dim"),
    )


def _container_lines(holders: Sequence[VramHolder], width: int) -> list[Line]:
    """The GPU memory of each container, as the driver reports it, and how much of it the models account for."""
    if not holders:
        return []
    columns = [Column("container", minimum=16), Column("GPU", 4, right=True), Column("memory", 10, right=True)]
    rows: list[list[Cell]] = [
        [holder.name, ",".join(map(str, holder.gpus)), "" if holder.memory is None else size(holder.memory)]
        for holder in holders
    ]
    if any(holder.models is not None for holder in holders):
        columns += [Column("models", 10, right=True, rank=2), Column("unexplained", 11, right=True, rank=1)]
        for row, holder in zip(rows, holders, strict=True):
            row += ["" if holder.models is None else size(holder.models), _signed_size(holder.unexplained)]
    return [line(), *table(rows, columns, width)]


def _signed_size(count: int | None) -> str:
    """`14 MiB`, `-3.0 MiB`; empty for None."""
    return "" if count is None else f"-{size(-count)}" if count < 0 else size(count)


# -- rules and users --------------------------------------------------------------------------------------------------


def rule_row(rule: Rule) -> tuple[Cell, ...]:
    """One rule in a list."""
    to = f"cannot be read: {rule.unreadable}" if rule.unreadable else ", ".join(channel.to for channel in rule.channels)
    return (rule.name or "?", rule.priority.word if rule.enabled else Span("■ disabled", "dim"), Span(to, "dim"))


def user_row(user: User) -> tuple[Cell, ...]:
    """One user in a list."""
    role = Span(user.role.word) if user.active else Span("■ disabled", "dim")
    return (user.name or "?", role, Span("all" if user.cameras is None else ", ".join(user.cameras) or "none", "dim"))


def rule_detail(rule: Rule, deliveries: Sequence[Delivery], width: int) -> list[Line]:
    """A rule and its newest messages."""
    facts = [
        ("events", f"priority {rule.priority.word} and above"),
        ("cameras", ", ".join(rule.cameras) or "all"),
        ("types", ", ".join(rule.types) or "all"),
        ("when", format_schedule(rule.schedule) or "always"),
        ("grouping", f"one message per camera and type within {rule.within:g} s"),
        *(("to", format_channel(channel)) for channel in rule.channels),
    ]
    out: list[Line] = [] if rule.enabled else [line(Span("this rule is disabled", "warn"))]
    for name, value in facts:
        out += labelled_lines(name, value, LABEL_WIDTH, width)
    rule_deliveries = [delivery for delivery in deliveries if delivery.rule == rule.name][:MAX_DELIVERIES]
    out += [line(), line(Span("newest messages" if rule_deliveries else "no messages yet", "dim"))]
    for delivery in rule_deliveries:
        role = {"sent": "ok", "given_up": "error"}.get(delivery.state, "accent" if delivery.state == "waiting" else "")
        events = f", {delivery.count} events" if delivery.count > 1 else ""
        state = Span(delivery.state or "unknown", role)
        out.append(fit(line(f"{local_datetime(delivery.created)}  ", state, f"  {delivery.to}{events}"), width))
        reason_lines = (
            wrap(delivery.why, max(width - 2, 1), "warn") if delivery.why and delivery.state != "sent" else []
        )
        out += [(Span("  "), *text) for text in reason_lines]
    return out


def user_detail(user: User, width: int) -> list[Line]:
    """The user's rights and logins."""
    role_texts = {
        "viewer": "sees cameras and events",
        "operator": "also acknowledges, starts and stops",
        "admin": "can do everything",
    }
    facts = [
        (
            "role",
            f"{user.role.word}: {role_texts.get(user.role.value, 'a role that this version of xaiva does not know')}",
        ),
        ("cameras", "all" if user.cameras is None else ", ".join(user.cameras) or "none"),
        ("log in", "yes" if user.active else "disabled"),
        ("added", local_datetime(user.created)),
        ("last login", local_datetime(user.last_login) or "never"),
    ]
    return [text_line for name, value in facts for text_line in labelled_lines(name, value, LABEL_WIDTH, width)]
