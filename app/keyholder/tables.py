"""Role B's tables: collectors, grants, served positions, openings and rosters, all by pseudonym.

No account, no stored result and no decrypted number is ever in here. Times are Unix seconds (UTC).
"""

from __future__ import annotations

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry


class Base(DeclarativeBase):
    """Declarative base of the key holder. Integers are 64 bits wide: times outlive 2038."""

    registry = registry(type_annotation_map={int: BigInteger})


db = SQLAlchemy(model_class=Base)

TOKEN_CHARS = 4096
"""The longest message of a collector that is kept; with a passkey's certificate it takes 1,700."""


class Collector(Base):
    """Who was enrolled. The thumbprint of the first key names the collector, in force or not."""

    __tablename__ = "collectors"

    collector: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    thumbprint: Mapped[str] = mapped_column(String(64), unique=True)
    enrolled_at: Mapped[int]


class CollectorKey(Base):
    """A public key of a collector: what its messages are verified with, until it is revoked."""

    __tablename__ = "collector_keys"

    thumbprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    collector: Mapped[str] = mapped_column(ForeignKey("collectors.collector"), index=True)
    key_jwk: Mapped[str] = mapped_column(String(512))
    type: Mapped[str] = mapped_column(String(16))
    rp_id: Mapped[str | None] = mapped_column(String(255))
    # What brought it here: A's enrolment, a device message by `added_by`, or a recovery.
    message: Mapped[str] = mapped_column(String(TOKEN_CHARS))
    added_by: Mapped[str | None] = mapped_column(String(64))
    added_at: Mapped[int]
    revoked_at: Mapped[int | None]


class Recovery(Base):
    """A new key that asks to become the only one of a collector; somebody approved it."""

    __tablename__ = "recoveries"

    jti: Mapped[str] = mapped_column(String(32), primary_key=True)
    collector: Mapped[str] = mapped_column(ForeignKey("collectors.collector"), index=True)
    thumbprint: Mapped[str] = mapped_column(String(64))
    recovery: Mapped[str] = mapped_column(String(TOKEN_CHARS))
    asked_at: Mapped[int]
    # NULL until it has the approvals that it takes; then the end of the delay.
    completes_at: Mapped[int | None]
    completed_at: Mapped[int | None]
    cancelled_at: Mapped[int | None]


class RecoveryApproval(Base):
    """Who vouched for a recovery: `aggregator`, or a doctor."""

    __tablename__ = "recovery_approvals"

    jti: Mapped[str] = mapped_column(ForeignKey("recoveries.jti"), primary_key=True)
    approver: Mapped[str] = mapped_column(String(32), primary_key=True)
    approval: Mapped[str] = mapped_column(String(TOKEN_CHARS))
    approved_at: Mapped[int]


class LogEntry(Base):
    """An entry of the log (`crypto.messages.LogEntry`) with its hash; nothing ever changes one."""

    __tablename__ = "log_entries"
    __table_args__ = (Index("ix_log_entries_own", "pseudonym", "seq"),)

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[int]
    pseudonym: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(String(32))
    thumbprint: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(64))
    message_sha256: Mapped[str] = mapped_column(String(64))
    cells: Mapped[int]
    recordings: Mapped[int]
    prev: Mapped[str] = mapped_column(String(64))
    own_prev: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class LogHead(Base):
    """The last entry, in one row: who appends locks it."""

    __tablename__ = "log_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))


class Grant(Base):
    """A grant signed by the owner; a revocation signed by the owner ends it."""

    __tablename__ = "grants"
    __table_args__ = (
        # One in force a patient and doctor's key, however many are signed and sent at once.
        Index(
            "uq_grants_in_force",
            "patient",
            "doctor",
            "doctor_thumbprint",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    grant_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    patient: Mapped[str] = mapped_column(String(32), index=True)
    doctor: Mapped[str] = mapped_column(String(32), index=True)
    doctor_thumbprint: Mapped[str] = mapped_column(String(64))
    use: Mapped[str] = mapped_column(String(16))
    grant: Mapped[str] = mapped_column(String(TOKEN_CHARS))
    revocation: Mapped[str | None] = mapped_column(String(TOKEN_CHARS))
    granted_at: Mapped[int]
    revoked_at: Mapped[int | None]


class ServedTally(Base):
    """How many recordings of a (pseudonym, day) were served under a key, in order, without gaps."""

    __tablename__ = "served_tallies"

    pseudonym: Mapped[str] = mapped_column(String(32), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    served: Mapped[int] = mapped_column(default=0)
    # SHA-256 of the request that moved it to another key: under this one it is closed.
    moved_by: Mapped[str | None] = mapped_column(String(64))


class ComparisonSession(Base):
    """A session of comparisons; swept once it is over and none of its answers is waited for."""

    __tablename__ = "comparison_sessions"

    session: Mapped[str] = mapped_column(String(32), primary_key=True)
    # `GarblerSession.to_bytes`, under the storage key.
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    comparisons: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[int]
    ended_at: Mapped[int | None]


class ComparisonBatch(Base):
    """A batch that was served: its answer, so that a resend gets the same bytes, until A has it."""

    __tablename__ = "comparison_batches"

    session: Mapped[str] = mapped_column(
        ForeignKey("comparison_sessions.session"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    request_sha256: Mapped[str] = mapped_column(String(64))
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    served_at: Mapped[int]


class RangeCheck(Base):
    """A range that was checked, once a key; A has the same digest exactly if the range is valid."""

    __tablename__ = "range_checks"

    range: Mapped[str] = mapped_column(String(32), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(32), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    # NULL where A could not have it compared: then it is never valid.
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    served_at: Mapped[int]


class SpentOpening(Base):
    """A used nonce of a statement; swept once it is expired and too old for the quota."""

    __tablename__ = "spent_openings"

    jti: Mapped[str] = mapped_column(String(32), primary_key=True)
    collector: Mapped[str] = mapped_column(String(32), index=True)
    recordings: Mapped[int]
    spent_at: Mapped[int] = mapped_column(index=True)
    expires_at: Mapped[int]


class Roster(Base):
    """A clinic's roster of a month, fixed once; opened once, or found too small for good."""

    __tablename__ = "rosters"
    __table_args__ = (UniqueConstraint("clinic", "month"),)

    roster_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    clinic: Mapped[str] = mapped_column(String(32))
    month: Mapped[str] = mapped_column(String(7))
    roster: Mapped[str] = mapped_column(Text)
    declared_at: Mapped[int]
    refused_at: Mapped[int | None]
    # Of the one opening: its statement, and the sealed answer for whoever sends that again.
    opened_at: Mapped[int | None]
    statement_sha256: Mapped[str | None] = mapped_column(String(64))
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    members: Mapped[int | None]
    recordings: Mapped[int | None]
    epsilon: Mapped[int | None]


class RosterMember(Base):
    """A patient of a roster. No patient's month is in two rosters, whoever's they are."""

    __tablename__ = "roster_members"
    __table_args__ = (UniqueConstraint("pseudonym", "month"),)

    roster_id: Mapped[str] = mapped_column(ForeignKey("rosters.roster_id"), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(32), primary_key=True)
    month: Mapped[str] = mapped_column(String(7))
    # Epsilon spent on the month, in thousandths; 0: opened without noise; NULL: not opened.
    epsilon: Mapped[int | None]
