"""What role B has served: each position once, the numbers of a patient's day in order, gapless.

A batch is served whole or not at all. Its hash and its answer are stored before the answer is sent:
the identical request gets the stored answer, another one under the same name is refused. What a
batch changes is locked meanwhile, the session first and then its tallies in their order, so that
two processes can neither serve a position twice nor wait for each other.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import tuple_

from app.common.problems import Problem
from app.keyholder.sessions import SessionEnded
from app.keyholder.tables import ComparisonBatch, ComparisonSession, RangeCheck, ServedTally, db
from crypto.comparison.batches import BatchName, BatchRequest
from crypto.comparison.parameters import RANGE_COMPARATORS
from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.comparison.session import MAX_COMPARISONS
from crypto.keyholder.fast import Served
from crypto.slots import ZONES


class BatchAlreadyServed(Problem):
    """A batch of this name was served with other content, or its answer is gone."""

    slug = "batch-already-served"
    title = "This batch was served"
    status = 409


class AlreadyServed(Problem):
    """The position was served in another batch, or its tally has moved to another key."""

    slug = "position-already-served"
    title = "This position was served"
    status = 409


class OutOfOrder(Problem):
    """A number before this one is still to be served."""

    slug = "position-out-of-order"
    title = "Not this position's turn"
    status = 409


@dataclass(frozen=True)
class Batch:
    """A request of role A and the hash of its bytes."""

    request: BatchRequest
    sha256: str


def recall(batch: Batch) -> bytes | None:
    """The stored answer of this very request, or None if it may be served.

    Raises BatchAlreadyServed, SessionEnded, AlreadyServed or OutOfOrder; the last two name the
    position by the member `item`.
    """
    return _stored_or_refused(batch, _State(batch.request, lock=False))


def keep(batch: Batch, served: Served) -> bytes:
    """Stores what was computed, to be called in a transaction; returns what is to be sent.

    That is the answer stored by somebody else if another process was faster with this request.

    Raises as `recall`: another process was faster with another request.
    """
    request = batch.request
    state = _State(request, lock=True)
    known = _stored_or_refused(batch, state)
    if known is not None:
        return known
    now = int(time.time())
    _forget(request.settled)
    db.session.add(
        ComparisonBatch(
            session=request.name.session,
            number=request.name.number,
            request_sha256=batch.sha256,
            answer=served.answer,
            served_at=now,
        )
    )
    state.advance(served, now)
    return served.answer


def range_digest(range_id: str, pseudonym: str, key_id: str) -> bytes | None:
    """What shows a range to be valid, or None if it was never compared."""
    row = db.session.get(RangeCheck, (range_id, pseudonym, key_id))
    return row.digest if row is not None else None


def _stored_or_refused(batch: Batch, state: _State) -> bytes | None:
    # The answer is read last: if another process serves this very request between the two reads,
    # what speaks against it comes with its answer.
    refusal = state.refusal()
    name = batch.request.name
    row = db.session.get(ComparisonBatch, (name.session, name.number))
    if row is not None:
        if row.request_sha256 != batch.sha256:
            raise BatchAlreadyServed("It was served with other content.")
        if row.answer is None:
            raise BatchAlreadyServed("Its answer is gone, for it was said to be settled.")
        return row.answer
    if refusal is not None:
        raise refusal
    return None


class _State:
    """The rows that a request is held against, locked or not."""

    def __init__(self, request: BatchRequest, *, lock: bool) -> None:
        self._request = request
        self._session = db.session.get(
            ComparisonSession, request.name.session, with_for_update=lock
        )
        self._tallies = self._read_tallies(lock)
        self._ranges = self._read_ranges()

    def refusal(self) -> Problem | None:
        """Why the request may not be served."""
        session = self._session
        if session is None or session.ended_at is not None:
            return SessionEnded("Open a new session.")
        if session.comparisons + _comparisons(self._request) > MAX_COMPARISONS:
            return SessionEnded("It is used up: open a new session.")
        served = {day: tally.served for day, tally in self._tallies.items()}
        moved = {day for day, tally in self._tallies.items() if tally.moved_by is not None}
        for item, position in enumerate(self._request.positions):
            if isinstance(position, RangePosition):
                if position.range in self._ranges:
                    return AlreadyServed("This range was checked.", item=item)
                continue
            before = served.get(_day(position), 0)
            if position.number <= before or _day(position) in moved:
                return AlreadyServed("This recording was compared.", item=item)
            if position.number > before + 1:
                return OutOfOrder("A recording before it is still to be compared.", item=item)
            served[_day(position)] = position.number
        return None

    def advance(self, served: Served, now: int) -> None:
        """Marks every position of the request served, once `refusal` found nothing."""
        if self._session is None:
            raise SessionEnded("Open a new session.")
        self._session.comparisons += _comparisons(self._request)
        key_id = self._request.key_id
        for position in sorted(self._recordings(), key=lambda p: (*_day(p), p.number)):
            tally = self._tallies.get(_day(position))
            if tally is None:
                tally = ServedTally(
                    pseudonym=position.pseudonym, day=position.day, key_id=key_id, served=0
                )
                self._tallies[_day(position)] = tally
                db.session.add(tally)
            tally.served = position.number
        for check in self._checks():
            db.session.add(
                RangeCheck(
                    range=check.range,
                    pseudonym=check.pseudonym,
                    key_id=key_id,
                    digest=served.digests.get(check),
                    served_at=now,
                )
            )

    def _read_tallies(self, lock: bool) -> dict[tuple[str, str], ServedTally]:
        days = {_day(position) for position in self._recordings()}
        query = (
            db.select(ServedTally)
            .where(
                tuple_(ServedTally.pseudonym, ServedTally.day).in_(sorted(days)),
                ServedTally.key_id == self._request.key_id,
            )
            .order_by(ServedTally.pseudonym, ServedTally.day)
        )
        rows = db.session.execute(query.with_for_update() if lock else query).scalars()
        return {(row.pseudonym, row.day): row for row in rows}

    def _read_ranges(self) -> set[str]:
        names = {check.range for check in self._checks()}
        query = db.select(RangeCheck.range).where(
            RangeCheck.range.in_(names), RangeCheck.key_id == self._request.key_id
        )
        return set(db.session.execute(query).scalars())

    def _recordings(self) -> list[RecordingPosition]:
        return [p for p in self._request.positions if isinstance(p, RecordingPosition)]

    def _checks(self) -> list[RangePosition]:
        return [p for p in self._request.positions if isinstance(p, RangePosition)]


def _day(position: RecordingPosition) -> tuple[str, str]:
    return position.pseudonym, position.day


def _comparisons(request: BatchRequest) -> int:
    return ZONES * len(request.compared) + RANGE_COMPARATORS * len(request.checked)


def _forget(settled: tuple[BatchName, ...]) -> None:
    """Drops the answers that A has put in force; their hashes stay as long as their session."""
    names = sorted({(name.session, name.number) for name in settled})
    if not names:
        return
    query = (
        db.select(ComparisonBatch)
        .where(tuple_(ComparisonBatch.session, ComparisonBatch.number).in_(names))
        .order_by(ComparisonBatch.session, ComparisonBatch.number)
        .with_for_update()
    )
    for row in db.session.execute(query).scalars():
        row.answer = None
