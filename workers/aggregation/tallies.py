"""A tally's lease and its numbered positions: what is decided before anything is sent.

A position (pseudonym, day, key, number) is written with its seed and its range before the first
message, and taken up again by whoever finds it: everything that is sent derives from that row.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, select, update

from app.aggregator.tables import (
    Account,
    Comparison,
    Range,
    RangeState,
    Recording,
    RecordingState,
    Tally,
    db,
)
from app.common.database import changes_a_row, in_transaction
from crypto.at_rest import StorageKey
from crypto.encoding import new_id
from crypto.errors import SealBroken
from crypto.paillier import PublicKey


@dataclass(frozen=True, slots=True)
class TallyName:
    """Whose recordings, of which local day, under which Paillier key."""

    pseudonym: str
    day: str
    key_id: str

    @property
    def row(self) -> ColumnElement[bool]:
        """The condition that finds the tally's row."""
        return (
            (Tally.pseudonym == self.pseudonym)
            & (Tally.day == self.day)
            & (Tally.key_id == self.key_id)
        )

    @property
    def waiting(self) -> ColumnElement[bool]:
        """The condition that finds its recordings that are not counted yet."""
        return (
            (Recording.state == RecordingState.REPORTED)
            & (Recording.pseudonym == self.pseudonym)
            & (Recording.day == self.day)
            & (Recording.key_id == self.key_id)
        )


@dataclass(frozen=True, slots=True, repr=False)
class AssignedPosition:
    """The recording that is a tally's next, and all that its comparison depends on.

    `bounds` is None where the defaults of `age_band` hold, `seed` where it cannot be unsealed any
    more: then the position can only be given up.
    """

    recording: str
    number: int
    report: bytes
    bounds: bytes | None
    age_band: str
    seed: bytes | None

    def __repr__(self) -> str:
        return "AssignedPosition"


def tally_of(recording_id: str) -> TallyName | None:
    """The tally that a REPORTED recording belongs to; None if it is in another state."""
    row = db.session.execute(
        select(Recording.pseudonym, Recording.day, Recording.key_id).where(
            Recording.id == recording_id, Recording.state == RecordingState.REPORTED
        )
    ).one_or_none()
    db.session.rollback()
    return TallyName(row.pseudonym, row.day, row.key_id) if row and row.key_id else None


def first_waiting(tally: TallyName) -> str | None:
    """A recording that still waits for this tally."""
    waiting: str | None = db.session.scalar(select(Recording.id).where(tally.waiting).limit(1))
    db.session.rollback()
    return waiting


def take(tally: TallyName, key: PublicKey, now: int, seconds: int) -> str | None:
    """Lease a tally, made empty if there is none; None while another worker holds it."""
    token = new_id()

    def work() -> bool:
        if not db.session.scalar(select(exists().where(tally.row))):
            db.session.add(
                Tally(
                    pseudonym=tally.pseudonym,
                    day=tally.day,
                    key_id=tally.key_id,
                    recordings=0,
                    ciphertext=key.constant(0).to_bytes(),
                )
            )
            db.session.flush()
        return changes_a_row(
            db,
            update(Tally)
            .where(tally.row, Tally.lease_until <= now)
            .values(lease=token, lease_until=now + seconds),
        )

    return token if in_transaction(db, work) else None


def give_back(tally: TallyName, token: str) -> None:
    """End a lease; nothing happens if another worker has the tally by now."""

    def work() -> None:
        changes_a_row(
            db,
            update(Tally).where(tally.row, Tally.lease == token).values(lease=None, lease_until=0),
        )

    in_transaction(db, work)


def next_position(
    tally: TallyName, token: str, storage_key: StorageKey, now: int, seconds: int
) -> AssignedPosition | None:
    """The position to play now, assigned if it is new; the lease begins anew with it.

    None when nothing waits or the lease was lost.
    """

    def work() -> AssignedPosition | None:
        # Also takes the row's lock: two workers never assign at the same time.
        if not changes_a_row(
            db,
            update(Tally).where(tally.row, Tally.lease == token).values(lease_until=now + seconds),
        ):
            return None
        counted = db.session.scalar(select(Tally.recordings).where(tally.row)) or 0
        comparison = db.session.scalar(
            select(Comparison).where(
                Comparison.pseudonym == tally.pseudonym,
                Comparison.day == tally.day,
                Comparison.key_id == tally.key_id,
                Comparison.number == counted + 1,
            )
        )
        if comparison is None:
            comparison = _assign(tally, counted + 1, storage_key)
        return None if comparison is None else _read(comparison, storage_key)

    return in_transaction(db, work)


def _assign(tally: TallyName, number: int, storage_key: StorageKey) -> Comparison | None:
    """Give the oldest waiting recording this number, with a new seed and the range in force."""
    recording = db.session.scalar(
        select(Recording)
        .where(tally.waiting)
        .order_by(Recording.uploaded_at, Recording.id)
        .limit(1)
    )
    if recording is None:
        return None
    account = db.session.get_one(Account, recording.account_id)
    in_force = db.session.scalar(
        select(Range.id).where(
            Range.pseudonym == tally.pseudonym,
            Range.state == RangeState.ACTIVE,
            Range.key_id == tally.key_id,
        )
    )
    comparison = Comparison(
        recording_id=recording.id,
        pseudonym=tally.pseudonym,
        day=tally.day,
        key_id=tally.key_id,
        number=number,
        range_id=in_force,
        age_band=account.age_band,
        sealed_seed=storage_key.seal(secrets.token_bytes(32), _seed_context(recording.id)),
    )
    db.session.add(comparison)
    db.session.flush()
    return comparison


def _read(comparison: Comparison, storage_key: StorageKey) -> AssignedPosition:
    recording = db.session.get_one(Recording, comparison.recording_id)
    chosen = db.session.get_one(Range, comparison.range_id) if comparison.range_id else None
    return AssignedPosition(
        recording=recording.id,
        number=comparison.number,
        report=recording.findings or b"",
        bounds=chosen.bounds if chosen else None,
        age_band=comparison.age_band,
        seed=_seed(comparison, storage_key),
    )


def _seed(comparison: Comparison, storage_key: StorageKey) -> bytes | None:
    context = _seed_context(comparison.recording_id)
    try:
        return storage_key.unseal(comparison.sealed_seed or b"", context)
    except SealBroken:
        return None


def _seed_context(recording_id: str) -> bytes:
    return b"comparisons.sealed_seed/" + recording_id.encode()
