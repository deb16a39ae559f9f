"""Several keys a collector, recoveries, and the log, which begins with what is there."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NOTHING = "0" * 64


def upgrade() -> None:
    op.create_table(
        "collector_keys",
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("collector", sa.String(length=32), nullable=False),
        sa.Column("key_jwk", sa.String(length=512), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("rp_id", sa.String(length=255), nullable=True),
        sa.Column("message", sa.String(length=4096), nullable=False),
        sa.Column("added_by", sa.String(length=64), nullable=True),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["collector"], ["collectors.collector"]),
        sa.PrimaryKeyConstraint("thumbprint"),
    )
    with op.batch_alter_table("collector_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_collector_keys_collector"), ["collector"], unique=False)

    op.create_table(
        "recoveries",
        sa.Column("jti", sa.String(length=32), nullable=False),
        sa.Column("collector", sa.String(length=32), nullable=False),
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("recovery", sa.String(length=4096), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("completes_at", sa.BigInteger(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["collector"], ["collectors.collector"]),
        sa.PrimaryKeyConstraint("jti"),
    )
    with op.batch_alter_table("recoveries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recoveries_collector"), ["collector"], unique=False)

    op.create_table(
        "recovery_approvals",
        sa.Column("jti", sa.String(length=32), nullable=False),
        sa.Column("approver", sa.String(length=32), nullable=False),
        sa.Column("approval", sa.String(length=4096), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["jti"], ["recoveries.jti"]),
        sa.PrimaryKeyConstraint("jti", "approver"),
    )
    op.create_table(
        "log_entries",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("pseudonym", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("thumbprint", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("message_sha256", sa.String(length=64), nullable=False),
        sa.Column("cells", sa.BigInteger(), nullable=False),
        sa.Column("recordings", sa.BigInteger(), nullable=False),
        sa.Column("prev", sa.String(length=64), nullable=False),
        sa.Column("own_prev", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("log_entries", schema=None) as batch_op:
        batch_op.create_index("ix_log_entries_own", ["pseudonym", "seq"], unique=False)

    op.create_table(
        "log_head",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute(
        "INSERT INTO collector_keys (thumbprint, collector, key_jwk, type, message, added_at)"
        " SELECT thumbprint, collector, key_jwk, 'software', '', enrolled_at FROM collectors"
    )
    _begin_the_log()
    with op.batch_alter_table("collectors", schema=None) as batch_op:
        batch_op.drop_column("key_jwk")
    with op.batch_alter_table("grants", schema=None) as batch_op:
        for name, nullable in (("grant", False), ("revocation", True)):
            batch_op.alter_column(
                name,
                existing_type=sa.String(length=2048),
                type_=sa.String(length=4096),
                existing_nullable=nullable,
            )


def downgrade() -> None:
    with op.batch_alter_table("grants", schema=None) as batch_op:
        for name, nullable in (("grant", False), ("revocation", True)):
            batch_op.alter_column(
                name,
                existing_type=sa.String(length=4096),
                type_=sa.String(length=2048),
                existing_nullable=nullable,
            )
    # A collector goes back to its first key, if it is one that signs by itself and is in force.
    gone = (
        "SELECT collector FROM collectors WHERE thumbprint NOT IN (SELECT thumbprint FROM"
        " collector_keys WHERE type = 'software' AND revoked_at IS NULL)"
    )
    op.drop_table("recovery_approvals")
    op.drop_table("recoveries")
    op.execute(f"DELETE FROM grants WHERE patient IN ({gone}) OR doctor IN ({gone})")
    with op.batch_alter_table("collectors", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("key_jwk", sa.String(length=512), nullable=False, server_default="")
        )
    op.execute(
        "UPDATE collectors SET key_jwk = coalesce((SELECT key_jwk FROM collector_keys"
        " WHERE collector_keys.thumbprint = collectors.thumbprint AND type = 'software'"
        " AND revoked_at IS NULL), '')"
    )
    op.drop_table("collector_keys")
    op.execute("DELETE FROM collectors WHERE key_jwk = ''")
    with op.batch_alter_table("collectors", schema=None) as batch_op:
        batch_op.alter_column("key_jwk", server_default=None)
    op.drop_table("log_head")
    op.drop_table("log_entries")


def _begin_the_log() -> None:
    """An entry for every collector and for every grant in force, in the order of their times."""
    connection = op.get_bind()
    found = [
        (at, collector, thumbprint, "enrolment", thumbprint, "")
        for collector, thumbprint, at in connection.execute(
            sa.text("SELECT collector, thumbprint, enrolled_at FROM collectors")
        )
    ]
    first_keys = {collector: thumbprint for _, collector, thumbprint, *_ in found}
    found += [
        (at, patient, first_keys[patient], "grant", grant_id, token)
        for grant_id, patient, token, at in connection.execute(
            sa.text(
                'SELECT grant_id, patient, "grant", granted_at FROM grants WHERE revoked_at IS NULL'
            )
        )
        if patient in first_keys
    ]
    prev, own, rows = _NOTHING, {}, []
    for seq, (at, pseudonym, thumbprint, kind, subject, message) in enumerate(sorted(found), 1):
        entry = {
            "seq": seq,
            "at": at,
            "pseudonym": pseudonym,
            "actor": pseudonym,
            "thumbprint": thumbprint,
            "kind": kind,
            "subject": subject,
            "message_sha256": hashlib.sha256(message.encode()).hexdigest(),
            "cells": 0,
            "recordings": 0,
            "prev": prev,
            "own_prev": own.get(pseudonym, _NOTHING),
        }
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        prev = hashlib.sha256(b"hushbeat/log/v1\x00" + text.encode()).hexdigest()
        own[pseudonym] = prev
        rows.append({**entry, "hash": prev})
    if rows:
        table = sa.table("log_entries", *(sa.column(name) for name in rows[0]))
        connection.execute(sa.insert(table), rows)
        connection.execute(
            sa.text("INSERT INTO log_head (id, seq, hash) VALUES (1, :seq, :hash)"),
            {"seq": len(rows), "hash": prev},
        )
