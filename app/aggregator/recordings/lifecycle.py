"""The states of a recording, and every change between them.

    queued <-> leased -> reported -> counted
       |          |          `-----> failed      (it cannot be compared)
       |          `-----> unreadable, failed     (the worker's report)
       `-----> failed                            (quarantined: every attempt was used up)
    failed -> queued                             (see `uploads`: its owner sends it again)

Each function is one transaction that changes the row only while it is in the state that the change
starts from (`UPDATE ... WHERE state = ...`), so that whatever is redelivered, killed or done twice,
a recording is finished exactly once. Times are Unix seconds. Two functions, `mark_counted` and
`mark_void`, belong to the transaction that advances the tallies and leave the commit to it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    and_,
    case,
    or_,
    select,
    update,
)

from app.aggregator.tables import Recording, RecordingState, db
from app.common.database import changes_a_row, in_transaction
from app.common.problems import InvalidRequest, NotFound, Problem
from crypto.encoding import new_id
from crypto.messages import FailedReport, ReadableReport, Report, UnreadableReport

WAITING_STATES = (RecordingState.QUEUED, RecordingState.LEASED)
"""States in which the sealed recording is still needed."""

QUARANTINED = "quarantined"
SEALED_BROKEN = "sealed_broken"

NOT_COMPARABLE = "not_comparable"

_REASON = re.compile(r"[a-z_]{1,32}")
_MOST_ANNOUNCED = 200
"""How many messages one sweep sends at most, so that a long queue does not fill the broker."""


class UnknownRecording(NotFound):
    """No recording of that id."""


class RecordingTaken(Problem):
    """Another worker holds the recording."""

    slug = "recording-taken"
    title = "Another worker holds this recording"
    status = 409


class RecordingFinished(Problem):
    """The recording needs no worker any more."""

    slug = "recording-finished"
    title = "This recording needs no worker any more"
    status = 410


class LeaseLost(Problem):
    """The lease is not the one that holds the recording."""

    slug = "lease-lost"
    title = "The lease has ended"
    status = 409


class ReportConflict(Problem):
    """The recording has another report already."""

    slug = "report-conflict"
    title = "This recording has another report"
    status = 409


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's hold on a recording; `attempt`, from 1, is the one that fetching begins."""

    recording: str
    pseudonym: str
    lease: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a report; `replayed` if the same one had been accepted before."""

    state: RecordingState
    sealed_sha256: str
    replayed: bool


def lease(recording_id: str, now: int, lease_seconds: int, max_attempts: int) -> Lease:
    """Gives a waiting recording to a worker for a while: QUEUED, or LEASED and expired, to LEASED.

    That is no attempt yet: the answer may be lost. A recording that used up its attempts ends
    FAILED here, `quarantined`.

    Raises:
        UnknownRecording, RecordingTaken, RecordingFinished.
    """
    token = new_id()
    free = and_(
        Recording.id == recording_id,
        or_(Recording.state == RecordingState.QUEUED, _expired(now)),
    )

    def work() -> Lease | RecordingState | None:
        taken = db.session.execute(
            update(Recording)
            .where(free, Recording.attempts < max_attempts)
            .values(
                state=RecordingState.LEASED,
                lease=token,
                lease_until=now + lease_seconds,
                begun=False,
            )
            .returning(Recording.pseudonym, Recording.attempts),
            execution_options={"synchronize_session": False},
        ).one_or_none()
        if taken is not None:
            return Lease(recording_id, taken.pseudonym, token, taken.attempts + 1)
        changes_a_row(
            db,
            update(Recording)
            .where(free, Recording.attempts >= max_attempts)
            .values(
                state=RecordingState.FAILED,
                reason=QUARANTINED,
                finished_at=now,
                lease=None,
                lease_until=0,
            ),
        )
        return _state(recording_id)

    outcome = in_transaction(db, work)
    if isinstance(outcome, Lease):
        return outcome
    if outcome is None:
        raise UnknownRecording("There is no recording of that id.")
    if outcome in WAITING_STATES:
        raise RecordingTaken("Leave it to the worker that holds it.")
    raise RecordingFinished(f"It is {outcome.value}.", state=outcome.value)


def begin(recording_id: str, token: str) -> str:
    """Counts the attempt of a lease whose holder asks for the blob, however often it asks.

    Returns:
        The SHA-256 of the sealed bytes, in hex: the rest of the blob's name.

    Raises:
        UnknownRecording, LeaseLost.
    """

    def work() -> str | None:
        held = and_(
            Recording.id == recording_id,
            Recording.state == RecordingState.LEASED,
            Recording.lease == token,
        )
        changes_a_row(
            db,
            update(Recording)
            .where(held, ~Recording.begun)
            .values(begun=True, attempts=Recording.attempts + 1),
        )
        sealed_sha256: str | None = db.session.scalar(select(Recording.sealed_sha256).where(held))
        if sealed_sha256 is None and _state(recording_id) is None:
            raise UnknownRecording("There is no recording of that id.")
        return sealed_sha256

    found = in_transaction(db, work)
    if found is None:
        raise LeaseLost("Leave it to the worker that holds it.")
    return found


def release(recording_id: str, token: str) -> bool:
    """Gives a lease and its attempt, if it was begun, back: LEASED to QUEUED.

    False if the lease held nothing.
    """

    def work() -> bool:
        return changes_a_row(
            db,
            update(Recording)
            .where(
                Recording.id == recording_id,
                Recording.state == RecordingState.LEASED,
                Recording.lease == token,
            )
            .values(
                state=RecordingState.QUEUED,
                lease=None,
                lease_until=0,
                attempts=Recording.attempts - case((Recording.begun, 1), else_=0),
            ),
        )

    return in_transaction(db, work)


def accept_report(report: Report, report_sha256: str, now: int) -> Accepted:
    """Takes a verified report: LEASED to REPORTED, UNREADABLE or FAILED.

    A lease that expired still counts while nobody else took the recording.

    Args:
        report: its signature, key id and ciphertexts were checked by the caller.
        report_sha256: of the report's JWS, in hex: what tells a replay from another report.

    Raises:
        UnknownRecording, LeaseLost, ReportConflict: as their names say.
        InvalidRequest: a reason that is no `[a-z_]{1,32}`.
    """
    values = _outcome(report, now) | {
        "report_sha256": report_sha256,
        "announced_at": now,
        "lease": None,
        "lease_until": 0,
    }

    def work() -> Accepted:
        changed = changes_a_row(
            db,
            update(Recording)
            .where(
                Recording.id == report.recording,
                Recording.pseudonym == report.pseudonym,
                Recording.state == RecordingState.LEASED,
                Recording.lease == report.lease,
            )
            .values(**values),
        )
        row = db.session.execute(
            select(Recording.state, Recording.sealed_sha256, Recording.report_sha256).where(
                Recording.id == report.recording, Recording.pseudonym == report.pseudonym
            )
        ).one_or_none()
        if row is None:
            raise UnknownRecording("There is no recording of that id and pseudonym.")
        if row.report_sha256 == report_sha256:
            return Accepted(RecordingState(row.state), row.sealed_sha256, replayed=not changed)
        if row.report_sha256 is not None:
            raise ReportConflict("The first report stands.")
        raise LeaseLost("Another worker has this recording, or it has ended.")

    return in_transaction(db, work)


def requeue_expired(now: int, patience: int) -> list[str]:
    """LEASED and expired to QUEUED. Returns the recordings to announce to the inference workers.

    These are the ones just freed, and those QUEUED that nobody took within `patience` seconds of
    their last message, oldest first.
    """

    def work() -> list[str]:
        changes_a_row(
            db,
            update(Recording)
            .where(_expired(now))
            .values(state=RecordingState.QUEUED, lease=None, lease_until=0, announced_at=0),
        )
        return _to_announce(now, patience)

    return in_transaction(db, work)


def mark_counted(recordings: Sequence[str], now: int) -> bool:
    """REPORTED to COUNTED, and their ciphertexts are gone; part of the caller's transaction.

    False if one of them was not REPORTED: then the caller must add none to the tallies.
    """
    return _finish_comparison(recordings, RecordingState.COUNTED, None, now)


def mark_void(recordings: Sequence[str], now: int) -> bool:
    """REPORTED to FAILED, as they cannot be compared; otherwise like `mark_counted`."""
    return _finish_comparison(recordings, RecordingState.FAILED, NOT_COMPARABLE, now)


def _finish_comparison(
    recordings: Sequence[str], state: RecordingState, reason: str | None, now: int
) -> bool:
    if not recordings:
        return True
    changed: CursorResult[Any] = db.session.execute(
        update(Recording)
        .where(Recording.id.in_(recordings), Recording.state == RecordingState.REPORTED)
        .values(state=state, reason=reason, finished_at=now, findings=None),
        execution_options={"synchronize_session": False},
    )  # type: ignore[assignment]
    return changed.rowcount == len(recordings)


def _outcome(report: Report, now: int) -> dict[str, Any]:
    match report:
        case ReadableReport():
            return {
                "state": RecordingState.REPORTED,
                "model": report.model,
                "key_id": report.key_id,
                "findings": report.findings,
            }
        case UnreadableReport(reason=reason):
            state = RecordingState.UNREADABLE
        case FailedReport(reason=reason):
            state = RecordingState.FAILED
        case _:
            raise InvalidRequest("A report is readable, unreadable or failed.")
    if not _REASON.fullmatch(reason):
        raise InvalidRequest("A reason is 1 to 32 lower-case letters and underscores.")
    return {"state": state, "reason": reason, "finished_at": now}


def _expired(now: int) -> ColumnElement[bool]:
    return and_(Recording.state == RecordingState.LEASED, Recording.lease_until <= now)


def _to_announce(now: int, patience: int) -> list[str]:
    ids: Sequence[str] = db.session.scalars(
        select(Recording.id)
        .where(Recording.state == RecordingState.QUEUED, Recording.announced_at <= now - patience)
        .order_by(Recording.uploaded_at, Recording.id)
        .limit(_MOST_ANNOUNCED)
    ).all()
    if ids:
        changes_a_row(db, update(Recording).where(Recording.id.in_(ids)).values(announced_at=now))
    return list(ids)


def _state(recording_id: str) -> RecordingState | None:
    state = db.session.scalar(select(Recording.state).where(Recording.id == recording_id))
    return None if state is None else RecordingState(state)
