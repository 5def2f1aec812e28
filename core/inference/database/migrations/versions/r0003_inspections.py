"""Products with their settings, inspections, and the product of an event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables; events so far have no product."""
    op.add_column("events", sa.Column("product", sa.String(), nullable=False, server_default=""))
    op.create_index("ix_events_product_started_id", "events", ["product", "started", "id"], unique=False)
    op.create_table(
        "products",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("rebuilt", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_products")),
    )
    op.create_table(
        "inspections",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("bank", sa.Integer(), nullable=False),
        sa.Column("normal_index", sa.Integer(), nullable=False),
        sa.Column("defect_index", sa.Integer(), nullable=False),
        sa.Column("normals", sa.JSON(), nullable=False),
        sa.Column("defects", sa.JSON(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("kept", sa.String(), nullable=False),
        sa.Column("corrected", sa.String(), nullable=False),
        sa.Column("corrected_type", sa.String(), nullable=False),
        sa.Column("corrected_by", sa.String(), nullable=False),
        sa.Column("corrected_key", sa.String(), nullable=False),
        sa.Column("leftover_key", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("seconds", sa.JSON(), nullable=False),
        sa.Column("explanation", sa.String(), nullable=False),
        sa.Column("heat_map", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspections")),
    )
    op.create_index("ix_inspections_at_id", "inspections", ["at", "id"], unique=False)
    op.create_index("ix_inspections_product_at_id", "inspections", ["product", "at", "id"], unique=False)
    op.create_index("ix_inspections_product_verdict_at", "inspections", ["product", "verdict", "at"], unique=False)
    for column in ("part", "source", "corrected", "leftover_key"):
        op.create_index(op.f(f"ix_inspections_{column}"), "inspections", [column], unique=False)
