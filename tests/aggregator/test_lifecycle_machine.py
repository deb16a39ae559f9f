"""Any order of uploads, leases, crashes, reports and counts: nothing lost, nothing finished twice.

The machine plays workers, sweeper and counting against the real table; each recording is worth
another power of two, so that a loss or a double count shows in the sum.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from sqlalchemy import delete

from app.aggregator.recordings import lifecycle, uploads
from app.aggregator.recordings.lifecycle import Lease
from app.aggregator.recordings.uploads import Upload, WaitingLimits
from app.aggregator.tables import Account, AccountKind, Recording, RecordingState, db
from app.common.database import configure_database, in_transaction
from app.common.migrate import upgrade
from app.common.problems import Problem
from crypto.encoding import new_id, sha256_hex
from crypto.messages import ReadableReport, Report, UnreadableReport

PSEUDONYM = "a" * 32
LEASE, ATTEMPTS = 60, 3
LIMITS = WaitingLimits(recordings=1_000, bytes=1_000_000)
FINAL = {RecordingState.COUNTED, RecordingState.UNREADABLE, RecordingState.FAILED}
# The ways that the diagram of the module draws, each taken one step at a time.
NEXT = {
    "queued": {"leased", "failed"},
    "leased": {"leased", "queued", "reported", "unreadable", "failed"},
    "reported": {"counted", "failed"},
    "failed": {"queued"},
}


class Workers(RuleBasedStateMachine):
    """One patient's recordings, and everybody who moves them."""

    app: ClassVar[Flask]
    recordings = Bundle("recordings")
    leases = Bundle("leases")
    reports = Bundle("reports")

    def __init__(self) -> None:
        super().__init__()
        self.context = self.app.app_context()
        self.context.push()
        db.session.execute(delete(Recording))
        db.session.execute(delete(Account))
        account = Account(
            login="pat-1",
            display_name="Pat",
            password_hash="x",
            kind=AccountKind.PATIENT,
            collector=PSEUDONYM,
            session_id=new_id(),
            created_at=0,
        )
        db.session.add(account)
        db.session.commit()
        self.owner = account.id
        self.now = 1_000
        self.worth: dict[str, int] = {}
        self.seen: dict[str, str] = {}
        self.finished: dict[str, int] = {}
        self.tally = 0

    def teardown(self) -> None:
        db.session.remove()
        self.context.pop()

    @rule(target=recordings)
    def upload(self) -> str:
        recording = new_id()
        self.worth[recording] = 1 << len(self.worth)
        self._register(recording)
        return recording

    @rule(recording=recordings)
    def upload_again(self, recording: str) -> None:
        self._register(recording)

    @rule(seconds=st.sampled_from([1, LEASE]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(target=leases, recording=recordings)
    def lease(self, recording: str) -> Lease:
        try:
            return lifecycle.lease(recording, self.now, LEASE, ATTEMPTS)
        except Problem:
            return multiple()

    @rule(held=leases)
    def begin(self, held: Lease) -> None:
        with suppress(Problem):
            lifecycle.begin(held.recording, held.lease)

    @rule(held=leases)
    def release(self, held: Lease) -> None:
        lifecycle.release(held.recording, held.lease)

    @rule()
    def sweep(self) -> None:
        announced = lifecycle.requeue_expired(self.now, 0)
        assert len(set(announced)) == len(announced)

    @rule(target=reports, held=leases, readable=st.booleans())
    def judge(self, held: Lease, readable: bool) -> Report:
        common = {"recording": held.recording, "pseudonym": PSEUDONYM, "lease": held.lease}
        if readable:
            findings = new_id().encode()
            return ReadableReport(**common, model="m", key_id="0" * 64, findings=findings)
        return UnreadableReport(**common, reason="noise")

    @rule(told=reports)
    def deliver(self, told: Report) -> None:
        digest = sha256_hex(repr(told).encode())
        with suppress(Problem):
            lifecycle.accept_report(told, digest, self.now)

    @rule(recording=recordings, void=st.booleans(), crash=st.booleans())
    def count(self, recording: str, void: bool, crash: bool) -> None:
        """What the aggregation worker does in its transaction, perhaps killed before the commit."""
        mark = lifecycle.mark_void if void else lifecycle.mark_counted
        if crash:
            mark([recording], self.now)
            db.session.rollback()
        elif in_transaction(db, lambda: mark([recording], self.now)):
            self.tally += 0 if void else self.worth[recording]

    @invariant()
    def only_drawn_changes_and_nothing_lost(self) -> None:
        db.session.rollback()
        rows = {row.id: row for row in db.session.query(Recording)}
        assert set(rows) == set(self.worth)
        for recording, row in rows.items():
            before = self.seen.get(recording, "queued")
            assert row.state == before or row.state in NEXT.get(before, set())
            if row.state in FINAL:
                first = self.finished.setdefault(recording, row.finished_at)
                assert row.finished_at == first
            else:
                assert row.finished_at is None
                self.finished.pop(recording, None)
            assert (row.lease is not None) == (row.state == RecordingState.LEASED)
            assert 0 <= row.attempts <= ATTEMPTS
            self.seen[recording] = row.state

    @invariant()
    def the_tally_is_the_sum_of_what_was_counted(self) -> None:
        counted = [r for r, state in self.seen.items() if state == RecordingState.COUNTED]
        assert self.tally == sum(self.worth[recording] for recording in counted)

    def _register(self, recording: str) -> None:
        upload = Upload(recording, self.owner, PSEUDONYM, "2025-03-01", "f" * 64, 100)
        uploads.register_upload(upload, self.now, LIMITS)


def test_nothing_is_lost_and_nothing_is_finished_twice() -> None:
    folder = Path(tempfile.mkdtemp())
    url = f"sqlite:///{folder}/machine.sqlite3"
    upgrade("aggregator", url)
    Workers.app = Flask("machine")
    configure_database(Workers.app, db, url)
    run = Workers.TestCase("runTest")
    run.settings = settings(
        max_examples=25,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run.runTest()
    finally:
        with Workers.app.app_context():
            db.engine.dispose()
        shutil.rmtree(folder)
