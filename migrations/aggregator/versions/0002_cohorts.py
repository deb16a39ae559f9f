"""Cohorts: clinics' rosters and their members."""

import sqlalchemy as sa
from alembic import op

from app.common.migrate import CannotUpgrade

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _refuse_the_first_layout()
    op.create_table(
        "rosters",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("clinic_id", sa.Integer(), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("roster", sa.Text(), nullable=False),
        sa.Column("sealed_seed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["clinic_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("clinic_id", "month"),
    )
    op.create_table(
        "roster_members",
        sa.Column("roster_id", sa.String(length=32), nullable=False),
        sa.Column("pseudonym", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["roster_id"], ["rosters.id"]),
        sa.PrimaryKeyConstraint("roster_id", "pseudonym"),
    )


def downgrade() -> None:
    op.drop_table("roster_members")
    op.drop_table("rosters")


def _refuse_the_first_layout() -> None:
    """0001 once had two ciphertexts a report and three a range, and tallies of another layout.

    No tally can be brought over without opening it, so such a database stays as it is.
    """
    columns = sa.inspect(op.get_bind()).get_columns("recordings")
    if "findings" not in {column["name"] for column in columns}:
        raise CannotUpgrade(
            "This database is of an early version, whose counts, ranges and keys this version"
            " cannot use. Nothing in it was changed. Read its counts with the version that made"
            " it, and begin anew in another HUSHBEAT_HOME (or another database)."
        )
