"""Cohorts: rosters and their members, and what a grant is for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("grants", schema=None) as batch_op:
        # What was granted before there were clinics was granted to doctors.
        batch_op.add_column(
            sa.Column("use", sa.String(length=16), nullable=False, server_default="counts")
        )
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.alter_column("use", server_default=None)

    op.create_table(
        "rosters",
        sa.Column("roster_id", sa.String(length=32), nullable=False),
        sa.Column("clinic", sa.String(length=32), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("roster", sa.Text(), nullable=False),
        sa.Column("declared_at", sa.BigInteger(), nullable=False),
        sa.Column("refused_at", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("statement_sha256", sa.String(length=64), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("members", sa.BigInteger(), nullable=True),
        sa.Column("recordings", sa.BigInteger(), nullable=True),
        sa.Column("epsilon", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("roster_id"),
        sa.UniqueConstraint("clinic", "month"),
    )
    op.create_table(
        "roster_members",
        sa.Column("roster_id", sa.String(length=32), nullable=False),
        sa.Column("pseudonym", sa.String(length=32), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("epsilon", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["roster_id"], ["rosters.roster_id"]),
        sa.PrimaryKeyConstraint("roster_id", "pseudonym"),
        sa.UniqueConstraint("pseudonym", "month"),
    )


def downgrade() -> None:
    op.drop_table("roster_members")
    op.drop_table("rosters")
    # What was granted to a clinic would open counts without its use: it ends with it.
    op.execute("DELETE FROM grants WHERE use <> 'counts'")
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.drop_column("use")
