"""Several keys an account, devices that wait for approval, recoveries."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "collector_keys",
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("key_jwk", sa.String(length=512), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("rp_id", sa.String(length=255), nullable=True),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.Column("message", sa.String(length=4096), nullable=True),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("thumbprint"),
    )
    with op.batch_alter_table("collector_keys", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_collector_keys_account_id"), ["account_id"], unique=False
        )
    op.execute(
        "INSERT INTO collector_keys (thumbprint, account_id, key_jwk, type, label, added_at)"
        " SELECT thumbprint, id, key_jwk, 'software', '', created_at FROM accounts"
        " WHERE thumbprint IS NOT NULL"
    )
    op.create_table(
        "device_requests",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("key_jwk", sa.String(length=512), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.Column("device", sa.String(length=4096), nullable=True),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("account_id", "thumbprint"),
    )
    op.create_table(
        "recoveries",
        sa.Column("jti", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("recovery", sa.String(length=4096), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("jti"),
    )
    with op.batch_alter_table("recoveries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recoveries_account_id"), ["account_id"], unique=False)

    op.create_table(
        "recovery_approvals",
        sa.Column("jti", sa.String(length=32), nullable=False),
        sa.Column("approver", sa.String(length=32), nullable=False),
        sa.Column("approval", sa.String(length=4096), nullable=False),
        sa.ForeignKeyConstraint(["jti"], ["recoveries.jti"]),
        sa.PrimaryKeyConstraint("jti", "approver"),
    )
    _resize_tokens(2048, 4096)


def downgrade() -> None:
    _resize_tokens(4096, 2048)
    op.drop_table("recovery_approvals")
    op.drop_table("recoveries")
    op.drop_table("device_requests")
    op.drop_table("collector_keys")


def _resize_tokens(before: int, after: int) -> None:
    with op.batch_alter_table("consents", schema=None) as batch_op:
        for name, nullable in (("grant", False), ("revocation", True)):
            batch_op.alter_column(
                name,
                existing_type=sa.String(length=before),
                type_=sa.String(length=after),
                existing_nullable=nullable,
            )
