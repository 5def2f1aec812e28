"""Every table of the service. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.inference.database.types import Utc

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Names all constraints, so that migrations can change them on both databases."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {datetime: Utc, dict[str, Any]: JSON, list[Any]: JSON}


class RequestRow(Base):
    """A request as JSON, with its position in the table."""

    __abstract__ = True

    position: Mapped[int]
    request: Mapped[dict[str, Any]]


class CameraRow(RequestRow):
    """A camera; `request` is a `schemas.CameraRequest`."""

    __tablename__ = "cameras"

    id: Mapped[str] = mapped_column(primary_key=True)


class UserRow(Base):
    """A user. Raising `generation` invalidates all access tokens. A `limited` user sees only the cameras of
    `camera_access`.
    """

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(primary_key=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    active: Mapped[bool]
    limited: Mapped[bool]
    created: Mapped[datetime]
    last_login: Mapped[datetime | None]
    generation: Mapped[int]


class CameraAccessRow(Base):
    """A camera that a limited user may see; it may be one of the command line."""

    __tablename__ = "camera_access"

    user: Mapped[str] = mapped_column(ForeignKey("users.name", ondelete="CASCADE"), primary_key=True)
    camera: Mapped[str] = mapped_column(primary_key=True)


class RefreshTokenRow(Base):
    """A refresh token by its hash. Tokens of one login share a `family`."""

    __tablename__ = "refresh_tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name", ondelete="CASCADE"), index=True)
    family: Mapped[str] = mapped_column(index=True)
    created: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)
    used: Mapped[datetime | None]
    revoked: Mapped[datetime | None]


class EventRow(Base):
    """A `schemas.Event` with flattened clip and analysis; `priority` is the rank, 0 to 3."""

    __tablename__ = "events"

    id: Mapped[str] = mapped_column(primary_key=True)
    camera: Mapped[str]
    camera_name: Mapped[str]
    type: Mapped[str]
    priority: Mapped[int]
    started: Mapped[datetime]
    decided: Mapped[datetime]
    ended: Mapped[datetime | None]
    score: Mapped[float]
    threshold: Mapped[float]
    detector: Mapped[str]
    zone: Mapped[str]
    product: Mapped[str] = mapped_column(server_default="")
    snapshot: Mapped[bool]
    clip_state: Mapped[str]
    clip_seconds: Mapped[float]
    clip_bytes: Mapped[int] = mapped_column(BigInteger)
    clip_why: Mapped[str]
    analysis_state: Mapped[str]
    analysis_description: Mapped[str]
    analysis_confidence: Mapped[float | None]
    analysis_backend: Mapped[str]
    analysis_seconds: Mapped[float | None]
    analysis_why: Mapped[str]
    facts: Mapped[list[Any]]
    actions: Mapped[list[Any]]
    response_time: Mapped[float | None]
    protected: Mapped[bool] = mapped_column(index=True)
    acknowledged: Mapped[datetime | None] = mapped_column(index=True)
    acknowledged_by: Mapped[str]
    note: Mapped[str]

    __table_args__ = (
        Index("ix_events_started_id", "started", "id"),
        Index("ix_events_camera_started_id", "camera", "started", "id"),
        Index("ix_events_product_started_id", "product", "started", "id"),
        Index("ix_events_score_id", "score", "id"),
    )


class ProductRow(Base):
    """The settings of a product: a `schemas.ProductSettings`. `rebuilt` is the last time of its schedule that counts
    as done; earlier ones are not caught up.
    """

    __tablename__ = "products"

    name: Mapped[str] = mapped_column(primary_key=True)
    settings: Mapped[dict[str, Any]]
    rebuilt: Mapped[datetime]


class InspectionRow(Base):
    """A `schemas.Inspection`. `heat_map` is a PNG; `kept` names the kept picture's file, empty without one.

    `source` is where the picture came from, so that a file is not inspected twice. `corrected_key` is the object that
    a correction put into the storage, `leftover_key` one that is still to be deleted there.
    """

    __tablename__ = "inspections"

    id: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str]
    part: Mapped[str] = mapped_column(index=True)
    source: Mapped[str] = mapped_column(index=True)
    at: Mapped[datetime]
    score: Mapped[float]
    threshold: Mapped[float]
    verdict: Mapped[str]
    bank: Mapped[int]
    normal_index: Mapped[int]
    defect_index: Mapped[int]
    normals: Mapped[list[Any]]
    defects: Mapped[list[Any]]
    event: Mapped[str]
    kept: Mapped[str]
    corrected: Mapped[str] = mapped_column(index=True)
    corrected_type: Mapped[str]
    corrected_by: Mapped[str]
    corrected_key: Mapped[str]
    leftover_key: Mapped[str] = mapped_column(index=True)
    note: Mapped[str]
    seconds: Mapped[dict[str, Any]]
    explanation: Mapped[str]
    heat_map: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)

    __table_args__ = (
        Index("ix_inspections_at_id", "at", "id"),
        Index("ix_inspections_product_at_id", "product", "at", "id"),
        Index("ix_inspections_product_verdict_at", "product", "verdict", "at"),
    )


class SpoolRow(Base):
    """How much of a spool this database has: `position` is that of the next record."""

    __tablename__ = "spools"

    id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)


class DailyStatisticsRow(Base):
    """The `schemas.DayStatistics` of a day whose events were removed, and the zone of that day."""

    __tablename__ = "daily_statistics"

    date: Mapped[date] = mapped_column(primary_key=True)
    zone: Mapped[str] = mapped_column(primary_key=True)
    camera: Mapped[str] = mapped_column(primary_key=True)
    events: Mapped[int]
    acknowledged: Mapped[int]
    by_type: Mapped[dict[str, Any]]
    by_priority: Mapped[dict[str, Any]]
    by_hour: Mapped[list[Any]]
    highest_score: Mapped[float | None]
    mean_response: Mapped[float | None]


class NotificationRuleRow(RequestRow):
    """A rule; `request` is a `schemas.RuleRequest`."""

    __tablename__ = "notification_rules"

    name: Mapped[str] = mapped_column(primary_key=True)


class OutboxRow(Base):
    """A message over one channel. `state` is waiting, sent or given_up; `due` is the next attempt."""

    __tablename__ = "outbox"

    id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    kind: Mapped[str]
    to: Mapped[str]
    body: Mapped[dict[str, Any]]
    state: Mapped[str]
    priority: Mapped[int]
    count: Mapped[int]
    attempts: Mapped[int]
    due: Mapped[datetime]
    created: Mapped[datetime] = mapped_column(index=True)
    sent: Mapped[datetime | None]
    why: Mapped[str]
    dedup_key: Mapped[str] = mapped_column(index=True)

    __table_args__ = (Index("ix_outbox_state_due", "state", "due"),)


class SuspensionRow(Base):
    """No notifications of this camera until then."""

    __tablename__ = "suspensions"

    camera: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime]


class SettingRow(Base):
    """A setting of the service itself. Secrets do not belong here."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]


class ModelCostRow(Base):
    """The measured memory of a model on a device, in bytes."""

    __tablename__ = "model_costs"

    key: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(primary_key=True)
    cost: Mapped[int] = mapped_column(BigInteger)
    measured: Mapped[datetime]
