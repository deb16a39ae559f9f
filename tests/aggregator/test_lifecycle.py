"""The states of a recording, on both databases: every function from every state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app.aggregator.recordings import lifecycle, uploads
from app.aggregator.recordings.lifecycle import (
    LeaseLost,
    RecordingFinished,
    RecordingTaken,
    ReportConflict,
    UnknownRecording,
)
from app.aggregator.recordings.uploads import RecordingExists, TooManyWaiting, Upload, WaitingLimits
from app.aggregator.tables import (
    Account,
    AccountKind,
    Comparison,
    Recording,
    RecordingState,
    db,
)
from app.common.database import in_transaction
from app.common.problems import InvalidRequest
from crypto.encoding import new_id
from crypto.messages import FailedReport, ReadableReport, Report, UnreadableReport

R = RecordingState
PSEUDONYM = "a" * 32
TOKEN = "b" * 32
OTHER = "c" * 32
SHA = "d" * 64
NOW = 1_000
LEASE = 60
ATTEMPTS = 3
LIMITS = WaitingLimits(recordings=3, bytes=1_000)


@pytest.fixture
def owner(background: Flask) -> int:
    account = Account(
        login="pat-12345",
        display_name="Pat",
        password_hash="x",
        kind=AccountKind.PATIENT,
        collector=PSEUDONYM,
        session_id=new_id(),
        created_at=NOW,
    )
    db.session.add(account)
    db.session.commit()
    return account.id


def upload(owner: int, **changes: Any) -> Upload:
    fields = {
        "recording": "e" * 32,
        "account_id": owner,
        "pseudonym": PSEUDONYM,
        "day": "2025-03-01",
        "sealed_sha256": SHA,
        "sealed_bytes": 100,
    }
    return Upload(**(fields | changes))


def row_in(owner: int, state: RecordingState, **changes: Any) -> str:
    """A recording in that state, with the columns that the state implies."""
    implied: dict[str, Any] = {"attempts": 1}
    if state is R.QUEUED:
        implied = {"attempts": 0}
    if state is R.LEASED:
        implied |= {"lease": TOKEN, "lease_until": NOW + LEASE}
    if state in (R.REPORTED, R.COUNTED, R.UNREADABLE):
        implied |= {"report_sha256": "1" * 64}
    if state is R.REPORTED:
        implied |= {"findings": b"f", "key_id": "2" * 64, "model": "m"}
    recording = new_id()
    columns = {"uploaded_at": NOW, **implied, **changes}
    db.session.add(
        Recording(
            id=recording,
            account_id=owner,
            pseudonym=PSEUDONYM,
            day="2025-03-01",
            state=state,
            sealed_sha256=SHA,
            sealed_bytes=100,
            **columns,
        )
    )
    db.session.commit()
    return recording


def readable(recording: str, token: str = TOKEN) -> Report:
    return ReadableReport(
        recording=recording,
        pseudonym=PSEUDONYM,
        lease=token,
        model="cnn",
        key_id="3" * 64,
        findings=b"findings",
    )


def unreadable(recording: str) -> Report:
    return UnreadableReport(recording=recording, pseudonym=PSEUDONYM, lease=TOKEN, reason="silence")


def failed(recording: str) -> Report:
    return FailedReport(recording=recording, pseudonym=PSEUDONYM, lease=TOKEN, reason="not_audio")


def take(recording: str, now: int = NOW) -> lifecycle.Lease:
    return lifecycle.lease(recording, now, LEASE, ATTEMPTS)


def report(told: Report, sha: str = "4" * 64) -> lifecycle.Accepted:
    return lifecycle.accept_report(told, sha, NOW + 5)


def fresh(recording: str) -> Recording:
    db.session.rollback()
    return db.session.get_one(Recording, recording)


Step = Callable[[str], object]
STEPS: dict[str, Step] = {
    "lease": take,
    "lease after expiry": lambda r: take(r, NOW + LEASE),
    "release": lambda r: lifecycle.release(r, TOKEN),
    "release by another": lambda r: lifecycle.release(r, OTHER),
    "readable": lambda r: report(readable(r)),
    "readable by another": lambda r: report(readable(r, OTHER)),
    "unreadable": lambda r: report(unreadable(r)),
    "failed": lambda r: report(failed(r)),
    "expire": lambda _: lifecycle.requeue_expired(NOW + LEASE, 10),
    "expire too early": lambda _: lifecycle.requeue_expired(NOW + LEASE - 1, 10),
    "count": lambda r: in_transaction(db, lambda: lifecycle.mark_counted([r], NOW + 9)),
    "void": lambda r: in_transaction(db, lambda: lifecycle.mark_void([r], NOW + 9)),
}
# Every change that there is; all other pairs of state and step leave the state alone.
CHANGES = {
    (R.QUEUED, "lease"): R.LEASED,
    (R.QUEUED, "lease after expiry"): R.LEASED,
    (R.LEASED, "lease after expiry"): R.LEASED,
    (R.LEASED, "release"): R.QUEUED,
    (R.LEASED, "expire"): R.QUEUED,
    (R.LEASED, "readable"): R.REPORTED,
    (R.LEASED, "unreadable"): R.UNREADABLE,
    (R.LEASED, "failed"): R.FAILED,
    (R.REPORTED, "count"): R.COUNTED,
    (R.REPORTED, "void"): R.FAILED,
}


@pytest.mark.parametrize("state", list(R))
def test_every_step_from_every_state(owner: int, state: RecordingState) -> None:
    for name, step in STEPS.items():
        recording = row_in(owner, state)
        before = fresh(recording)
        columns = {c.name: getattr(before, c.name) for c in Recording.__table__.columns}
        try:
            step(recording)
        except (LeaseLost, RecordingFinished, RecordingTaken, ReportConflict):
            assert (state, name) not in CHANGES
        after = fresh(recording)
        assert after.state == CHANGES.get((state, name), state), name
        if (state, name) not in CHANGES:
            untouched = columns.items() - {("announced_at", columns["announced_at"])}
            for column, value in untouched:
                assert getattr(after, column) == value, (name, column)
        db.session.delete(after)
        db.session.commit()


def test_an_upload_makes_one_row(owner: int) -> None:
    first = uploads.register_upload(upload(owner), NOW, LIMITS)
    again = uploads.register_upload(upload(owner, day="2025-03-02"), NOW + 1, LIMITS)
    assert (first.created, again.created) == (True, False)
    assert again.day == "2025-03-01"
    assert fresh("e" * 32).uploaded_at == NOW


def test_other_bytes_under_an_id_are_refused_with_its_state(owner: int) -> None:
    uploads.register_upload(upload(owner), NOW, LIMITS)
    with pytest.raises(RecordingExists) as caught:
        uploads.register_upload(upload(owner, sealed_sha256="0" * 64), NOW, LIMITS)
    assert caught.value.members["state"] == "queued"
    assert fresh("e" * 32).sealed_sha256 == SHA


def test_another_account_learns_nothing_of_the_recording(owner: int) -> None:
    uploads.register_upload(upload(owner), NOW, LIMITS)
    for sha in (SHA, "0" * 64):
        with pytest.raises(RecordingExists) as caught:
            uploads.register_upload(upload(owner + 1, sealed_sha256=sha), NOW, LIMITS)
        assert caught.value.members == {}


def test_attempts_are_counted_and_the_fourth_is_refused(owner: int) -> None:
    recording = row_in(owner, R.QUEUED)
    for attempt in (1, 2, 3):
        lease = take(recording, NOW + attempt * LEASE)
        assert lease.attempt == attempt
        # However often it asks.
        for _ in range(2):
            assert lifecycle.begin(recording, lease.lease) == SHA
    with pytest.raises(RecordingTaken):
        take(recording, NOW + 3 * LEASE)
    with pytest.raises(RecordingFinished):
        take(recording, NOW + 4 * LEASE)
    row = fresh(recording)
    assert (row.state, row.reason, row.attempts) == ("failed", "quarantined", 3)
    assert row.finished_at == NOW + 4 * LEASE


@pytest.mark.parametrize("begun", [True, False])
def test_a_released_attempt_does_not_count(owner: int, begun: bool) -> None:
    recording = row_in(owner, R.QUEUED)
    for _ in range(2 * ATTEMPTS):
        lease = take(recording)
        if begun:
            lifecycle.begin(recording, lease.lease)
        assert lifecycle.release(recording, lease.lease)
    assert fresh(recording).attempts == 0


def test_a_lease_whose_answer_got_lost_is_no_attempt(owner: int) -> None:
    recording = row_in(owner, R.QUEUED)
    for late in range(2 * ATTEMPTS):
        assert take(recording, NOW + late * LEASE).attempt == 1
    lease = take(recording, NOW + 2 * ATTEMPTS * LEASE)
    lifecycle.begin(recording, lease.lease)
    assert fresh(recording).attempts == 1
    with pytest.raises(LeaseLost):
        lifecycle.begin(recording, OTHER)
    with pytest.raises(UnknownRecording):
        lifecycle.begin("0" * 32, OTHER)
    assert fresh(recording).attempts == 1


@pytest.mark.parametrize("sha", [SHA, "0" * 64], ids=["same bytes", "other bytes"])
@pytest.mark.parametrize("reason", ["sealed_broken", "quarantined"])
def test_what_failed_on_its_way_can_be_sent_again(owner: int, reason: str, sha: str) -> None:
    failing = row_in(
        owner, R.FAILED, reason=reason, attempts=3, report_sha256="1" * 64, finished_at=NOW
    )
    again = upload(owner, recording=failing, sealed_sha256=sha, sealed_bytes=200)
    with pytest.raises(RecordingExists):
        uploads.register_upload(replace(again, account_id=owner + 1), NOW + 9, LIMITS)
    done = uploads.register_upload(again, NOW + 9, LIMITS)
    assert (done.state, done.day, done.created) == (R.QUEUED, "2025-03-01", True)
    row = fresh(failing)
    assert (row.state, row.reason, row.finished_at, row.attempts) == (R.QUEUED, None, None, 0)
    assert (row.sealed_sha256, row.sealed_bytes, row.report_sha256) == (sha, 200, None)
    assert take(failing).attempt == 1


@pytest.mark.parametrize(
    ("state", "reason", "compared"),
    [
        (R.FAILED, "sealed_broken", True),
        (R.FAILED, "not_audio", False),
        (R.FAILED, "not_comparable", True),
        (R.UNREADABLE, "sealed_broken", False),
        (R.COUNTED, None, True),
        (R.LEASED, None, False),
    ],
)
def test_nothing_else_can_be_sent_again(
    owner: int, state: RecordingState, reason: str | None, compared: bool
) -> None:
    known = row_in(owner, state, reason=reason)
    if compared:
        db.session.add(
            Comparison(
                recording_id=known,
                pseudonym=PSEUDONYM,
                day="2025-03-01",
                key_id="2" * 64,
                number=1,
                age_band="adult",
            )
        )
        db.session.commit()
    with pytest.raises(RecordingExists) as caught:
        uploads.register_upload(upload(owner, recording=known, sealed_sha256="0" * 64), NOW, LIMITS)
    assert caught.value.members["state"] == state.value
    assert fresh(known).state == state


def test_only_so_much_of_an_account_waits(owner: int) -> None:
    row_in(owner, R.QUEUED)
    leased = row_in(owner, R.LEASED)
    for state in (R.REPORTED, R.COUNTED, R.UNREADABLE, R.FAILED):
        row_in(owner, state)
    with pytest.raises(TooManyWaiting):
        uploads.register_upload(upload(owner, sealed_bytes=801), NOW, LIMITS)
    uploads.register_upload(upload(owner, sealed_bytes=800), NOW, LIMITS)
    assert not uploads.register_upload(upload(owner, sealed_bytes=800), NOW, LIMITS).created
    another = upload(owner, recording=new_id(), sealed_bytes=0)
    with pytest.raises(TooManyWaiting):
        uploads.register_upload(another, NOW, LIMITS)
    report(unreadable(leased))
    assert uploads.register_upload(another, NOW, LIMITS).created


def test_a_large_recording_alone_may_wait(owner: int) -> None:
    assert uploads.register_upload(upload(owner, sealed_bytes=2_000), NOW, LIMITS).created


def test_a_report_after_expiry_counts_while_nobody_else_holds_the_recording(owner: int) -> None:
    recording = row_in(owner, R.LEASED, lease_until=NOW - 100)
    assert report(readable(recording)).state is R.REPORTED


def test_a_late_report_loses_against_a_newer_lease(owner: int) -> None:
    recording = row_in(owner, R.LEASED)
    newer = take(recording, NOW + LEASE)
    with pytest.raises(LeaseLost):
        report(readable(recording))
    assert report(readable(recording, newer.lease)).state is R.REPORTED


@pytest.mark.parametrize("told", [readable, unreadable, failed])
def test_a_replay_is_answered_and_another_report_refused(
    owner: int, told: Callable[[str], Report]
) -> None:
    recording = row_in(owner, R.LEASED)
    first = report(told(recording))
    again = report(told(recording))
    assert (first.replayed, again.replayed) == (False, True)
    assert first.state is again.state
    with pytest.raises(ReportConflict):
        report(readable(recording), "5" * 64)


def test_a_replay_is_known_after_counting(owner: int) -> None:
    recording = row_in(owner, R.LEASED)
    report(readable(recording))
    in_transaction(db, lambda: lifecycle.mark_counted([recording], NOW))
    assert report(readable(recording)).state is R.COUNTED


def test_a_report_under_another_pseudonym_finds_nothing(owner: int) -> None:
    recording = row_in(owner, R.LEASED)
    told = UnreadableReport(recording=recording, pseudonym=OTHER, lease=TOKEN, reason="silence")
    with pytest.raises(UnknownRecording):
        report(told)
    assert fresh(recording).state == R.LEASED


@pytest.mark.parametrize("reason", ["Silence", "a b", "x" * 33, "é", "a;b"])
def test_a_reason_is_a_word(owner: int, reason: str) -> None:
    recording = row_in(owner, R.LEASED)
    told = UnreadableReport(recording=recording, pseudonym=PSEUDONYM, lease=TOKEN, reason=reason)
    with pytest.raises(InvalidRequest):
        report(told)
    assert fresh(recording).state == R.LEASED


def test_unknown_recordings(owner: int) -> None:
    with pytest.raises(UnknownRecording):
        take(OTHER)
    with pytest.raises(UnknownRecording):
        report(readable(OTHER))
    assert lifecycle.release(OTHER, TOKEN) is False


@pytest.mark.parametrize(("mark", "state"), [("mark_counted", "counted"), ("mark_void", "failed")])
def test_counting_takes_the_ciphertext_away_once(owner: int, mark: str, state: str) -> None:
    recording = row_in(owner, R.REPORTED)
    step = getattr(lifecycle, mark)
    assert in_transaction(db, lambda: step([recording], NOW)) is True
    assert in_transaction(db, lambda: step([recording], NOW)) is False
    row = fresh(recording)
    assert (row.state, row.findings, row.finished_at) == (state, None, NOW)


def test_recordings_are_counted_together(owner: int) -> None:
    waiting = [row_in(owner, R.REPORTED) for _ in range(2)]
    counted = row_in(owner, R.COUNTED)
    assert lifecycle.mark_counted([*waiting, counted], NOW) is False
    db.session.rollback()
    assert in_transaction(db, lambda: lifecycle.mark_counted(waiting, NOW)) is True
    assert {fresh(one).state for one in waiting} == {"counted"}
    assert lifecycle.mark_counted([], NOW) is True


def test_a_rolled_back_count_leaves_the_report(owner: int) -> None:
    recording = row_in(owner, R.REPORTED)
    lifecycle.mark_counted([recording], NOW)
    row = fresh(recording)
    assert (row.state, row.findings) == ("reported", b"f")


def test_waiting_recordings_are_announced_after_patience_oldest_first(owner: int) -> None:
    late = row_in(owner, R.QUEUED, uploaded_at=NOW + 1, announced_at=NOW + 1)
    early = row_in(owner, R.QUEUED, announced_at=NOW)
    expired = row_in(owner, R.LEASED, uploaded_at=NOW + 2, announced_at=NOW + 9_999)
    row_in(owner, R.REPORTED)
    assert lifecycle.requeue_expired(NOW + 59, 60) == []
    assert lifecycle.requeue_expired(NOW + 60, 60) == [early, expired]
    assert lifecycle.requeue_expired(NOW + 61, 60) == [late]
    assert lifecycle.requeue_expired(NOW + 119, 60) == []
    assert lifecycle.requeue_expired(NOW + 120, 60) == [early, expired]
