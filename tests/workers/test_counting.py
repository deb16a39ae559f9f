"""Every reported recording is counted exactly once, whatever happens on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select, text, update

from app.aggregator import tables as a
from app.aggregator.keyholder_client import KeyholderUnavailable
from app.keyholder import tables as b
from crypto.at_rest import StorageKey
from crypto.comparison.batches import decode_request
from crypto.comparison.fast import FastInitiator
from crypto.comparison.positions import RecordingPosition
from tests.workers.conftest import (
    COMPARE,
    DAY,
    FAST,
    HEALTHY,
    MURMUR,
    MURMUR_AND_SLOW,
    OPEN,
    World,
)
from workers.aggregation import assigning, batches, contents, counting, sessions, settling
from workers.aggregation.counting import count_waiting


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is cleaned up but transactions."""


def _comparison(recording: str) -> a.Comparison:
    a.db.session.rollback()
    return a.db.session.get_one(a.Comparison, recording, populate_existing=True)


def _change(statement) -> None:
    a.db.session.rollback()
    a.db.session.execute(statement)
    a.db.session.commit()


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (HEALTHY, (1, 0, 0)),
        (MURMUR, (1, 1, 0)),
        (FAST, (1, 0, 1)),
        (MURMUR_AND_SLOW, (1, 1, 1)),
        ((32_767, 600), (1, 0, 0)),
        ((32_768, 1_000), (1, 1, 0)),
        ((0, 599), (1, 0, 1)),
        ((65_535, 1_001), (1, 1, 1)),
    ],
)
def test_a_recording_is_held_against_the_defaults(
    world: World, result: tuple[int, int], expected: tuple[int, int, int]
) -> None:
    patient = world.patient()
    recording = world.reported(patient, result)
    assert count_waiting(60) is False
    assert world.opened(patient) == expected
    row = world.row(recording)
    assert row.state == a.RecordingState.COUNTED
    assert row.finished_at
    assert row.findings is None
    assert _comparison(recording).number == 1


def test_a_child_has_a_childs_defaults(world: World) -> None:
    patient = world.patient(age_band="newborn")
    world.reported(patient, FAST)
    count_waiting(60)
    assert world.opened(patient) == (1, 0, 0)


def test_all_that_waits_is_counted_in_one_batch(world: World) -> None:
    patient, other = world.patient(), world.patient()
    second = world.reported(patient, MURMUR, at=2)
    first = world.reported(patient, MURMUR_AND_SLOW, at=1)
    third = world.reported(patient, FAST, at=3)
    world.reported(other, MURMUR, at=5)
    world.reported(patient, MURMUR, "2026-03-02", at=4)
    assert count_waiting(60) is False
    assert world.opened(patient) == (3, 2, 2)
    assert world.opened(other) == (1, 1, 0)
    assert world.opened(patient, "2026-03-02") == (1, 1, 0)
    assert [_comparison(one).number for one in (first, second, third)] == [1, 2, 3]
    assert world.switch.asked.count(COMPARE) == 1
    later = world.reported(patient, MURMUR, at=6)
    count_waiting(60)
    assert _comparison(later).number == 4
    assert world.opened(patient) == (4, 3, 2)


def test_a_batch_has_the_oldest_and_the_next_one_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assigning, "MAX_ITEMS", 3)
    patients = [world.patient() for _ in range(2)]
    waiting = [world.reported(patients[i % 2], MURMUR, at=i) for i in range(7)]
    leased = assigning.assign(world.key, 0, 0)
    assert leased is not None
    assert {_comparison(one).number for one in waiting[:3]} == {1, 2}
    assert [a.db.session.get(a.Comparison, one) for one in waiting[3:]] == [None] * 4
    # Both tallies are under way, so nothing more is assigned of them.
    assert assigning.assign(world.key, 0, 0) is None
    assert count_waiting(60) is False
    assert [world.opened(patient) for patient in patients] == [(4, 4, 0), (3, 3, 0)]


def test_a_doubled_message_changes_nothing(world: World) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    count_waiting(60)
    asked = len(world.switch.asked)
    assert count_waiting(60) is False
    assert world.opened(patient) == (1, 1, 0)
    assert len(world.switch.asked) == asked


