"""Which recordings wait for which tally, and the locks that keep two workers off one tally.

At most one batch with recordings of a tally is unsettled at any time: so its numbers reach the key
holder in order, whatever becomes of other batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    exists,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import aliased

from app.aggregator.tables import Account, Comparison, Range, Recording, RecordingState, Tally, db
from crypto.paillier import PublicKey


@dataclass(frozen=True, slots=True, order=True)
class TallyName:
    """Whose recordings, of which local day; the Paillier key is known from where it stands."""

    pseudonym: str
    day: str


@dataclass(frozen=True, slots=True)
class WaitingRecording:
    """A recording that may be compared now; `number` is 0 unless it has one already."""

    recording: str
    tally: TallyName
    counted: int
    number: int
    age_band: str


def candidates(key_id: str, most: int) -> list[TallyName]:
    """Tallies of the oldest recordings that may be compared, as of now and without a lock."""
    rows = db.session.execute(oldest().where(Recording.key_id == key_id).limit(most))
    return sorted({TallyName(row.pseudonym, row.day) for row in rows})


def due_again(key_id: str, now: int) -> TallyName | None:
    """A tally that was left aside long enough, to be tried alone."""
    row = db.session.execute(due(now).where(Tally.key_id == key_id).limit(1)).one_or_none()
    return None if row is None else TallyName(row.pseudonym, row.day)


def oldest() -> Select[str, str]:
    """Tallies of recordings that may be compared, the oldest recording's first."""
    return (
        select(Recording.pseudonym, Recording.day)
        .outerjoin(Tally, _of_recording)
        .where(
            _reported,
            func.coalesce(Tally.aside_until, 0) == 0,
            func.coalesce(Tally.moving, false()) == false(),
            ~_under_another_key,
            ~in_flight,
        )
        .order_by(Recording.uploaded_at, Recording.id)
    )


def due(now: int) -> Select[str, str]:
    """Tallies that were left aside until now."""
    return (
        select(Tally.pseudonym, Tally.day)
        .where(
            _aside,
            Tally.aside_until <= now,
            ~Tally.moving,
            ~in_flight,
            exists().where(_reported, _of_recording),
        )
        .order_by(Tally.aside_until)
    )


def lock(key: PublicKey, names: Sequence[TallyName]) -> list[TallyName]:
    """Lock these tallies, made empty where there is none, but for those that somebody else has.

    Nor those that are under another key, or on their way to one. Part of a transaction.
    """
    if not names:
        return []
    known = {
        TallyName(row.pseudonym, row.day)
        for row in db.session.execute(select(Tally.pseudonym, Tally.day).where(_of(names)))
    }
    missing = sorted(set(names) - known)
    if missing:
        empty = {"key_id": key.key_id, "recordings": 0, "ciphertext": key.constant(0).to_bytes()}
        db.session.execute(
            insert(Tally),
            [{"pseudonym": name.pseudonym, "day": name.day, **empty} for name in missing],
        )
    locked = db.session.execute(
        select(Tally.pseudonym, Tally.day)
        .where(_among(key.key_id, names), ~Tally.moving)
        .order_by(Tally.pseudonym, Tally.day)
        .with_for_update(skip_locked=True)
    )
    return [TallyName(row.pseudonym, row.day) for row in locked]


def waiting(key_id: str, names: Sequence[TallyName], most: int) -> list[WaitingRecording]:
    """What waits for these tallies, which are locked: numbered ones first, then the oldest."""
    if not names or most <= 0:
        return []
    rows = db.session.execute(
        select(
            Recording.id,
            Recording.pseudonym,
            Recording.day,
            Tally.recordings,
            Comparison.number,
            Account.age_band,
        )
        .join(Tally, _of_recording)
        .join(Account, Account.id == Recording.account_id)
        .outerjoin(Comparison, Comparison.recording_id == Recording.id)
        .where(_reported, _among(key_id, names), ~_under_another_key, ~in_flight)
        .order_by(
            Comparison.number.is_(None),
            Comparison.number,
            Recording.uploaded_at,
            Recording.id,
        )
        .limit(most)
    )
    return [
        WaitingRecording(
            row.id,
            TallyName(row.pseudonym, row.day),
            row.recordings,
            row.number or 0,
            row.age_band,
        )
        for row in rows
    ]


def leave_aside(key_id: str, name: TallyName, until: int) -> None:
    """Compare nothing of this tally until then; part of a transaction."""
    db.session.execute(
        update(Tally).where(_among(key_id, [name])).values(aside_until=until),
        execution_options={"synchronize_session": False},
    )


def _among(key_id: str, names: Iterable[TallyName]) -> ColumnElement[bool]:
    return and_(Tally.key_id == key_id, _of(names))


def _of(names: Iterable[TallyName]) -> ColumnElement[bool]:
    return tuple_(Tally.pseudonym, Tally.day).in_([(name.pseudonym, name.day) for name in names])


_reported = Recording.state == RecordingState.REPORTED
# Written out, not bound: SQLite takes a partial index only for what it knows before it runs.
_aside = Tally.aside_until > literal_column("0")
_of_recording = and_(
    Tally.pseudonym == Recording.pseudonym,
    Tally.day == Recording.day,
    Tally.key_id == Recording.key_id,
)

_other = aliased(Tally)
_under_another_key = or_(
    exists().where(
        _other.pseudonym == Recording.pseudonym,
        _other.day == Recording.day,
        _other.key_id != Recording.key_id,
    ),
    exists().where(
        Range.pseudonym == Recording.pseudonym,
        Range.state == literal_column("'active'"),
        Range.key_id != Recording.key_id,
    ),
)
"""Whether a recording's tally, or the range in force, has still to be moved; or the recording."""

_assigned = aliased(Comparison)
in_flight = exists().where(
    _assigned.pseudonym == Tally.pseudonym,
    _assigned.day == Tally.day,
    _assigned.key_id == Tally.key_id,
    _assigned.number > Tally.recordings,
    _assigned.session.is_not(None),
)
"""Whether a batch has recordings of this tally that are not counted yet."""
