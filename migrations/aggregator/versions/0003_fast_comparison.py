"""The fast comparison: sessions and batches instead of seeds, digests of range checks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ASIDE = sa.text("aside_until > 0")


def upgrade() -> None:
    op.create_table(
        "comparison_sessions",
        sa.Column("session", sa.String(length=32), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("next_batch", sa.Integer(), nullable=False),
        sa.Column("comparisons", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("session"),
    )
    op.create_table(
        "comparison_batches",
        sa.Column("session", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("lease", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["comparison_sessions.session"]),
        sa.PrimaryKeyConstraint("session", "number"),
    )
    with op.batch_alter_table("comparisons") as batch_op:
        batch_op.drop_column("sealed_seed")
        batch_op.add_column(sa.Column("session", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("batch", sa.Integer(), nullable=True))
        batch_op.create_index("ix_comparisons_batch", ["session", "batch"], unique=False)
    with op.batch_alter_table("ranges") as batch_op:
        batch_op.drop_column("check_ciphertext")
        batch_op.drop_column("sealed_seed")
        batch_op.add_column(sa.Column("session", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("batch", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("digest", sa.LargeBinary(), nullable=True))
    # A check of the old kind cannot be opened any more: it is made anew.
    op.execute("UPDATE ranges SET state = 'proposed' WHERE state = 'checked'")
    with op.batch_alter_table("tallies") as batch_op:
        batch_op.drop_column("lease")
        batch_op.drop_column("lease_until")
        batch_op.add_column(
            sa.Column("aside_until", sa.BigInteger(), nullable=False, server_default="0")
        )
    with op.batch_alter_table("tallies") as batch_op:
        batch_op.alter_column("aside_until", server_default=None)
    op.create_index(
        "ix_tallies_aside",
        "tallies",
        ["aside_until"],
        unique=False,
        sqlite_where=_ASIDE,
        postgresql_where=_ASIDE,
    )
    op.create_index("ix_recordings_oldest", "recordings", ["state", "uploaded_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_recordings_oldest", table_name="recordings")
    op.drop_index(
        "ix_tallies_aside",
        table_name="tallies",
        sqlite_where=_ASIDE,
        postgresql_where=_ASIDE,
    )
    with op.batch_alter_table("tallies") as batch_op:
        batch_op.drop_column("aside_until")
        batch_op.add_column(sa.Column("lease", sa.String(length=32), nullable=True))
        batch_op.add_column(
            sa.Column("lease_until", sa.BigInteger(), nullable=False, server_default="0")
        )
    with op.batch_alter_table("ranges") as batch_op:
        batch_op.drop_column("digest")
        batch_op.drop_column("batch")
        batch_op.drop_column("session")
        batch_op.add_column(sa.Column("sealed_seed", sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column("check_ciphertext", sa.LargeBinary(), nullable=True))
    with op.batch_alter_table("comparisons") as batch_op:
        batch_op.drop_index("ix_comparisons_batch")
        batch_op.drop_column("batch")
        batch_op.drop_column("session")
        batch_op.add_column(sa.Column("sealed_seed", sa.LargeBinary(), nullable=True))
    op.drop_table("comparison_batches")
    op.drop_table("comparison_sessions")
