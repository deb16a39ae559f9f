"""The Celery tasks: whatever goes wrong ends in the log, and the rows tell how it goes on."""

from __future__ import annotations

import pytest

from app.aggregator import tables as a
from app.aggregator.queueing import Queue
from config import LEAST_LEASE_SECONDS, celery_settings
from crypto.comparison.session import SessionOpener
from tests.workers.conftest import COMPARE, MURMUR, OPEN, World
from workers.aggregation import contents, tasks
from workers.aggregation.celery import app as aggregation
from workers.inference import tasks as inference_tasks
from workers.inference.celery import app as inference


@pytest.fixture
def ready(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(tasks, "_flask", world.flask)
    return world


def test_recordings_are_counted_and_ranges_are_checked(ready: World) -> None:
    patient = ready.patient()
    proposed = ready.range(patient, 1, 2, 3, a.RangeState.PROPOSED)
    ready.reported(patient, MURMUR)
    tasks.compare()
    assert ready.opened(patient) == (1, 1, 0)
    assert a.db.session.get_one(a.Range, proposed).state == a.RangeState.CHECKED


def test_what_is_left_when_time_runs_out_is_queued_again(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bool] = []
    monkeypatch.setattr(Queue, "compare", lambda _: sent.append(True))
    monkeypatch.setattr(tasks, "COMPARE_SECONDS", 0)
    ready.reported(ready.patient(), MURMUR)
    tasks.compare()
    assert sent == [True]


@pytest.mark.parametrize("off", ["/v1/manifest", COMPARE, OPEN])
def test_a_key_holder_that_is_away(
    ready: World, caplog: pytest.LogCaptureFixture, off: str
) -> None:
    recording = ready.reported(ready.patient(), MURMUR)
    if off == OPEN:
        a.db.session.execute(a.ComparisonSession.__table__.delete())
        a.db.session.commit()
    ready.switch.off = {off}
    tasks.compare()
    assert "left for later" in caplog.text
    assert ready.row(recording).state == a.RecordingState.REPORTED


def test_a_key_holder_that_opens_no_session(
    ready: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    a.db.session.execute(a.ComparisonSession.__table__.delete())
    a.db.session.commit()
    monkeypatch.setattr(SessionOpener, "request", lambda _: b"x")
    recording = ready.reported(ready.patient(), MURMUR)
    tasks.compare()
    assert "opens no session" in caplog.text
    assert ready.row(recording).state == a.RecordingState.REPORTED


def test_whatever_goes_wrong_ends_in_the_log(
    ready: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    patient = ready.patient()
    ready.reported(patient, MURMUR)
    with monkeypatch.context() as patch:
        patch.setattr(contents, "items", lambda *_: 1 / 0)
        tasks.compare()
    assert "could not be compared now" in caplog.text
    ready.lapse()
    tasks.compare()
    assert ready.opened(patient) == (1, 1, 0)


def test_no_task_runs_outside_a_process_that_is_ready() -> None:
    with pytest.raises(RuntimeError, match="pool process"):
        tasks.compare()
    with pytest.raises(RuntimeError, match="pool process"):
        inference_tasks.judge("0" * 32)


def test_the_names_are_those_that_the_aggregator_sends() -> None:
    assert "hushbeat.aggregation.compare" in aggregation.tasks
    assert "hushbeat.inference.judge" in inference.tasks


def test_messages_of_other_formats_than_json_are_not_taken(tmp_path) -> None:
    settings = celery_settings(f"filesystem://{tmp_path}")
    assert settings["accept_content"] == ["json"]


def test_a_worker_is_killed_before_its_lease_runs_out() -> None:
    assert inference_tasks.judge.time_limit == inference_tasks.HARD_LIMIT_SECONDS
    assert inference_tasks.HARD_LIMIT_SECONDS + 5 <= LEAST_LEASE_SECONDS