def test_the_first_session_is_opened_by_whoever_needs_it(world: World) -> None:
    _change(a.ComparisonSession.__table__.delete())
    patient = world.patient()
    world.reported(patient, MURMUR_AND_SLOW)
    assert count_waiting(60) is False
    assert world.opened(patient) == (1, 1, 1)
    assert world.switch.asked.count(OPEN) == 1
    (row,) = a.db.session.scalars(select(a.ComparisonSession)).all()
    assert (row.next_batch, row.comparisons, row.ended) == (1, 3, False)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("where", ["open_session", "keep"])
def test_a_kill_while_a_session_is_opened(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str, when: str
) -> None:
    _change(a.ComparisonSession.__table__.delete())
    patient = world.patient()
    world.reported(patient, MURMUR_AND_SLOW)
    real = getattr(sessions, where)

    def dies(*arguments):
        if when == "after":
            real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(sessions, where, dies)
        with pytest.raises(Killed):
            count_waiting(60)
    assert count_waiting(60) is False
    assert world.opened(patient) == (1, 1, 1)


def test_a_session_without_room_is_left_for_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(sessions, "MAX_COMPARISONS", 5)
    monkeypatch.setattr(
        sessions, "open_session", lambda *_: opened.append(world.session(at=len(opened) + 1))
    )
    patient = world.patient()
    for at in range(3):
        world.reported(patient, MURMUR, at=at)
        count_waiting(60)
    assert len(opened) == 2
    assert world.opened(patient) == (3, 3, 0)


def test_a_session_that_is_over_goes_once_its_batches_are_gone(world: World) -> None:
    first = a.db.session.scalar(select(a.ComparisonSession.session))
    patient = world.patient()
    world.reported(patient, MURMUR)
    count_waiting(60)
    _change(update(a.ComparisonSession).values(ended=True))
    second = world.session()
    assert a.db.session.get(a.ComparisonSession, first) is not None, "B was not told of its batch"
    world.reported(patient, MURMUR)
    count_waiting(60)
    third = world.session()
    assert set(a.db.session.scalars(select(a.ComparisonSession.session))) == {second, third}


STEPS = [
    (assigning, "assign"),
    (batches, "keep_request"),
    (contents, "items"),
    (counting, "settle"),
    (settling, "_advance"),
    (settling, "_finish_recordings"),
    (settling, "_forget"),
]


@pytest.mark.parametrize(("module", "where"), STEPS, ids=[where for _, where in STEPS])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_anywhere_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, module: object, where: str, when: str
) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR, at=1)
    world.reported(patient, MURMUR_AND_SLOW, at=2)
    proposed = world.range(patient, 1, 2, 3, a.RangeState.PROPOSED)
    real = getattr(module, where)

    def dies(*arguments):
        if when == "after":
            real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, where, dies)
        with pytest.raises(Killed):
            count_waiting(60)
    world.lapse()
    assert count_waiting(60) is False
    assert world.opened(patient) == (2, 2, 1)
    assert world.served() == {patient.collector: 2}
    assert a.db.session.get_one(a.Range, proposed).state == a.RangeState.CHECKED
    assert all(row.settled for row in world.batches())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_around_the_answer(world: World, when: str) -> None:
    """B has served the batch or not; the identical bytes are sent again either way."""
    sent: list[bytes] = []

    def dies() -> None:
        raise Killed

    def keeps(body: bytes) -> None:
        sent.append(body)
        if when == "before" and body:
            dies()

    patient = world.patient()
    world.reported(patient, MURMUR_AND_SLOW)
    world.switch.before = keeps
    world.switch.after = dies
    with pytest.raises(Killed):
        count_waiting(60)
    stored = world.batches()[0].request
    assert stored
    world.switch.before, world.switch.after = sent.append, lambda: None
    world.lapse()
    assert count_waiting(60) is False
    assert list(filter(None, sent)) == [stored, stored]
    assert world.opened(patient) == (1, 1, 1)


def test_what_was_counted_is_told_to_the_key_holder_and_forgotten_then(world: World) -> None:
    patient = world.patient()
    for at in range(3):
        world.reported(patient, MURMUR, at=at)
        count_waiting(60)
    (last,) = world.batches()
    assert (last.number, last.settled, last.request, last.lease) == (2, True, None, None)
    with world.keyholder.app_context():
        answers = b.db.session.execute(
            select(b.ComparisonBatch.number, b.ComparisonBatch.answer.is_not(None)).order_by(
                b.ComparisonBatch.number
            )
        ).all()
    assert [tuple(row) for row in answers] == [(0, False), (1, False), (2, True)]


