"""The operator's figures: machinery, and nothing about a patient."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask

from app.aggregator.operations import overview, record_sighting
from app.aggregator.tables import Recording, RecordingState, Tally, db
from crypto.encoding import new_id
from tests.aggregator.cast import Cast
from tests.aggregator.conftest import Line


def test_the_overview_counts_what_waits_and_what_ended(either_app: Flask, line: Line) -> None:
    cast = Cast(either_app)
    now = int(time.time())

    def add(state: RecordingState, uploaded: int, **columns: Any) -> None:
        db.session.add(
            Recording(
                id=new_id(),
                account_id=cast.patient.id,
                pseudonym=cast.patient.collector,
                day="2025-03-01",
                state=state,
                sealed_sha256="a" * 64,
                sealed_bytes=100,
                uploaded_at=uploaded,
                **columns,
            )
        )

    with either_app.app_context():
        empty = overview()
        assert [w.recordings for w in empty.waiting] == [0, 0, 0]
        add(RecordingState.QUEUED, now - 50)
        add(RecordingState.QUEUED, now - 7_000)
        add(RecordingState.REPORTED, now - 10)
        add(RecordingState.COUNTED, now - 7_000, finished_at=now - 60)
        add(RecordingState.UNREADABLE, now - 7_000, finished_at=now - 7_000, reason="silence")
        add(RecordingState.FAILED, now - 60, finished_at=now - 30, reason="quarantined")
        add(RecordingState.FAILED, now - 60, finished_at=now - 30, reason="quarantined")
        add(RecordingState.FAILED, 1, finished_at=1, reason="long_ago")
        db.session.commit()
        record_sighting("w1", "inference", ready=True, now=now)
        record_sighting("w2", "inference", ready=False, now=now - 500)
        record_sighting("w3", "aggregation", ready=True, now=1)
        seen = overview()
    waiting = {w.state: w for w in seen.waiting}
    assert waiting[RecordingState.QUEUED].recordings == 2
    assert 7_000 <= waiting[RecordingState.QUEUED].oldest_seconds < 7_030
    assert waiting[RecordingState.LEASED].recordings == 0
    assert waiting[RecordingState.REPORTED].recordings == 1
    assert (seen.uploaded_last_hour, seen.finished_last_hour) == (4, 3)
    assert seen.finished_last_day == {"counted": 1, "unreadable": 1, "failed": 2}
    failures = [(f.state, f.reason, f.recordings) for f in seen.failures]
    assert failures == [("failed", "quarantined", 2), ("unreadable", "silence", 1)]
    assert [(w.name, w.ready, w.gone) for w in seen.workers] == [
        ("w1", True, False),
        ("w2", False, True),
    ]
    assert seen.keyholder_available is True
    for patient_data in (cast.patient.collector, cast.patient.login, "Pat Owner"):
        assert patient_data not in repr(seen)


def test_a_key_holder_that_is_away_shows(app: Flask, line: Line) -> None:
    line.down = True
    with app.app_context():
        assert overview().keyholder_available is False


def test_what_is_left_under_another_key_is_counted(either_app: Flask) -> None:
    """Rows, not findings: how long a rotation of the key will take."""
    with either_app.app_context():
        assert overview().left_to_move == 0
        db.session.add(
            Tally(
                pseudonym=new_id(),
                day="2026-03-01",
                key_id="0" * 64,
                recordings=2,
                ciphertext=b"under a retired key",
            )
        )
        db.session.commit()
        assert overview().left_to_move == 1
