"""Sessions with the key holder: opened when there is none with room, sealed at rest.

Several workers share a session. A batch's number is reserved by `reserve` in the transaction that
fills the batch, and used for one request only.
"""

from __future__ import annotations

from sqlalchemy import delete, exists, select, update

from app.aggregator.services import services
from app.aggregator.tables import ComparisonBatch, ComparisonSession, db
from app.common.database import changes_a_row, in_transaction
from crypto.comparison.batches import BatchName
from crypto.comparison.session import MAX_COMPARISONS, EvaluatorSession, SessionOpener


class SessionNeeded(Exception):
    """No session of this key has room for another batch: open one."""


def reserve(key_id: str, comparisons: int) -> BatchName:
    """The next batch of a live session, counted against its room; part of a transaction.

    Raises SessionNeeded.
    """
    has_room = (
        (ComparisonSession.key_id == key_id)
        & ~ComparisonSession.ended
        & (ComparisonSession.comparisons + comparisons <= MAX_COMPARISONS)
    )
    newest = (
        select(ComparisonSession.session)
        .where(has_room)
        .order_by(ComparisonSession.opened_at.desc(), ComparisonSession.session)
        .limit(1)
    )
    reserved = db.session.execute(
        update(ComparisonSession)
        .where(ComparisonSession.session == newest.scalar_subquery(), has_room)
        .values(
            next_batch=ComparisonSession.next_batch + 1,
            comparisons=ComparisonSession.comparisons + comparisons,
        )
        .returning(ComparisonSession.session, ComparisonSession.next_batch),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if reserved is None:
        raise SessionNeeded
    return BatchName(reserved.session, reserved.next_batch - 1)


def open_session(key_id: str, now: int) -> None:
    """Open a session for this key, and remove those that are over.

    Raises
    ------
    KeyholderUnavailable, KeyholderRefused : there is none; it can be tried again.
    CryptoError : an answer that is not one.
    """
    opener = SessionOpener()
    keep(opener.session(services().keyholder.open_session(opener.request())), key_id, now)


def keep(session: EvaluatorSession, key_id: str, now: int) -> None:
    """Store a session, sealed; those that ended and have no batch left are removed."""
    name = session.session
    sealed = services().secrets.storage_key.seal(session.to_bytes(), _context(name))

    def work() -> None:
        has_batches = exists().where(ComparisonBatch.session == ComparisonSession.session)
        db.session.execute(delete(ComparisonSession).where(ComparisonSession.ended, ~has_batches))
        db.session.add(ComparisonSession(session=name, key_id=key_id, sealed=sealed, opened_at=now))

    in_transaction(db, work)


def evaluator(name: str) -> tuple[EvaluatorSession, str]:
    """A session's secrets, and the key that it is for.

    Raises SealBroken: sealed under another storage key than ours.
    """
    row = db.session.execute(
        select(ComparisonSession.sealed, ComparisonSession.key_id).where(
            ComparisonSession.session == name
        )
    ).one()
    db.session.rollback()
    secret = services().secrets.storage_key.unseal(row.sealed, _context(name))
    return EvaluatorSession.from_bytes(name, secret), row.key_id


def end(name: str) -> None:
    """No batch of this session is reserved any more; part of a transaction."""
    changes_a_row(
        db,
        update(ComparisonSession).where(ComparisonSession.session == name).values(ended=True),
    )


def _context(name: str) -> bytes:
    return b"comparison_sessions.sealed/" + name.encode("ascii")
