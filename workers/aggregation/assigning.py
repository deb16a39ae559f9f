"""What is compared next: a batch that somebody left, or a new one of all that waits.

A new batch is decided in one transaction: which positions under which numbers, which range holds
for each, and which session and number the batch has. Nothing waits for more to come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, insert, select, update

from app.aggregator.tables import (
    Comparison,
    ComparisonBatch,
    Range,
    RangeState,
    db,
)
from app.common.database import changes_a_row, in_transaction
from crypto.comparison.batches import BatchName
from crypto.comparison.parameters import MAX_ITEMS, RANGE_COMPARATORS
from crypto.encoding import new_id
from crypto.paillier import PublicKey
from crypto.slots import ZONES
from workers.aggregation import sessions, tallies
from workers.aggregation.tallies import TallyName, WaitingRecording

MOST_RANGES = 32
"""Range checks in one batch: each costs as much as some ten recordings."""

ASIDE_SECONDS = 60
"""How long a tally is left aside once the key holder refused its next position."""


@dataclass(frozen=True, slots=True)
class LeasedBatch:
    """A batch that this worker is about to bring to its end."""

    name: BatchName
    token: str


def take_over(now: int, seconds: int) -> LeasedBatch | None:
    """Lease a batch whose lease ran out, the one that waited longest."""
    left = _left(now).limit(1)
    if db.session.execute(left).first() is None:
        db.session.rollback()
        return None

    def work() -> LeasedBatch | None:
        row = db.session.execute(left.with_for_update(skip_locked=True)).first()
        if row is None:
            return None
        leased = LeasedBatch(BatchName(row.session, row.number), new_id())
        changes_a_row(
            db,
            update(ComparisonBatch)
            .where(ComparisonBatch.session == row.session, ComparisonBatch.number == row.number)
            .values(lease=leased.token, lease_until=now + seconds),
        )
        return leased

    return in_transaction(db, work)


def assign(key: PublicKey, now: int, seconds: int) -> LeasedBatch | None:
    """Reserve a batch of what waits, at most 256 positions; None if nothing does.

    Raises SessionNeeded: nothing was changed.
    """
    again = tallies.due_again(key.key_id, now)
    if again is not None and (alone := _assign(key, [again], [], now, seconds)):
        return alone
    names = tallies.candidates(key.key_id, MAX_ITEMS)
    proposed = list(
        db.session.scalars(_proposed().where(Range.key_id == key.key_id).limit(MOST_RANGES))
    )
    db.session.rollback()
    return _assign(key, names, proposed, now, seconds) if names or proposed else None


def anything_waits(now: int) -> bool:
    """Whether a worker would find something to do, whichever Paillier key is active."""
    try:
        return any(
            db.session.execute(query.limit(1)).first() is not None
            for query in (_left(now), tallies.oldest(), tallies.due(now), _proposed())
        )
    finally:
        db.session.rollback()


def _assign(
    key: PublicKey, names: Sequence[TallyName], proposed: Sequence[str], now: int, seconds: int
) -> LeasedBatch | None:
    def work() -> LeasedBatch | None:
        # Locked, then read: what another worker assigned meanwhile is seen.
        locked = tallies.lock(key, names)
        ranges = db.session.scalars(
            _proposed().where(Range.id.in_(proposed)).with_for_update(skip_locked=True)
        ).all()
        recordings = tallies.waiting(key.key_id, locked, MAX_ITEMS - len(ranges))
        if not ranges and not recordings:
            return None
        cost = ZONES * len(recordings) + RANGE_COMPARATORS * len(ranges)
        leased = LeasedBatch(sessions.reserve(key.key_id, cost), new_id())
        db.session.add(
            ComparisonBatch(
                session=leased.name.session,
                number=leased.name.number,
                lease=leased.token,
                lease_until=now + seconds,
            )
        )
        _put_recordings(key.key_id, recordings, leased.name)
        changes_a_row(
            db,
            update(Range)
            .where(Range.id.in_(ranges))
            .values(session=leased.name.session, batch=leased.name.number),
        )
        return leased

    return in_transaction(db, work)


def _put_recordings(key_id: str, recordings: Sequence[WaitingRecording], name: BatchName) -> None:
    """Number the new ones after those that have a number, and note the batch of all."""
    in_force = _ranges_in_force(key_id, {one.tally.pseudonym for one in recordings})
    numbers: dict[TallyName, int] = {}
    rows = []
    for one in recordings:
        number = one.number or numbers.get(one.tally, one.counted) + 1
        numbers[one.tally] = number
        if not one.number:
            rows.append(
                {
                    "recording_id": one.recording,
                    "pseudonym": one.tally.pseudonym,
                    "day": one.tally.day,
                    "key_id": key_id,
                    "number": number,
                    "range_id": in_force.get(one.tally.pseudonym),
                    "age_band": one.age_band,
                    "session": name.session,
                    "batch": name.number,
                }
            )
    changes_a_row(
        db,
        update(Comparison)
        .where(Comparison.recording_id.in_([one.recording for one in recordings if one.number]))
        .values(session=name.session, batch=name.number),
    )
    if rows:
        db.session.execute(insert(Comparison), rows)


def _ranges_in_force(key_id: str, pseudonyms: set[str]) -> dict[str, str]:
    rows = db.session.execute(
        select(Range.pseudonym, Range.id).where(
            Range.pseudonym.in_(pseudonyms),
            Range.state == RangeState.ACTIVE,
            Range.key_id == key_id,
        )
    )
    return {row.pseudonym: row.id for row in rows}


def _left(now: int) -> Select[str, int]:
    return (
        select(ComparisonBatch.session, ComparisonBatch.number)
        .where(~ComparisonBatch.settled, ComparisonBatch.lease_until <= now)
        .order_by(ComparisonBatch.lease_until, ComparisonBatch.session, ComparisonBatch.number)
    )


def _proposed() -> Select[str]:
    """Ranges that wait for their check, oldest first."""
    return (
        select(Range.id)
        .where(Range.state == RangeState.PROPOSED, Range.session.is_(None))
        .order_by(Range.created_at, Range.id)
    )
