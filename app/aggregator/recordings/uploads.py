"""Uploads: a stored recording becomes a row, QUEUED, once however often it is sent.

What becomes of the row afterwards is in `lifecycle`. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exists, func, select, update

from app.aggregator.recordings.lifecycle import QUARANTINED, SEALED_BROKEN, WAITING_STATES
from app.aggregator.tables import Account, Comparison, Recording, RecordingState, db
from app.common.database import changes_a_row, in_transaction
from app.common.problems import Problem

MENDABLE = (SEALED_BROKEN, QUARANTINED)
"""Reasons of FAILED that another upload of the same recording may mend: it may have been damaged on
its way, or its workers."""


class RecordingExists(Problem):
    """The recording id was used before with other bytes."""

    slug = "recording-exists"
    title = "This recording was uploaded before"
    status = 409


class TooManyWaiting(Problem):
    """The account has as much waiting for the workers as it may."""

    slug = "too-many-waiting"
    title = "Too many recordings are waiting"
    status = 429
    retry_after = 15


@dataclass(frozen=True, slots=True)
class Upload:
    """A sealed recording that was stored: whose, of which local day, and which bytes."""

    recording: str
    account_id: int
    pseudonym: str
    day: str
    sealed_sha256: str
    sealed_bytes: int


@dataclass(frozen=True, slots=True)
class WaitingLimits:
    """How many recordings, and sealed bytes, of one account may wait for the workers."""

    recordings: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A recording's row after an upload, and whether this upload made it QUEUED."""

    state: RecordingState
    day: str
    created: bool


def register_upload(upload: Upload, now: int, limits: WaitingLimits) -> Registered:
    """Makes the row of a stored recording, QUEUED, or finds that it is there already.

    One that FAILED for a reason that another upload may mend is QUEUED again, with these bytes.

    Raises:
        RecordingExists: under this id lie other bytes, or another account's.
        TooManyWaiting: the account must wait until its other recordings were judged.
    """

    def work() -> Registered:
        # Uploads of one account are registered one after the other, so that together they keep the
        # limits.
        db.session.execute(
            select(Account.id).where(Account.id == upload.account_id).with_for_update()
        )
        known = db.session.get(Recording, upload.recording)
        if known is not None and not takes_again(known, upload.account_id):
            return _known_upload(known, upload)
        check_limits(upload.account_id, upload.sealed_bytes, limits)
        if known is not None:
            return _queue_again(known, upload, now)
        db.session.add(
            Recording(
                id=upload.recording,
                account_id=upload.account_id,
                pseudonym=upload.pseudonym,
                day=upload.day,
                state=RecordingState.QUEUED,
                sealed_sha256=upload.sealed_sha256,
                sealed_bytes=upload.sealed_bytes,
                uploaded_at=now,
                announced_at=now,
            )
        )
        return Registered(RecordingState.QUEUED, upload.day, created=True)

    return in_transaction(db, work)


def takes_again(known: Recording, account_id: int) -> bool:
    """Whether this account may send another copy of the recording in place of the first."""
    return (
        known.account_id == account_id
        and known.state == RecordingState.FAILED
        and known.reason in MENDABLE
        and db.session.get(Comparison, known.id) is None
    )


def check_limits(account_id: int, more_bytes: int, limits: WaitingLimits) -> None:
    """Raises TooManyWaiting if another recording of so many bytes is more than may wait.

    A single recording always may.
    """
    count, size = db.session.execute(
        select(func.count(), func.coalesce(func.sum(Recording.sealed_bytes), 0)).where(
            Recording.account_id == account_id, Recording.state.in_(WAITING_STATES)
        )
    ).one()
    if count and (count >= limits.recordings or size + more_bytes > limits.bytes):
        raise TooManyWaiting(
            "Wait until some of the recordings that were uploaded before have been judged."
        )


def _queue_again(known: Recording, upload: Upload, now: int) -> Registered:
    """FAILED to QUEUED with other bytes; the day of the first upload stands."""
    day = known.day
    changed = changes_a_row(
        db,
        update(Recording)
        .where(
            Recording.id == upload.recording,
            Recording.account_id == upload.account_id,
            Recording.state == RecordingState.FAILED,
            Recording.reason.in_(MENDABLE),
            ~exists().where(Comparison.recording_id == Recording.id),
        )
        .values(
            state=RecordingState.QUEUED,
            reason=None,
            finished_at=None,
            sealed_sha256=upload.sealed_sha256,
            sealed_bytes=upload.sealed_bytes,
            uploaded_at=now,
            announced_at=now,
            attempts=0,
            report_sha256=None,
        ),
    )
    if changed:
        return Registered(RecordingState.QUEUED, day, created=True)
    db.session.expire_all()
    return _known_upload(db.session.get_one(Recording, upload.recording), upload)


def _known_upload(known: Recording, upload: Upload) -> Registered:
    if known.account_id != upload.account_id:
        raise RecordingExists("Another upload has this id.")
    state = RecordingState(known.state)
    if known.sealed_sha256 != upload.sealed_sha256:
        raise RecordingExists(
            "This recording was sealed and uploaded before; there is nothing more to do.",
            recording=known.id,
            day=known.day,
            state=state.value,
            reason=known.reason or "",
        )
    return Registered(state, known.day, created=False)
