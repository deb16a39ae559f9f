"""The sweeper sends again what was lost, seldom enough, and tidies up."""

from __future__ import annotations

import os
import time

import pytest
from sqlalchemy import select, update

from app.aggregator import tables as a
from app.aggregator.blobs import BlobName
from app.aggregator.queueing import Queue
from app.aggregator.services import services
from tests.workers.conftest import HEALTHY, World
from workers.aggregation import assigning
from workers.aggregation import sweeper as sweeping
from workers.aggregation.counting import count_waiting
from workers.aggregation.sweeper import Sweeper

LONG_AGO = 1_000


class Hints(list[tuple[str, ...]]):
    """What was sent to which task."""


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> Hints:
    sent = Hints()
    for name in ("judge", "compare"):
        monkeypatch.setattr(
            Queue, name, lambda _, *arguments, name=name: sent.append((name, *arguments))
        )
    return sent


@pytest.fixture
def sweeper(world: World) -> Sweeper:
    return Sweeper(world.flask)


def _now() -> int:
    return int(time.time())


def test_an_expired_lease_is_freed_and_announced(
    world: World, sweeper: Sweeper, hints: Hints
) -> None:
    patient = world.patient()
    held = {"lease": "0" * 32, "attempts": 1, "announced_at": _now()}
    lost = world.recording(patient, a.RecordingState.LEASED, lease_until=_now() - 1, **held)
    busy = world.recording(patient, a.RecordingState.LEASED, lease_until=_now() + 60, **held)
    sweeper.sweep()
    assert hints == [("judge", lost)]
    assert world.row(lost).state == a.RecordingState.QUEUED
    assert world.row(busy).state == a.RecordingState.LEASED


def test_a_lost_message_is_sent_again_but_not_at_every_sweep(
    world: World, sweeper: Sweeper, hints: Hints
) -> None:
    patient = world.patient()
    queued = world.recording(patient, a.RecordingState.QUEUED, announced_at=LONG_AGO)
    world.recording(patient, a.RecordingState.QUEUED, announced_at=_now())
    for state in (a.RecordingState.COUNTED, a.RecordingState.UNREADABLE, a.RecordingState.FAILED):
        world.recording(patient, state, announced_at=LONG_AGO)
    for _ in range(3):
        sweeper.sweep()
    assert hints == [("judge", queued)]


def _report(world: World) -> None:
    world.reported(world.patient(), HEALTHY)


def _propose(world: World) -> None:
    world.range(world.patient(), 1, 2, 3, a.RangeState.PROPOSED)


def _leave_a_batch(world: World) -> None:
    _report(world)
    assert assigning.assign(world.key, 0, 0) is not None


def _leave_a_tally_aside(world: World) -> None:
    _leave_a_batch(world)
    a.db.session.execute(update(a.Comparison).values(session=None, batch=None))
    a.db.session.execute(a.ComparisonBatch.__table__.delete())
    a.db.session.execute(update(a.Tally).values(aside_until=_now() - 1))
    a.db.session.commit()


@pytest.mark.parametrize("waits", [_report, _propose, _leave_a_batch, _leave_a_tally_aside])
def test_whatever_waits_for_a_comparison_is_announced_by_one_message(
    world: World, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch, waits
) -> None:
    monkeypatch.setattr(sweeping.services().queue, "judge", lambda _: None)
    folder = world.home / "broker" / "queue"
    sweeper.sweep()
    assert list(folder.iterdir()) == []
    waits(world)
    for _ in range(3):
        sweeper.sweep()
    assert len(list(folder.iterdir())) == 1


def test_what_is_under_way_or_over_is_not_announced(
    world: World, sweeper: Sweeper, hints: Hints
) -> None:
    _report(world)
    count_waiting(60)
    world.range(world.patient(), 1, 2, 3, a.RangeState.CHECKED)
    _report(world)
    assert assigning.assign(world.key, _now(), 60) is not None
    _leave_a_tally_aside(world)
    a.db.session.execute(update(a.Tally).values(aside_until=_now() + 60))
    a.db.session.commit()
    sweeper.sweep()
    assert hints == []


