"""What an operator sees: queues, workers, rates and failures, and nothing about a patient."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import func, select

from app.aggregator.keyholder_client import KeyholderUnavailable
from app.aggregator.services import services
from app.aggregator.tables import (
    Range,
    RangeState,
    Recording,
    RecordingState,
    Tally,
    WorkerSighting,
    db,
)
from app.common.database import in_transaction
from app.common.problems import InvalidRequest

WORKER_KINDS = ("inference", "aggregation", "sweeper")
GONE_SECONDS = 120
"""A worker that was not heard of for so long is shown as gone."""

FORGOTTEN_SECONDS = 24 * 3600
"""A worker that was not heard of for so long is shown no more."""

HOUR = 3600
DAY = 24 * HOUR
_ENDS = (RecordingState.COUNTED, RecordingState.UNREADABLE, RecordingState.FAILED)
_MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class Waiting:
    """Recordings in one state, and for how many seconds the oldest of them has been on its way."""

    state: RecordingState
    recordings: int
    oldest_seconds: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why recordings ended otherwise than counted within the last day, and how many."""

    state: RecordingState
    reason: str
    recordings: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process as it was last heard of."""

    name: str
    kind: str
    ready: bool
    gone: bool
    seen_seconds: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The operator's page.

    Attributes:
        waiting: QUEUED, LEASED and REPORTED recordings.
        ranges_waiting: proposed ranges whose bounds are not compared yet.
        left_to_move: tallies, ranges in force and reports under a Paillier key that was retired.
        uploaded_last_hour, finished_last_hour: recordings.
        finished_last_day: recordings by their last state.
        failures: of the last day, most frequent first.
        workers: by kind and name.
        keyholder_available: whether the key holder answered lately.
    """

    waiting: tuple[Waiting, ...]
    ranges_waiting: int
    left_to_move: int
    uploaded_last_hour: int
    finished_last_hour: int
    finished_last_day: dict[RecordingState, int]
    failures: tuple[Failure, ...]
    workers: tuple[Worker, ...]
    keyholder_available: bool


def overview() -> Overview:
    """The present state of everything that an operator looks after."""
    now = int(time.time())
    return Overview(
        waiting=_waiting(now),
        ranges_waiting=_number(
            select(func.count()).select_from(Range).where(Range.state == RangeState.PROPOSED)
        ),
        left_to_move=_left_to_move(),
        uploaded_last_hour=_number(
            select(func.count()).select_from(Recording).where(Recording.uploaded_at > now - HOUR)
        ),
        finished_last_hour=_number(
            select(func.count()).select_from(Recording).where(Recording.finished_at > now - HOUR)
        ),
        finished_last_day=_finished(now),
        failures=_failures(now),
        workers=_workers(now),
        keyholder_available=_keyholder_available(),
    )


def record_sighting(name: str, kind: str, ready: bool, now: int) -> None:
    """Notes that a worker process is there. Raises InvalidRequest for a bad name or kind."""
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise InvalidRequest(f"A worker's name has 1 to {_MAX_NAME} printable characters.")
    if kind not in WORKER_KINDS:
        raise InvalidRequest(f"kind is one of {', '.join(WORKER_KINDS)}.")

    def work() -> None:
        row = db.session.get(WorkerSighting, name) or WorkerSighting(name=name)
        row.kind, row.ready, row.seen_at = kind, ready, now
        db.session.add(row)

    in_transaction(db, work)


def _waiting(now: int) -> tuple[Waiting, ...]:
    rows = db.session.execute(
        select(Recording.state, func.count(), func.min(Recording.uploaded_at))
        .where(Recording.state.not_in(_ENDS))
        .group_by(Recording.state)
    )
    found = {state: (number, now - oldest) for state, number, oldest in rows}
    return tuple(
        Waiting(state, *found.get(state, (0, 0))) for state in RecordingState if state not in _ENDS
    )


def _finished(now: int) -> dict[RecordingState, int]:
    rows = db.session.execute(
        select(Recording.state, func.count())
        .where(Recording.finished_at > now - DAY)
        .group_by(Recording.state)
    )
    found = {row[0]: int(row[1]) for row in rows}
    return {state: found.get(state, 0) for state in _ENDS}


def _failures(now: int) -> tuple[Failure, ...]:
    rows = db.session.execute(
        select(Recording.state, Recording.reason, func.count())
        .where(Recording.finished_at > now - DAY, Recording.reason.is_not(None))
        .group_by(Recording.state, Recording.reason)
        .order_by(func.count().desc(), Recording.reason)
    )
    return tuple(
        Failure(RecordingState(state), reason or "", number) for state, reason, number in rows
    )


def _workers(now: int) -> tuple[Worker, ...]:
    rows = db.session.scalars(
        select(WorkerSighting)
        .where(WorkerSighting.seen_at > now - FORGOTTEN_SECONDS)
        .order_by(WorkerSighting.kind, WorkerSighting.name)
    )
    return tuple(
        Worker(
            name=row.name,
            kind=row.kind,
            ready=row.ready,
            gone=row.seen_at <= now - GONE_SECONDS,
            seen_seconds=max(0, now - row.seen_at),
        )
        for row in rows
    )


def _left_to_move() -> int:
    try:
        key_id = services().keyholder.manifest().active_key.key_id
    except KeyholderUnavailable:
        return 0
    return sum(
        _number(select(func.count()).where(*which))
        for which in (
            (Tally.key_id != key_id,),
            (Range.key_id != key_id, Range.state == RangeState.ACTIVE),
            (Recording.key_id != key_id, Recording.state == RecordingState.REPORTED),
        )
    )


def _keyholder_available() -> bool:
    try:
        services().keyholder.manifest(refresh=True)
    except KeyholderUnavailable:
        return False
    return services().keyholder.answered


def _number(query: object) -> int:
    return int(db.session.scalar(query) or 0)  # type: ignore[call-overload]
