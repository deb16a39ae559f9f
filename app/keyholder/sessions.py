"""Sessions of comparisons at rest: each a sealed garbling offset, for a bounded number of them."""

from __future__ import annotations

import time

from app.common.problems import Problem
from app.keyholder.context import keyholder
from app.keyholder.tables import ComparisonBatch, ComparisonSession, db
from crypto.comparison.session import GarblerSession

LIFETIME_SECONDS = 30 * 86400
"""After which a session goes when another one is opened, if none of its answers is waited for."""


class SessionExists(Problem):
    """A session has this identifier."""

    slug = "session-exists"
    title = "A session has this identifier"
    status = 409


class SessionEnded(Problem):
    """The batch's session is unknown, ended or used up; nothing of the batch was served."""

    slug = "session-ended"
    title = "This session serves no more"
    status = 409


def add_session(session: GarblerSession) -> None:
    """Stores a session and sweeps those that are over, to be called in a transaction.

    Raises SessionExists.
    """
    if db.session.get(ComparisonSession, session.session, with_for_update=True) is not None:
        raise SessionExists("Open another one.")
    now = int(time.time())
    _sweep(now)
    sealed = keyholder().keys.storage.seal(session.to_bytes(), _context(session.session))
    db.session.add(
        ComparisonSession(session=session.session, sealed=sealed, comparisons=0, opened_at=now)
    )


def held_session(name: str) -> GarblerSession:
    """The session's secrets, to be called in a transaction, which holds it from now on.

    Raises:
        SessionEnded: there is none of this name, or it ended.
        SealBroken: it was sealed under another storage key.
    """
    row = db.session.get(ComparisonSession, name, with_for_update=True, populate_existing=True)
    if row is None or row.ended_at is not None:
        raise SessionEnded("Open a new session.")
    data = keyholder().keys.storage.unseal(row.sealed, _context(name))
    return GarblerSession.from_bytes(name, data)


def end_session(name: str) -> None:
    """The session serves nothing any more; answers that it gave stay."""
    db.session.execute(
        db.update(ComparisonSession)
        .where(ComparisonSession.session == name, ComparisonSession.ended_at.is_(None))
        .values(ended_at=int(time.time()))
    )


def _sweep(now: int) -> None:
    """Deletes sessions that ended or are old, unless A has yet to put an answer in force."""
    over = db.or_(
        ComparisonSession.ended_at.is_not(None),
        ComparisonSession.opened_at <= now - LIFETIME_SECONDS,
    )
    # One that is locked is serving a batch. What waits is read after the locks are there, so that
    # no answer is overlooked.
    locked = db.select(ComparisonSession.session).where(over).with_for_update(skip_locked=True)
    names = set(db.session.execute(locked).scalars())
    waiting = db.select(ComparisonBatch.session).where(
        ComparisonBatch.session.in_(names), ComparisonBatch.answer.is_not(None)
    )
    names -= set(db.session.execute(waiting).scalars())
    for table in (ComparisonBatch, ComparisonSession):
        db.session.execute(db.delete(table).where(table.session.in_(names)))


def _context(name: str) -> bytes:
    return f"comparison_sessions.sealed/{name}".encode("ascii")
