"""The Celery tasks: whatever goes wrong ends in the log, and the rows tell how it goes on."""

from __future__ import annotations

import pytest

from app.aggregator import tables as a
from app.aggregator.queueing import Queue
from config import LEAST_LEASE_SECONDS, celery_settings
from tests.workers.conftest import FAST, MURMUR, World
from workers.aggregation import counting, tasks
from workers.aggregation.celery import app as aggregation
from workers.inference import tasks as inference_tasks
from workers.inference.celery import app as inference


@pytest.fixture
def ready(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(tasks, "_flask", world.flask)
    return world


def test_a_recording_is_counted_and_a_range_is_checked(ready: World) -> None:
    patient = ready.patient()
    proposed = ready.range(patient, 1, 2, 3, a.RangeState.PROPOSED)
    tasks.count(ready.reported(patient, MURMUR))
    tasks.check_range(proposed)
    assert ready.opened(patient) == (1, 1, 0)
    assert a.db.session.get_one(a.Range, proposed).state == a.RangeState.CHECKED


def test_the_rest_of_a_long_tally_is_queued_again(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(Queue, "count", lambda _, recording: sent.append(recording))
    monkeypatch.setattr(tasks, "COUNT_SECONDS", 0)
    patient = ready.patient()
    first, second = (
        ready.reported(patient, result, at=i) for i, result in enumerate((FAST, MURMUR))
    )
    tasks.count(first)
    assert sent == [second]


@pytest.mark.parametrize(
    ("off", "message"),
    [("/v1/manifest", "left for later"), ("/v1/comparisons/first", "left for later")],
)
def test_a_key_holder_that_is_away(
    ready: World, caplog: pytest.LogCaptureFixture, off: str, message: str
) -> None:
    patient = ready.patient()
    recording = ready.reported(patient, MURMUR)
    proposed = ready.range(patient, 1, 2, 3, a.RangeState.PROPOSED)
    ready.switch.off = {off}
    tasks.count(recording)
    tasks.check_range(proposed)
    assert caplog.text.count(message) == 2
    assert ready.row(recording).state == a.RecordingState.REPORTED
    assert a.db.session.get_one(a.Range, proposed).state == a.RangeState.PROPOSED


def test_a_recording_that_does_not_wait_leaves_its_tally_as_it_was(
    ready: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    patient = ready.patient()
    recording = ready.reported(patient, MURMUR)
    with monkeypatch.context() as patch:
        patch.setattr(counting, "mark_counted", lambda *_: False)
        tasks.count(recording)
    assert "could not be counted now" in caplog.text
    assert ready.opened(patient) == (0, 0, 0)
    tasks.count(recording)
    assert ready.opened(patient) == (1, 1, 0)


def test_no_task_runs_outside_a_process_that_is_ready() -> None:
    with pytest.raises(RuntimeError, match="pool process"):
        tasks.count("0" * 32)
    with pytest.raises(RuntimeError, match="pool process"):
        inference_tasks.judge("0" * 32)


def test_the_names_are_those_that_the_aggregator_sends() -> None:
    assert {"hushbeat.aggregation.count", "hushbeat.aggregation.check_range"} <= set(
        aggregation.tasks
    )
    assert "hushbeat.inference.judge" in inference.tasks


def test_messages_of_other_formats_than_json_are_not_taken(tmp_path) -> None:
    settings = celery_settings(f"filesystem://{tmp_path}")
    assert settings["accept_content"] == ["json"]


def test_a_worker_is_killed_before_its_lease_runs_out() -> None:
    assert inference_tasks.judge.time_limit == inference_tasks.HARD_LIMIT_SECONDS
    assert inference_tasks.HARD_LIMIT_SECONDS + 5 <= LEAST_LEASE_SECONDS
