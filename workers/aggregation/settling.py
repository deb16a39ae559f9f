"""Putting the answer of a batch in force: all of it in one transaction, once.

Every tally advances from the number before the batch to the last one in it, the recordings end,
the ranges are checked, and the batch is settled. Whoever comes second finds it settled and changes
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, or_, select, tuple_, update

from app.aggregator.recordings.lifecycle import mark_counted, mark_void
from app.aggregator.tables import ComparisonBatch, Range, RangeState, Tally, db
from app.common.database import changes_a_row, in_transaction
from crypto.comparison.batches import BatchName
from crypto.comparison.fast import Checked, Counted
from crypto.paillier import Ciphertext, PublicKey
from workers.aggregation import contents
from workers.aggregation.batches import row_of
from workers.aggregation.tallies import TallyName


class TallyInconsistent(Exception):
    """A tally or a recording is not as the batch found it: nothing was changed."""


@dataclass(frozen=True, slots=True)
class _Sum:
    """What a batch adds to a tally, with the numbers that it does so for."""

    first: int
    last: int
    contribution: Ciphertext


def settle(
    name: BatchName,
    key: PublicKey,
    outcomes: Sequence[Counted | Checked],
    told: Iterable[BatchName],
) -> bool:
    """Put a batch in force; False if it was already.

    Parameters
    ----------
    outcomes : what came out for each of its positions.
    told : the batches that the key holder knows to be settled, now that it has answered.

    Raises
    ------
    TallyInconsistent
    """
    counted = [one for one in outcomes if isinstance(one, Counted)]
    checked = [one for one in outcomes if isinstance(one, Checked)]
    sums = _sums(counted)
    known = tuple(told)

    def work() -> bool:
        # The tallies' locks come first, and in order: so no two batches wait for each other.
        held = _lock(key, sums)
        if not changes_a_row(
            db,
            update(ComparisonBatch)
            .where(row_of(name), ~ComparisonBatch.settled)
            .values(settled=True, request=None, lease=None),
        ):
            return False
        _advance(key, sums, held)
        _finish_recordings(name, counted)
        _finish_ranges(name, checked)
        _forget(known)
        return True

    return in_transaction(db, work)


def _sums(counted: Sequence[Counted]) -> dict[TallyName, _Sum]:
    """For each tally the product of its contributions, which come in the order of their numbers."""
    sums: dict[TallyName, _Sum] = {}
    for one in counted:
        at = one.position
        tally = TallyName(at.pseudonym, at.day)
        before = sums.get(tally)
        if before is None:
            sums[tally] = _Sum(at.number, at.number, one.contribution)
        elif at.number == before.last + 1:
            sums[tally] = _Sum(before.first, at.number, before.contribution.add(one.contribution))
        else:
            raise TallyInconsistent("The numbers of a tally have a gap in a batch.")
    return sums


def _lock(key: PublicKey, sums: dict[TallyName, _Sum]) -> dict[TallyName, tuple[int, bytes]]:
    if not sums:
        return {}
    rows = db.session.execute(
        select(Tally.pseudonym, Tally.day, Tally.recordings, Tally.ciphertext)
        .where(
            Tally.key_id == key.key_id,
            tuple_(Tally.pseudonym, Tally.day).in_([(at.pseudonym, at.day) for at in sums]),
        )
        .order_by(Tally.pseudonym, Tally.day)
        .with_for_update()
    )
    return {TallyName(row.pseudonym, row.day): (row.recordings, row.ciphertext) for row in rows}


def _advance(
    key: PublicKey, sums: dict[TallyName, _Sum], held: dict[TallyName, tuple[int, bytes]]
) -> None:
    rows = []
    for at, added in sums.items():
        recordings, ciphertext = held.get(at, (None, b""))
        if recordings != added.first - 1:
            raise TallyInconsistent("A tally is not at the number before the batch.")
        total = key.stored(ciphertext).add(added.contribution)
        rows.append(
            {
                "at_pseudonym": at.pseudonym,
                "at_day": at.day,
                "to_recordings": added.last,
                "to_ciphertext": total.to_bytes(),
            }
        )
    if rows:
        db.session.connection().execute(
            update(Tally)
            .where(
                Tally.pseudonym == bindparam("at_pseudonym"),
                Tally.day == bindparam("at_day"),
                Tally.key_id == key.key_id,
            )
            .values(
                recordings=bindparam("to_recordings"),
                ciphertext=bindparam("to_ciphertext"),
                aside_until=0,
            ),
            rows,
        )


def _finish_recordings(name: BatchName, counted: Sequence[Counted]) -> None:
    recordings = contents.recordings_of(name)
    if set(recordings) != {one.position for one in counted}:
        raise TallyInconsistent("The batch has other recordings than its request.")
    now = int(time.time())
    void = [recordings[one.position] for one in counted if one.void]
    rest = [recordings[one.position] for one in counted if not one.void]
    if not (mark_counted(rest, now) and mark_void(void, now)):
        raise TallyInconsistent("A numbered recording is not waiting to be counted.")


def _finish_ranges(name: BatchName, checked: Sequence[Checked]) -> None:
    """PROPOSED to CHECKED, or to REFUSED without a digest; one decided meanwhile stays decided."""
    for one in checked:
        state = RangeState.REFUSED if one.digest is None else RangeState.CHECKED
        changes_a_row(
            db,
            update(Range)
            .where(Range.id == one.position.range, Range.state == RangeState.PROPOSED)
            .values(state=state, digest=one.digest),
        )
    if checked:
        changes_a_row(
            db,
            update(Range)
            .where(Range.session == name.session, Range.batch == name.number)
            .values(session=None, batch=None),
        )


def _forget(told: Sequence[BatchName]) -> None:
    if told:
        db.session.execute(
            delete(ComparisonBatch).where(
                or_(*(row_of(name) for name in told)), ComparisonBatch.settled
            ),
            execution_options={"synchronize_session": False},
        )
