"""What role B has served: each position once, the numbers of a patient's day in order, gapless.

A request's hash and its answer are stored before the answer is sent. The identical request gets
the stored answer; other content for the same position, or a number out of turn, is refused. The
tally's row is locked meanwhile, so that two processes cannot serve one number twice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from app.common.problems import Problem
from app.keyholder.tables import ComparisonAnswer, ServedTally, db
from crypto.comparison.messages import Position, RangePosition, RecordingPosition

RANGE_ANSWER_SECONDS = 30 * 86400
"""How long the answers of a range check are kept for a resend."""


class AlreadyServed(Problem):
    """The position was served with other content, or so long ago that the answer is gone."""

    slug = "position-already-served"
    title = "This position was served"
    status = 409


class OutOfOrder(Problem):
    """A number before this one, or the first round of this one, is still to be served."""

    slug = "position-out-of-order"
    title = "Not this position's turn"
    status = 409


@dataclass(frozen=True)
class Asked:
    """One item of a request, by its hashes."""

    key_id: str
    position: Position
    round: int
    digest: str
    first_digest: str
    """The hash of the item as it stands, or stood, in the first round."""
    gives_up: bool = False
    """A cannot compare the position and asks for its mask alone: the first round may be missing,
    or have been about what A cannot reproduce any more."""

    @property
    def name(self) -> str:
        """The position as the primary key of its answers."""
        return _name(self.key_id, self.position)


def recall(asked: Asked) -> bytes | None:
    """The stored answer of this very request, or None if its turn has come.

    Raises AlreadyServed or OutOfOrder.
    """
    # The answer is read last: if another process serves this very request between the two reads,
    # what speaks against it comes with its answer.
    refusal = _refusal(asked)
    row = db.session.get(ComparisonAnswer, (asked.name, asked.round))
    if row is not None:
        if row.request_sha256 != asked.digest:
            raise AlreadyServed("It was served with other content.")
        if row.answer is None:
            raise AlreadyServed("Its answer is gone, for later ones were asked for.")
        return row.answer
    if refusal is not None:
        raise refusal
    return None


def keep(asked: Asked, answer: bytes) -> bytes:
    """Stores the answer, to be called in a transaction; returns what is to be sent.

    That is the answer stored by somebody else if another process was faster with this request.

    Raises AlreadyServed or OutOfOrder: another process was faster with another request.
    """
    tally = None
    if isinstance(asked.position, RecordingPosition):
        tally = _lock_tally(asked.position, asked.key_id)
    known = recall(asked)
    if known is not None:
        return known
    now = int(time.time())
    db.session.add(
        ComparisonAnswer(
            position=asked.name,
            round=asked.round,
            request_sha256=asked.digest,
            answer=answer,
            kept_until=None if tally is not None else now + RANGE_ANSWER_SECONDS,
        )
    )
    if tally is not None and asked.round == 2:
        tally.served += 1
    _prune(asked, now)
    return answer


def range_is_served(range_id: str, pseudonym: str, key_id: str) -> bool:
    """Whether the check of this range was answered to the end."""
    name = _name(key_id, RangePosition(range_id, pseudonym))
    return db.session.get(ComparisonAnswer, (name, 2)) is not None


def _refusal(asked: Asked) -> Problem | None:
    """Why it is not this request's turn, unless it was answered before."""
    if isinstance(asked.position, RecordingPosition):
        refusal = _refuse_number(asked.position, asked.key_id)
        if refusal is not None:
            return refusal
    return _refuse_round(asked)


def _refuse_number(position: RecordingPosition, key_id: str) -> Problem | None:
    tally = db.session.get(ServedTally, (position.pseudonym, position.day, key_id))
    served = tally.served if tally is not None else 0
    if position.number <= served:
        return AlreadyServed("It was served without this round.")
    if position.number > served + 1:
        return OutOfOrder("A recording before it is still to be compared.")
    return None


def _refuse_round(asked: Asked) -> Problem | None:
    if asked.round == 1:
        if db.session.get(ComparisonAnswer, (asked.name, 2)) is not None:
            return AlreadyServed("It was given up.")
        return None
    if asked.gives_up:
        return None
    first = db.session.get(ComparisonAnswer, (asked.name, 1))
    if first is None:
        return OutOfOrder("Its first round is still to be asked for.")
    if first.request_sha256 != asked.first_digest:
        return AlreadyServed("Its first round had other content.")
    return None


def _lock_tally(position: RecordingPosition, key_id: str) -> ServedTally:
    key = (position.pseudonym, position.day, key_id)
    tally = db.session.get(ServedTally, key, with_for_update=True)
    if tally is None:
        tally = ServedTally(pseudonym=position.pseudonym, day=position.day, key_id=key_id, served=0)
        db.session.add(tally)
        db.session.flush()
    return tally


def _prune(asked: Asked, now: int) -> None:
    """Drops answers that nobody will ask for again; their hashes stay."""
    position = asked.position
    if isinstance(position, RecordingPosition):
        before = RecordingPosition(position.pseudonym, position.day, position.number - 1)
        old = ComparisonAnswer.position == _name(asked.key_id, before)
    else:
        old = ComparisonAnswer.kept_until < now
    db.session.execute(db.update(ComparisonAnswer).where(old).values(answer=None, kept_until=None))


def _name(key_id: str, position: Position) -> str:
    if isinstance(position, RecordingPosition):
        return f"recording|{position.pseudonym}|{position.day}|{key_id}|{position.number}"
    return f"range|{position.range}|{position.pseudonym}|{key_id}"