def test_a_key_holder_that_is_away(world: World) -> None:
    """What is under way is kept; no more batches are made of what comes meanwhile."""
    patient = world.patient()
    first = world.reported(patient, MURMUR_AND_SLOW, at=1)
    counting.services().keyholder.manifest()
    world.switch.off = {COMPARE, "/v1/manifest"}
    with pytest.raises(KeyholderUnavailable):
        count_waiting(60)
    others = [world.patient() for _ in range(3)]
    for other in others:
        world.reported(other, MURMUR, at=2)
        with pytest.raises(KeyholderUnavailable):
            count_waiting(60)
    assert len(world.batches()) == 1
    assert world.row(first).state == a.RecordingState.REPORTED
    world.switch.off = set()
    world.lapse()
    counting.services().keyholder._asked_at = float("-inf")
    assert count_waiting(60) is False
    assert world.opened(patient) == (1, 1, 1)
    assert [world.opened(other) for other in others] == [(1, 1, 0)] * 3


def test_a_batch_that_the_key_holder_fails_with_does_not_stop_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    patient, other = world.patient(), world.patient()
    world.reported(patient, MURMUR, at=1)
    leased = assigning.assign(world.key, 0, 0)
    assert leased is not None
    world.reported(other, MURMUR, at=2)

    def fails(body: bytes) -> None:
        if body and decode_request(body).name == leased.name:
            raise counting.KeyholderUnavailable("It answered 500.")

    world.switch.before = fails
    assert count_waiting(60) is False
    assert world.opened(other) == (1, 1, 0)
    assert "left for later" in caplog.text
    world.switch.before = lambda _: None
    world.lapse()
    assert count_waiting(60) is False
    assert world.opened(patient) == (1, 1, 0)


def _overtake(world: World, work: Callable[[], object]) -> Callable[..., None]:
    """Another worker does `work` once, while this one waits, after its lease ran out."""
    done: list[bool] = []

    def other() -> None:
        with world.flask.app_context():
            work()
            a.db.session.remove()

    def overtaken(*_: object) -> None:
        if done:
            return
        done.append(True)
        with world.flask.app_context():
            a.db.session.execute(update(a.ComparisonBatch).values(lease_until=0))
            a.db.session.commit()
            a.db.session.remove()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    return overtaken


