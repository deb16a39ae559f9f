"""Role A's tables: accounts, consents, recordings, ciphertexts of results, ranges and tallies.

No column of this file ever holds a score, a heart rate, a verdict or a count in plaintext.
Times are Unix seconds (UTC); identifiers are 32 hex digits; `day` is the patient's local day.
"""

from __future__ import annotations

from enum import StrEnum

from flask_login import UserMixin
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
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Declarative base of the aggregator."""


db = SQLAlchemy(model_class=Base)

TOKEN_CHARS = 4096
"""The longest message of a collector that is kept, but for healthy ranges."""


class AccountKind(StrEnum):
    PATIENT = "patient"
    DOCTOR = "doctor"
    CLINIC = "clinic"
    OPERATOR = "operator"


class RecordingState(StrEnum):
    """Every state that a recording can be in; the last three are final."""

    QUEUED = "queued"
    LEASED = "leased"
    REPORTED = "reported"
    COUNTED = "counted"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class RangeState(StrEnum):
    """PROPOSED -> CHECKED (compared) -> ACTIVE or REFUSED; an ACTIVE one ends REPLACED."""

    PROPOSED = "proposed"
    CHECKED = "checked"
    ACTIVE = "active"
    REFUSED = "refused"
    REPLACED = "replaced"


class Account(UserMixin, Base):  # type: ignore[misc]
    """A person who logs in. `collector` is the pseudonym that the key holder knows."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(64), unique=True)
    display_name: Mapped[str] = mapped_column(String(80))
    password_hash: Mapped[str] = mapped_column(String(255))
    kind: Mapped[AccountKind] = mapped_column(String(16))
    age_band: Mapped[str] = mapped_column(String(16), default="adult")
    collector: Mapped[str] = mapped_column(String(32), unique=True)
    key_jwk: Mapped[str | None] = mapped_column(String(512))
    thumbprint: Mapped[str | None] = mapped_column(String(64), unique=True)
    doctor_code: Mapped[str | None] = mapped_column(String(19), unique=True)
    # Shared by the browsers that are logged in; renewed by logging out and by another password.
    session_id: Mapped[str] = mapped_column(String(32), unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger)

    def get_id(self) -> str:
        """What Flask-Login keeps in the session cookie."""
        return self.session_id


class ApiToken(Base):
    """A bearer token of a program; only its SHA-256 is kept."""

    __tablename__ = "api_tokens"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    expires_at: Mapped[int] = mapped_column(BigInteger)
    account: Mapped[Account] = relationship()


class CollectorKey(Base):
    """A public key of an account's devices, the first one included: the key holder has the same."""

    __tablename__ = "collector_keys"

    thumbprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    key_jwk: Mapped[str] = mapped_column(String(512))
    type: Mapped[str] = mapped_column(String(16))
    rp_id: Mapped[str | None] = mapped_column(String(255))
    # What its owner calls the device; the first one has no name.
    label: Mapped[str] = mapped_column(String(40), default="")
    # The signed message that brought it, so that the chain from the first key can be checked.
    message: Mapped[str | None] = mapped_column(String(TOKEN_CHARS))
    added_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)


