"""Comparisons in batches of a session; digests of checked ranges. Answers of the two rounds go."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("comparison_answers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_comparison_answers_kept_until"))
    op.drop_table("comparison_answers")

    op.create_table(
        "comparison_sessions",
        sa.Column("session", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("comparisons", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("session"),
    )
    op.create_table(
        "comparison_batches",
        sa.Column("session", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("served_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["comparison_sessions.session"]),
        sa.PrimaryKeyConstraint("session", "number"),
    )
    op.create_table(
        "range_checks",
        sa.Column("range", sa.String(length=32), nullable=False),
        sa.Column("pseudonym", sa.String(length=32), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("served_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("range", "pseudonym", "key_id"),
    )


def downgrade() -> None:
    op.drop_table("range_checks")
    op.drop_table("comparison_batches")
    op.drop_table("comparison_sessions")
    op.create_table(
        "comparison_answers",
        sa.Column("position", sa.String(length=180), nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("kept_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("position", "round"),
    )
    with op.batch_alter_table("comparison_answers", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_comparison_answers_kept_until"), ["kept_until"], unique=False
        )
