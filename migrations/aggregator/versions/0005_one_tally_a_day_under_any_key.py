"""One tally a patient and day, whichever Paillier key it is under; moves to another key."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = "pseudonym, day, key_id, recordings, ciphertext, aside_until"


def upgrade() -> None:
    _rebuild("pseudonym", "day", more=(sa.Column("moving", sa.Boolean(), nullable=False),))
    op.create_index("ix_tallies_key_id", "tallies", ["key_id"])
    op.create_table(
        "key_moves",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("items", sa.Text(), nullable=False),
        sa.Column("sealed_seed", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("lease", sa.String(length=32), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    op.drop_table("key_moves")
    op.drop_index("ix_tallies_key_id", "tallies")
    _rebuild("pseudonym", "day", "key_id")


def _rebuild(*primary_key: str, more: tuple[sa.Column, ...] = ()) -> None:
    """Another primary key: SQLite changes none in place."""
    op.drop_index("ix_tallies_aside", "tallies")
    op.rename_table("tallies", "tallies_before")
    op.create_table(
        "tallies",
        sa.Column("pseudonym", sa.String(length=32), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("recordings", sa.Integer(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("aside_until", sa.BigInteger(), nullable=False),
        *more,
        sa.PrimaryKeyConstraint(*primary_key, name="tallies_by_" + "_".join(primary_key)),
    )
    names, values = (", moving", ", false") if more else ("", "")
    op.execute(f"INSERT INTO tallies ({_COLUMNS}{names}) SELECT {_COLUMNS}{values} FROM tallies_before")
    op.drop_table("tallies_before")
    op.create_index(
        "ix_tallies_aside",
        "tallies",
        ["aside_until"],
        sqlite_where=sa.text("aside_until > 0"),
        postgresql_where=sa.text("aside_until > 0"),
    )