class DeviceRequest(Base):
    """A key that waits until an older device of the account signs for it."""

    __tablename__ = "device_requests"
    __table_args__ = (UniqueConstraint("account_id", "thumbprint"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    thumbprint: Mapped[str] = mapped_column(String(64))
    key_jwk: Mapped[str] = mapped_column(String(512))
    type: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(String(40))
    device: Mapped[str | None] = mapped_column(String(TOKEN_CHARS))
    requested_at: Mapped[int] = mapped_column(BigInteger)


class Recovery(Base):
    """A new key that asks to replace all others of an account; relayed, the key holder decides."""

    __tablename__ = "recoveries"

    jti: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    thumbprint: Mapped[str] = mapped_column(String(64))
    recovery: Mapped[str] = mapped_column(String(TOKEN_CHARS))
    requested_at: Mapped[int] = mapped_column(BigInteger)
    # Cancelled, complete, or begun anew.
    ended_at: Mapped[int | None] = mapped_column(BigInteger)
    account: Mapped[Account] = relationship()


class RecoveryApproval(Base):
    """Who vouched for a recovery: `aggregator`, or a doctor's collector."""

    __tablename__ = "recovery_approvals"

    jti: Mapped[str] = mapped_column(ForeignKey("recoveries.jti"), primary_key=True)
    approver: Mapped[str] = mapped_column(String(32), primary_key=True)
    approval: Mapped[str] = mapped_column(String(TOKEN_CHARS))


class Recording(Base):
    """A sealed recording on its way. The row is the truth, a Celery message is a hint."""

    __tablename__ = "recordings"
    __table_args__ = (
        Index("ix_recordings_state", "state", "lease_until"),
        # Those that wait for something, oldest first.
        Index("ix_recordings_oldest", "state", "uploaded_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    pseudonym: Mapped[str] = mapped_column(String(32), index=True)
    day: Mapped[str] = mapped_column(String(10))
    state: Mapped[RecordingState] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(32))
    sealed_sha256: Mapped[str] = mapped_column(String(64))
    sealed_bytes: Mapped[int] = mapped_column(BigInteger)
    uploaded_at: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    # When a message about this row was last sent to the workers; the sweeper sends it again later.
    announced_at: Mapped[int] = mapped_column(BigInteger, default=0)
    # Inference lease: who works on it, until when, whether its holder began to fetch the blob, and
    # how often somebody began.
    lease: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[int] = mapped_column(BigInteger, default=0)
    begun: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    # The report; the ciphertext goes to NULL once counted, the hash stays to know a replay.
    report_sha256: Mapped[str | None] = mapped_column(String(64))
    model: Mapped[str | None] = mapped_column(String(128))
    key_id: Mapped[str | None] = mapped_column(String(64))
    findings: Mapped[bytes | None] = mapped_column(LargeBinary)


class Comparison(Base):
    """A position (pseudonym, day, number) that the aggregator compares with the key holder.

    Written when its batch is reserved: the range and the age band that hold are those of that
    moment. Without a session and a batch it is to be assigned to one anew, under the same number.
    """

    __tablename__ = "comparisons"
    __table_args__ = (
        UniqueConstraint("pseudonym", "day", "key_id", "number"),
        Index("ix_comparisons_batch", "session", "batch"),
    )

    recording_id: Mapped[str] = mapped_column(ForeignKey("recordings.id"), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(32))
    day: Mapped[str] = mapped_column(String(10))
    key_id: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]
    range_id: Mapped[str | None] = mapped_column(ForeignKey("ranges.id"))
    age_band: Mapped[str] = mapped_column(String(16))
    session: Mapped[str | None] = mapped_column(String(32))
    batch: Mapped[int | None]


class ComparisonSession(Base):
    """The aggregator's half, sealed, of a session with the key holder.

    A batch's number is taken from `next_batch` in the transaction that fills the batch, so that
    none is ever used for two requests.
    """

    __tablename__ = "comparison_sessions"

    session: Mapped[str] = mapped_column(String(32), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    next_batch: Mapped[int] = mapped_column(default=0)
    comparisons: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[int] = mapped_column(BigInteger)
    ended: Mapped[bool] = mapped_column(default=False)


class ComparisonBatch(Base):
    """A reserved batch: its lease, and its request as it is, or was, sent.

    Once its answer is in force the request is gone, and the row stays until the key holder was
    told so.
    """

    __tablename__ = "comparison_batches"

    session: Mapped[str] = mapped_column(
        ForeignKey("comparison_sessions.session"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    request: Mapped[bytes | None] = mapped_column(LargeBinary)
    lease: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[int] = mapped_column(BigInteger, default=0)
    settled: Mapped[bool] = mapped_column(default=False)


class Tally(Base):
    """Enc(counts + mask) of one patient and day; `recordings` is how many it holds.

    There is one whichever Paillier key it is under, so that nothing is counted under two.
    """

    __tablename__ = "tallies"
    __table_args__ = (
        Index(
            "ix_tallies_aside",
            "aside_until",
            sqlite_where=text("aside_until > 0"),
            postgresql_where=text("aside_until > 0"),
        ),
    )

    pseudonym: Mapped[str] = mapped_column(String(32), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(64), index=True)
    recordings: Mapped[int] = mapped_column(default=0)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    # Not 0 once the key holder refused its next position: until then it is left aside, and after
    # that it is compared alone.
    aside_until: Mapped[int] = mapped_column(BigInteger, default=0)
    # On its way to another key: nothing is compared for it meanwhile.
    moving: Mapped[bool] = mapped_column(default=False)


class KeyMove(Base):
    """What is on its way from a retired Paillier key to the active one: one row, `id` 1, or none.

    `items` names the tallies, ranges and recordings (`workers.aggregation.moving`); the masks
    follow from the seed. The request is stored before it is sent, and sent until it is answered.
    """

    __tablename__ = "key_moves"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(64))
    items: Mapped[str] = mapped_column(Text)
    sealed_seed: Mapped[bytes] = mapped_column(LargeBinary)
    request: Mapped[bytes | None] = mapped_column(LargeBinary)
    lease: Mapped[str] = mapped_column(String(32))
    lease_until: Mapped[int] = mapped_column(BigInteger)


class Consent(Base):
    """A patient's grant to a doctor: the signed grant, and the signed revocation that ended it."""

    __tablename__ = "consents"
    __table_args__ = (
        # One in force a patient and doctor, whose key is pinned: one a key as well.
        Index(
            "uq_consents_in_force",
            "patient_id",
            "doctor_id",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    grant_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    doctor_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    grant: Mapped[str] = mapped_column(String(TOKEN_CHARS))
    revocation: Mapped[str | None] = mapped_column(String(TOKEN_CHARS))
    granted_at: Mapped[int] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    patient: Mapped[Account] = relationship(foreign_keys=[patient_id])
    doctor: Mapped[Account] = relationship(foreign_keys=[doctor_id])


class Range(Base):
    """A healthy range made in a doctor's browser: one ciphertext of its bounds."""

    __tablename__ = "ranges"
    __table_args__ = (
        # One range in force a patient, whatever two doctors decide at the same moment.
        Index(
            "uq_ranges_active",
            "pseudonym",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(32), index=True)
    doctor_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    state: Mapped[RangeState] = mapped_column(String(16))
    key_id: Mapped[str] = mapped_column(String(64))
    bounds: Mapped[bytes] = mapped_column(LargeBinary)
    proposal: Mapped[str] = mapped_column(String(8192))
    created_at: Mapped[int] = mapped_column(BigInteger)
    # The batch that checks it, while it does; then what came out, 32 bytes that are the key
    # holder's exactly if the range is valid.
    session: Mapped[str | None] = mapped_column(String(32))
    batch: Mapped[int | None]
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    doctor: Mapped[Account] = relationship()


class WorkerSighting(Base):
    """When a worker was last heard of, for the operator's page."""

    __tablename__ = "worker_sightings"

    name: Mapped[str] = mapped_column(String(120), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    ready: Mapped[bool]
    seen_at: Mapped[int] = mapped_column(BigInteger)


class Roster(Base):
    """A clinic's roster of a month, signed by the clinic and fixed at the key holder as well."""

    __tablename__ = "rosters"
    __table_args__ = (UniqueConstraint("clinic_id", "month"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    clinic_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    month: Mapped[str] = mapped_column(String(7))
    roster: Mapped[str] = mapped_column(Text)
    # Of this role's share of the noise: every statement about the roster draws the same.
    sealed_seed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[int] = mapped_column(BigInteger)


class RosterMember(Base):
    """A patient of a roster; the key holder sees to it that no month of a patient is in two."""

    __tablename__ = "roster_members"

    roster_id: Mapped[str] = mapped_column(ForeignKey("rosters.id"), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(32), primary_key=True)
