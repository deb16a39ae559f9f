"""Tallies that were moved to another Paillier key."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("served_tallies", schema=None) as batch_op:
        batch_op.add_column(sa.Column("moved_by", sa.String(length=64), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("served_tallies", schema=None) as batch_op:
        batch_op.drop_column("moved_by")
