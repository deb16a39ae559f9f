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


class Collector(Base):
    """A collector's pinned public key."""

    __tablename__ = "collectors"

    collector: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    key_jwk: Mapped[str] = mapped_column(String(512))
    thumbprint: Mapped[str] = mapped_column(String(64), unique=True)
    enrolled_at: Mapped[int]


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
    grant: Mapped[str] = mapped_column(String(2048))
    revocation: Mapped[str | None] = mapped_column(String(2048))
    granted_at: Mapped[int]
    revoked_at: Mapped[int | None]


class ServedTally(Base):
    """How many recordings of a (pseudonym, day) were served under a key, in order, without gaps."""

    __tablename__ = "served_tallies"

    pseudonym: Mapped[str] = mapped_column(String(32), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    served: Mapped[int] = mapped_column(default=0)


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