@pytest.mark.parametrize("where", ["before it is built", "before it is sent", "after it is sent"])
def test_two_workers_on_one_batch(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The first is so slow that its lease runs out, and the second settles everything meanwhile.

    The second also tells the key holder of a batch that it has settled, so that the answer is gone
    when the first one asks.
    """
    patient, other = world.patient(), world.patient()
    world.reported(patient, MURMUR, at=1)
    world.reported(patient, FAST, at=2)

    def second_worker() -> None:
        count_waiting(60)
        world.reported(other, MURMUR)
        count_waiting(60)

    slow = _overtake(world, second_worker)
    if where == "before it is built":
        real = contents.items
        monkeypatch.setattr(contents, "items", lambda *x: (real(*x), slow())[0])
    elif where == "before it is sent":
        real_keep = batches.keep_request
        monkeypatch.setattr(batches, "keep_request", lambda *x: (real_keep(*x), slow())[0])
    else:
        world.switch.after = slow
    assert count_waiting(60) is False
    assert world.opened(patient) == (2, 1, 1)
    assert world.opened(other) == (1, 1, 0)
    assert not a.db.session.scalar(select(a.ComparisonSession.ended))


def test_only_one_request_is_ever_stored_for_a_batch(world: World) -> None:
    """Two under one number would tell the key holder how their masks differ."""
    world.reported(world.patient(), MURMUR)
    first = assigning.assign(world.key, 0, 0)
    assert first is not None
    second = assigning.take_over(0, 60)
    assert second is not None
    assert second.name == first.name
    assert not batches.keep_request(first, b"of the first", 0, 60)
    assert batches.request_of(first.name) is None
    assert batches.keep_request(second, b"of the second", 0, 60)
    assert not batches.keep_request(second, b"another", 0, 60)
    assert batches.request_of(first.name) == b"of the second"


def _at_once(world: World, *work: Callable[[], object]) -> None:
    """Each in a thread with a database session of its own."""
    errors: list[BaseException] = []

    def run(one: Callable[[], object]) -> None:
        with world.flask.app_context():
            try:
                one()
            except BaseException as error:  # noqa: BLE001 - shown below
                errors.append(error)
            a.db.session.remove()

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_workers_side_by_side(either_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = either_world
    monkeypatch.setattr(assigning, "MAX_ITEMS", 5)
    patients = [world.patient() for _ in range(6)]
    for at in range(24):
        world.reported(patients[at % 6], MURMUR, at=at)
        if at % 8 == 0:
            world.range(patients[at % 6], 1, 2, 3, a.RangeState.PROPOSED)
    _at_once(world, *[lambda: count_waiting(60)] * 4)
    world.lapse()
    assert count_waiting(60) is False
    assert [world.opened(patient) for patient in patients] == [(4, 4, 0)] * 6
    assert set(a.db.session.scalars(select(a.Range.state))) == {a.RangeState.CHECKED}
    assert world.served() == {patient.collector: 4 for patient in patients}


@pytest.mark.parametrize("either_world", ["PostgreSQL"], indirect=True)
def test_a_worker_does_not_wait_for_what_another_one_assigns(either_world: World) -> None:
    """It takes the others. (On SQLite, which has one writer, it comes after it.)"""
    world = either_world
    patients = [world.patient() for _ in range(2)]
    for patient in patients:
        world.reported(patient, MURMUR)
        count_waiting(60)
    held, free = [world.reported(patient, FAST, at=1) for patient in patients]
    a.db.session.execute(
        select(a.Tally).where(a.Tally.pseudonym == patients[0].collector).with_for_update()
    )
    counted: list[bool] = []

    def other() -> None:
        a.db.session.execute(text("SET lock_timeout = '5s'"))
        a.db.session.commit()
        counted.append(count_waiting(60))

    _at_once(world, other)
    a.db.session.rollback()
    assert counted == [False]
    assert world.row(free).state == a.RecordingState.COUNTED
    assert world.row(held).state == a.RecordingState.REPORTED
    assert count_waiting(60) is False
    assert world.row(held).state == a.RecordingState.COUNTED


@pytest.mark.parametrize("copies", [2, 4])
def test_one_batch_settled_by_several_at_once(either_world: World, copies: int) -> None:
    """All have the answer; one of them puts it in force."""
    world = either_world
    patients = [world.patient() for _ in range(3)]
    for at in range(6):
        world.reported(patients[at % 3], MURMUR, at=at)
    leased = assigning.assign(world.key, 0, 60)
    assert leased is not None
    secret, _ = sessions.evaluator(leased.name.session)
    initiator = FastInitiator(world.key, secret)
    request = initiator.request(leased.name.number, contents.items(leased.name, world.key))
    assert batches.keep_request(leased, request, 0, 60)
    outcomes = initiator.finish(request, counting.services().keyholder.compare(request))
    settled: list[bool] = []

    def settle() -> None:
        settled.append(settling.settle(leased.name, world.key, outcomes, []))

    _at_once(world, *[settle] * copies)
    assert sorted(settled) == [False] * (copies - 1) + [True]
    assert [world.opened(patient) for patient in patients] == [(2, 2, 0)] * 3


def test_a_report_that_arrives_while_its_tally_is_under_way(world: World) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    late: list[str] = []

    def arrives() -> None:
        if not late:
            late.append(world.reported(patient, FAST))

    world.switch.after = arrives
    assert count_waiting(60) is False
    assert world.row(late[0]).state == a.RecordingState.COUNTED
    assert world.opened(patient) == (2, 1, 1)


def test_time_runs_out(world: World) -> None:
    world.reported(world.patient(), MURMUR)
    assert count_waiting(0) is True
    assert world.batches() == []


def test_the_range_in_force_is_the_one_of_the_assignment(world: World) -> None:
    patient = world.patient()
    old = world.range(patient, 10_000, 300, 600, a.RangeState.ACTIVE)
    world.reported(patient, HEALTHY)
    assert assigning.assign(world.key, 0, 0) is not None
    _change(update(a.Range).where(a.Range.id == old).values(state=a.RangeState.REPLACED))
    world.range(patient, 60_000, 600, 1_000, a.RangeState.ACTIVE)
    count_waiting(60)
    assert world.opened(patient) == (1, 1, 1)
    world.reported(patient, HEALTHY)
    count_waiting(60)
    assert world.opened(patient) == (2, 1, 1)


def test_a_range_that_is_only_proposed_has_no_effect(world: World) -> None:
    patient = world.patient()
    for state in (a.RangeState.PROPOSED, a.RangeState.CHECKED, a.RangeState.REFUSED):
        world.range(patient, 0, 1_500, 2_000, state)
    world.reported(patient, HEALTHY)
    count_waiting(60)
    assert world.opened(patient) == (1, 0, 0)


@pytest.mark.parametrize("damage", ["not coprime", "short", "range"])
def test_what_cannot_be_compared_ends_failed_and_the_tally_goes_on(
    world: World, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    patient, other = world.patient(), world.patient()
    damaged = world.reported(patient, MURMUR_AND_SLOW, at=1)
    fine = [world.reported(other, MURMUR, at=2)]
    if damage == "range":
        held = world.range(patient, 1, 2, 3, a.RangeState.ACTIVE)
        _change(update(a.Range).where(a.Range.id == held).values(bounds=b"x"))
    else:
        findings = bytes(world.key.ciphertext_bytes)
        if damage == "not coprime":
            findings = world.key.n.to_bytes(world.key.ciphertext_bytes, "big")
        fine.append(world.reported(patient, MURMUR, at=2))
        _change(
            update(a.Recording)
            .where(a.Recording.id == damaged)
            .values(findings=findings if damage == "not coprime" else findings[:-1])
        )
    assert count_waiting(60) is False
    row = world.row(damaged)
    assert (row.state, row.reason, row.findings) == (
        a.RecordingState.FAILED,
        "not_comparable",
        None,
    )
    assert {world.row(one).state for one in fine} == {a.RecordingState.COUNTED}
    assert world.opened(patient) == ((1, 0, 0) if damage == "range" else (2, 1, 0))
    assert "damaged" in caplog.text


def test_a_report_under_another_key_waits(world: World) -> None:
    patient = world.patient()
    recording = world.reported(patient, MURMUR)
    _change(update(a.Recording).values(key_id="f" * 64))
    assert count_waiting(60) is False
    assert world.row(recording).state == a.RecordingState.REPORTED
    assert world.batches() == []


def test_a_session_that_the_key_holder_ended(world: World) -> None:
    """What it refuses is compared in another session; what it has served is answered still."""
    patient, other = world.patient(), world.patient()
    world.reported(patient, MURMUR, at=1)

    def dies() -> None:
        raise Killed

    world.switch.after = dies
    with pytest.raises(Killed):
        count_waiting(60)
    world.switch.after = lambda: None
    with world.keyholder.app_context():
        b.db.session.execute(update(b.ComparisonSession).values(ended_at=1))
        b.db.session.commit()
    waiting = world.reported(other, FAST, at=2)
    proposed = world.range(other, 1, 2, 3, a.RangeState.PROPOSED)
    assert assigning.assign(world.key, 0, 0) is not None
    old = _comparison(waiting).session
    world.session(at=1)
    world.lapse()
    assert count_waiting(60) is False
    assert world.opened(patient) == (1, 1, 0)
    assert world.opened(other) == (1, 0, 1)
    assert _comparison(waiting).session != old
    assert a.db.session.get_one(a.ComparisonSession, old).ended
    assert a.db.session.get_one(a.Range, proposed).state == a.RangeState.CHECKED


@pytest.mark.parametrize("sent", [False, True])
def test_a_storage_key_that_is_lost(
    world: World, caplog: pytest.LogCaptureFixture, sent: bool
) -> None:
    patient, other = world.patient(), world.patient()
    recording = world.reported(patient, MURMUR)
    assert assigning.assign(world.key, 0, 0) is not None
    if sent:
        world.switch.off = {COMPARE}
        with pytest.raises(KeyholderUnavailable):
            count_waiting(60)
        world.switch.off = set()
        counting.services().keyholder._asked_at = float("-inf")
    lost = StorageKey(bytes(32)).seal(bytes(4096), b"")
    _change(update(a.ComparisonSession).values(sealed=lost))
    world.session(at=1)
    world.reported(other, FAST)
    world.lapse()
    assert count_waiting(60) is False
    assert "storage key lost" in caplog.text
    assert world.opened(other) == (1, 0, 1)
    if sent:
        assert world.row(recording).state == a.RecordingState.REPORTED
    else:
        assert world.opened(patient) == (1, 1, 0)


def _restored(world: World, patient: a.Account) -> str:
    """A tally that lost rows, as by a restored backup, and a recording that waits for it."""
    world.reported(patient, MURMUR)
    count_waiting(60)
    _change(update(a.Tally).values(recordings=0))
    _change(a.Comparison.__table__.delete())
    return world.reported(patient, MURMUR)


def test_a_tally_that_the_key_holder_refuses_is_left_aside(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored backup would be served a second time under other numbers; B does not do that."""
    patient, other = world.patient(), world.patient()
    refused = _restored(world, patient)
    fine = world.reported(other, FAST)
    assert count_waiting(60) is False
    assert "position-already-served" in caplog.text
    assert world.opened(other) == (1, 0, 1)
    assert world.row(refused).state == a.RecordingState.REPORTED
    assert _comparison(refused).session is None
    assert _comparison(fine).session is not None
    asked = world.switch.asked.count(COMPARE)
    assert count_waiting(60) is False
    assert world.switch.asked.count(COMPARE) == asked, "it is left alone"
    # Later it is tried again, alone, and goes on once whatever was wrong is mended.
    later = counting._now() + assigning.ASIDE_SECONDS
    monkeypatch.setattr(counting, "_now", lambda: later)
    assert count_waiting(60) is False
    assert world.switch.asked.count(COMPARE) == asked + 1
    assert world.opened(patient)[0] == 0
    with world.keyholder.app_context():
        b.db.session.execute(update(b.ServedTally).values(served=0))
        b.db.session.commit()
    monkeypatch.setattr(counting, "_now", lambda: later + assigning.ASIDE_SECONDS)
    world.reported(patient, MURMUR, at=9)
    assert count_waiting(60) is False
    assert world.row(refused).state == a.RecordingState.COUNTED
    tally = a.db.session.get_one(a.Tally, (patient.collector, DAY))
    assert (tally.recordings, tally.aside_until) == (2, 0)


def test_a_batch_that_was_served_with_other_content_is_left(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a restored database uses a number twice; its session is used no more."""
    patient, other = world.patient(), world.patient()
    world.reported(patient, MURMUR)
    count_waiting(60)
    _change(a.ComparisonBatch.__table__.delete())
    _change(update(a.ComparisonSession).values(next_batch=0))
    waiting = world.reported(other, FAST, at=1)
    assert count_waiting(60) is False
    assert "batch-already-served" in caplog.text
    assert world.row(waiting).state == a.RecordingState.REPORTED
    assert a.db.session.scalar(select(a.ComparisonSession.ended))


def test_a_recording_that_does_not_wait_leaves_its_batch_as_it_was(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    with monkeypatch.context() as patch:
        patch.setattr(settling, "mark_counted", lambda *_: False)
        assert count_waiting(60) is False
    assert "left as it is" in caplog.text
    assert world.opened(patient) == (0, 0, 0)
    world.lapse()
    assert count_waiting(60) is False
    assert world.opened(patient) == (1, 1, 0)


def test_an_answer_that_is_none_leaves_the_batch_as_it_was(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR)
    with monkeypatch.context() as patch:
        patch.setattr(type(counting.services().keyholder), "compare", lambda *_: b"\x80")
        assert count_waiting(60) is False
    assert "left as it is" in caplog.text
    world.lapse()
    assert count_waiting(60) is False
    assert world.opened(patient) == (1, 1, 0)


def test_nothing_in_the_clear_is_kept(world: World) -> None:
    world.reported(world.patient(), MURMUR)
    count_waiting(60)
    sealed = a.db.session.scalar(select(a.ComparisonSession.sealed))
    session = a.db.session.scalar(select(a.ComparisonSession.session))
    secret, _ = sessions.evaluator(session)
    assert all(seed not in sealed for pair in secret.pairs for seed in pair)


def test_every_position_is_sent_in_order(world: World) -> None:
    patients = [world.patient() for _ in range(3)]
    for at in range(9):
        world.reported(patients[at % 3], MURMUR, at=at)
    sent: list[bytes] = []
    world.switch.before = lambda body: sent.append(body)
    count_waiting(60)
    (request,) = filter(None, sent)
    for patient in patients:
        numbers = [
            position.number
            for position in decode_request(request).positions
            if isinstance(position, RecordingPosition) and position.pseudonym == patient.collector
        ]
        assert numbers == [1, 2, 3]