def test_tallies_that_are_left_aside_are_reported(
    world: World, sweeper: Sweeper, hints: Hints, caplog: pytest.LogCaptureFixture
) -> None:
    sweeper.sweep()
    assert "left aside" not in caplog.text
    _leave_a_tally_aside(world)
    Sweeper(world.flask).sweep()
    assert "1 tallies are left aside" in caplog.text


def test_a_full_queue_gets_nothing_more(
    world: World, sweeper: Sweeper, hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "MANY_WAITING", 3)
    patient = world.patient()
    recording = world.recording(patient, a.RecordingState.QUEUED, announced_at=LONG_AGO)
    world.reported(patient, HEALTHY)
    folder = world.home / "broker" / "queue"
    for number in range(3):
        (folder / f"{number}.inference.msg").write_bytes(b"{}")
        (folder / f"{number}.aggregation.msg").write_bytes(b"{}")
    sweeper.sweep()
    assert hints == []
    for message in folder.iterdir():
        message.unlink()
    sweeper.sweep()
    assert ("judge", recording) in hints


def test_while_no_worker_runs_the_broker_does_not_grow(world: World, sweeper: Sweeper) -> None:
    patient = world.patient()
    for _ in range(5):
        world.recording(patient, a.RecordingState.QUEUED)
    folder = world.home / "broker" / "queue"
    for _ in range(4):
        a.db.session.execute(update(a.Recording).values(announced_at=0))
        a.db.session.commit()
        sweeper.sweep()
    assert len(list(folder.iterdir())) <= 4 * 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "MANY_WAITING", 5)
        for _ in range(4):
            a.db.session.execute(update(a.Recording).values(announced_at=0))
            a.db.session.commit()
            sweeper.sweep()
    assert len(list(folder.iterdir())) <= 4 * 5


def test_blobs_that_nobody_needs_go(world: World, sweeper: Sweeper, hints: Hints) -> None:
    patient = world.patient()
    waiting = world.recording(patient, a.RecordingState.QUEUED)
    ended = world.recording(patient, a.RecordingState.COUNTED)
    young, old = "a" * 32, "b" * 32
    store = services().blobs
    for recording in (waiting, ended, young, old):
        with store.writer() as blob:
            blob.write(b"sealed")
            blob.keep(BlobName(recording, "1" * 64))
    folder = world.home / "blobs" / "sealed"
    two_hours_ago = time.time() - 7_200
    for recording in (waiting, old):
        os.utime(folder / f"{recording}-{'1' * 64}", (two_hours_ago, two_hours_ago))
    sweeper.sweep()
    assert {blob.name.recording for blob in store.stored()} == {waiting, young}


def test_expired_tokens_and_forgotten_workers_go(
    world: World, sweeper: Sweeper, hints: Hints
) -> None:
    patient = world.patient()
    for name, expires_at in (("old", _now() - 1), ("new", _now() + 60)):
        a.db.session.add(a.ApiToken(token_hash=name, account_id=patient.id, expires_at=expires_at))
    for name, seen_at in (("gone", _now() - 2 * 86_400), ("here", _now())):
        a.db.session.add(a.WorkerSighting(name=name, kind="inference", ready=True, seen_at=seen_at))
    a.db.session.commit()
    sweeper.sweep()
    assert a.db.session.scalars(select(a.ApiToken.token_hash)).all() == ["new"]
    assert a.db.session.scalars(select(a.WorkerSighting.name)).all() == ["here"]


def test_a_step_that_fails_does_not_stop_the_others(
    world: World, sweeper: Sweeper, hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    _report(world)

    def fails(*_: object) -> list[str]:
        raise OSError

    monkeypatch.setattr(sweeping, "requeue_expired", fails)
    sweeper.sweep()
    assert hints == [("compare",)]
