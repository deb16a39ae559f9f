"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "collectors",
        sa.Column("collector", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key_jwk", sa.String(length=512), nullable=False),
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("collector"),
        sa.UniqueConstraint("thumbprint"),
    )
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

    op.create_table(
        "grants",
        sa.Column("grant_id", sa.String(length=32), nullable=False),
        sa.Column("patient", sa.String(length=32), nullable=False),
        sa.Column("doctor", sa.String(length=32), nullable=False),
        sa.Column("doctor_thumbprint", sa.String(length=64), nullable=False),
        sa.Column("grant", sa.String(length=2048), nullable=False),
        sa.Column("revocation", sa.String(length=2048), nullable=True),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("grant_id"),
    )
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_grants_doctor"), ["doctor"], unique=False)
        batch_op.create_index(batch_op.f("ix_grants_patient"), ["patient"], unique=False)
        batch_op.create_index(
            "uq_grants_in_force",
            ["patient", "doctor", "doctor_thumbprint"],
            unique=True,
            sqlite_where=sa.text("revoked_at IS NULL"),
            postgresql_where=sa.text("revoked_at IS NULL"),
        )

    op.create_table(
        "served_tallies",
        sa.Column("pseudonym", sa.String(length=32), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("served", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym", "day", "key_id"),
    )
    op.create_table(
        "spent_openings",
        sa.Column("jti", sa.String(length=32), nullable=False),
        sa.Column("collector", sa.String(length=32), nullable=False),
        sa.Column("recordings", sa.BigInteger(), nullable=False),
        sa.Column("spent_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("jti"),
    )
    with op.batch_alter_table("spent_openings", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_spent_openings_collector"), ["collector"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_spent_openings_spent_at"), ["spent_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("spent_openings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_spent_openings_spent_at"))
        batch_op.drop_index(batch_op.f("ix_spent_openings_collector"))

    op.drop_table("spent_openings")
    op.drop_table("served_tallies")
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.drop_index("uq_grants_in_force")
        batch_op.drop_index(batch_op.f("ix_grants_patient"))
        batch_op.drop_index(batch_op.f("ix_grants_doctor"))

    op.drop_table("grants")
    with op.batch_alter_table("comparison_answers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_comparison_answers_kept_until"))

    op.drop_table("comparison_answers")
    op.drop_table("collectors")
