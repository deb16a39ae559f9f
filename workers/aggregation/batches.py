"""The row of a batch: its request, its lease, and how it is given up."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, delete, select, update

from app.aggregator.tables import Comparison, ComparisonBatch, Range, RangeState, db
from app.common.database import changes_a_row, in_transaction
from crypto.comparison.batches import BatchName
from crypto.comparison.parameters import MAX_ITEMS
from crypto.comparison.positions import Position, RangePosition, RecordingPosition
from workers.aggregation import sessions, tallies
from workers.aggregation.assigning import LeasedBatch
from workers.aggregation.tallies import TallyName


def row_of(name: BatchName) -> ColumnElement[bool]:
    """The condition that finds the batch's row."""
    return (ComparisonBatch.session == name.session) & (ComparisonBatch.number == name.number)


def request_of(name: BatchName) -> bytes | None:
    """The request that was stored, and perhaps sent; None if there is none."""
    request: bytes | None = db.session.scalar(select(ComparisonBatch.request).where(row_of(name)))
    db.session.rollback()
    return request


def keep_request(leased: LeasedBatch, request: bytes, now: int, seconds: int) -> bool:
    """Store what will be sent; the lease begins anew. False if the batch is somebody else's.

    Only a request that was stored here is ever sent: a batch's number must not be used for two.
    """

    def work() -> bool:
        return changes_a_row(
            db,
            update(ComparisonBatch)
            .where(
                row_of(leased.name),
                ComparisonBatch.lease == leased.token,
                ComparisonBatch.request.is_(None),
                ~ComparisonBatch.settled,
            )
            .values(request=request, lease_until=now + seconds),
        )

    return in_transaction(db, work)


def postpone(leased: LeasedBatch, until: int) -> None:
    """Let somebody take the batch over from then on."""

    def work() -> None:
        changes_a_row(
            db,
            update(ComparisonBatch)
            .where(row_of(leased.name), ComparisonBatch.lease == leased.token)
            .values(lease_until=until),
        )

    in_transaction(db, work)


def is_ours(leased: LeasedBatch) -> bool:
    """Whether nobody else has taken the batch over, or put it in force."""
    row = db.session.execute(_ours(leased)).first()
    db.session.rollback()
    return row is not None


def settled_names() -> list[BatchName]:
    """Batches whose answers are in force, and whose answers the key holder still keeps."""
    rows = db.session.execute(
        select(ComparisonBatch.session, ComparisonBatch.number)
        .where(ComparisonBatch.settled)
        .order_by(ComparisonBatch.session, ComparisonBatch.number)
        .limit(MAX_ITEMS)
    ).all()
    db.session.rollback()
    return [BatchName(row.session, row.number) for row in rows]


def assign_anew(leased: LeasedBatch, *, ended: bool) -> None:
    """Nothing of this batch was served: its positions are for another one, and its row goes.

    `ended`: no further batch of its session either.
    """

    def work() -> None:
        if ended:
            sessions.end(leased.name.session)
        _dissolve(leased)

    in_transaction(db, work)


def set_aside(leased: LeasedBatch, key_id: str, refused: Position, until: int) -> None:
    """As `assign_anew`, but for the position that the key holder refused.

    Its tally is left aside until then. A range that was checked before, with an answer that is
    lost, can never be: it ends REFUSED.
    """

    def work() -> None:
        if not _dissolve(leased):
            return
        if isinstance(refused, RecordingPosition):
            tallies.leave_aside(key_id, TallyName(refused.pseudonym, refused.day), until)
        else:
            _refuse(refused)

    in_transaction(db, work)


def end_session(name: BatchName) -> None:
    """No further batch of this one's session."""
    in_transaction(db, lambda: sessions.end(name.session))


def _dissolve(leased: LeasedBatch) -> bool:
    """False if the batch is somebody else's by now, or in force."""
    if db.session.execute(_ours(leased).with_for_update()).first() is None:
        return False
    for table in (Comparison, Range):
        changes_a_row(
            db,
            update(table)
            .where(table.session == leased.name.session, table.batch == leased.name.number)
            .values(session=None, batch=None),
        )
    db.session.execute(
        delete(ComparisonBatch).where(row_of(leased.name)),
        execution_options={"synchronize_session": False},
    )
    return True


def _ours(leased: LeasedBatch) -> Select[int]:
    return select(ComparisonBatch.number).where(
        row_of(leased.name), ComparisonBatch.lease == leased.token, ~ComparisonBatch.settled
    )


def _refuse(check: RangePosition) -> None:
    changes_a_row(
        db,
        update(Range)
        .where(Range.id == check.range, Range.state == RangeState.PROPOSED)
        .values(state=RangeState.REFUSED),
    )
