"""Every reported recording is counted exactly once, whatever happens on the way."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, update

from app.aggregator import tables as a
from app.aggregator.keyholder_client import KeyholderRefused, KeyholderUnavailable
from app.keyholder import tables as b
from crypto.at_rest import StorageKey
from tests.workers.conftest import DAY, FAST, HEALTHY, MURMUR, MURMUR_AND_SLOW, World
from workers.aggregation import counting
from workers.aggregation.counting import KeyNotActive, count_waiting

FIRST = "/v1/comparisons/first"
SECOND = "/v1/comparisons/second"


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is cleaned up but transactions."""


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
    assert count_waiting(recording, 60) is None
    assert world.opened(patient) == expected
    row = world.row(recording)
    assert row.state == a.RecordingState.COUNTED
    assert row.finished_at
    assert row.findings is None
    comparison = a.db.session.get_one(a.Comparison, recording)
    assert (comparison.number, comparison.sealed_seed) == (1, None)


def test_a_child_has_a_childs_defaults(world: World) -> None:
    patient = world.patient(age_band="newborn")
    count_waiting(world.reported(patient, FAST), 60)
    assert world.opened(patient) == (1, 0, 0)


def test_all_that_waits_for_the_tally_is_counted_in_the_order_of_upload(world: World) -> None:
    patient, other = world.patient(), world.patient()
    second = world.reported(patient, MURMUR, at=2)
    first = world.reported(patient, MURMUR_AND_SLOW, at=1)
    third = world.reported(patient, FAST, at=3)
    elsewhere = [world.reported(other, MURMUR), world.reported(patient, MURMUR, "2026-03-02")]
    assert count_waiting(third, 60) is None
    assert world.opened(patient) == (3, 2, 2)
    numbers = [a.db.session.get_one(a.Comparison, r).number for r in (first, second, third)]
    assert numbers == [1, 2, 3]
    assert all(world.row(r).state == a.RecordingState.REPORTED for r in elsewhere)


def test_a_doubled_message_changes_nothing(world: World) -> None:
    patient = world.patient()
    recording = world.reported(patient, MURMUR)
    count_waiting(recording, 60)
    asked = len(world.switch.asked)
    assert count_waiting(recording, 60) is None
    assert count_waiting("0" * 32, 60) is None
    assert world.opened(patient) == (1, 1, 0)
    assert len(world.switch.asked) == asked


@pytest.mark.parametrize("where", ["next_position", "compare", "_add"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_anywhere_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str, when: str
) -> None:
    patient = world.patient()
    world.reported(patient, MURMUR, at=1)
    recording = world.reported(patient, MURMUR_AND_SLOW, at=2)
    real = getattr(counting, where)

    def dies(*arguments):
        if when == "after":
            real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(counting, where, dies)
        # A killed process gives nothing back either.
        patch.setattr(counting, "give_back", lambda *_: None)
        with pytest.raises(Killed):
            count_waiting(recording, 60)
    a.db.session.rollback()
    a.db.session.execute(update(a.Tally).values(lease_until=0))
    a.db.session.commit()
    assert count_waiting(recording, 60) is None
    assert world.opened(patient) == (2, 2, 1)
    with world.keyholder.app_context():
        assert b.db.session.scalars(select(b.ServedTally.served)).all() == [2]


def test_a_key_holder_that_goes_away_between_the_rounds(world: World) -> None:
    patient = world.patient()
    recording = world.reported(patient, MURMUR_AND_SLOW)
    world.switch.off = {SECOND}
    with pytest.raises(KeyholderUnavailable):
        count_waiting(recording, 60)
    assert world.row(recording).state == a.RecordingState.REPORTED
    world.switch.off = set()
    assert count_waiting(recording, 60) is None
    assert world.opened(patient) == (1, 1, 1)


def test_two_workers_on_one_tally(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is so slow that its lease runs out, and the second counts everything meanwhile."""
    patient = world.patient()
    world.reported(patient, MURMUR, at=1)
    recording = world.reported(patient, FAST, at=2)
    real = counting.compare
    overtaken = []

    def other_worker() -> None:
        with world.flask.app_context():
            count_waiting(recording, 60)

    def slow(*arguments):
        compared = real(*arguments)
        if not overtaken:
            overtaken.append(True)
            with world.flask.app_context():
                a.db.session.execute(update(a.Tally).values(lease_until=0))
                a.db.session.commit()
            thread = threading.Thread(target=other_worker)
            thread.start()
            thread.join()
        return compared

    monkeypatch.setattr(counting, "compare", slow)
    assert count_waiting(recording, 60) is None
    assert overtaken
    assert world.opened(patient) == (2, 1, 1)


def test_a_tally_that_another_worker_holds_is_left_alone(world: World) -> None:
    patient = world.patient()
    recording = world.reported(patient, MURMUR)
    world.switch.off = {SECOND}
    with pytest.raises(KeyholderUnavailable):
        count_waiting(recording, 60)
    world.switch.off = set()
    a.db.session.execute(update(a.Tally).values(lease="0" * 32, lease_until=2**40))
    a.db.session.commit()
    assert count_waiting(recording, 60) is None
    assert world.row(recording).state == a.RecordingState.REPORTED


def test_a_report_that_arrives_while_the_tally_is_held(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own message is turned away by the lease, so the holder must find it."""
    patient = world.patient()
    recording = world.reported(patient, MURMUR)
    real = counting.give_back
    late: list[str] = []

    def give_back(*arguments) -> None:
        if not late:
            late.append(world.reported(patient, FAST))
            assert count_waiting(late[0], 60) is None
        real(*arguments)

    monkeypatch.setattr(counting, "give_back", give_back)
    assert count_waiting(recording, 60) is None
    assert world.row(late[0]).state == a.RecordingState.COUNTED
    assert world.opened(patient) == (2, 1, 1)


def test_a_long_tally_makes_room_for_others(world: World) -> None:
    patient = world.patient()
    waiting = {world.reported(patient, MURMUR, at=i) for i in range(3)}
    rest = count_waiting(next(iter(waiting)), 0)
    assert rest in waiting
    assert world.opened(patient)[0] == 1


def test_the_range_in_force_is_the_one_of_the_assignment(world: World) -> None:
    patient = world.patient()
    old = world.range(patient, 10_000, 300, 600, a.RangeState.ACTIVE)
    recording = world.reported(patient, HEALTHY)
    world.switch.off = {SECOND}
    with pytest.raises(KeyholderUnavailable):
        count_waiting(recording, 60)
    world.switch.off = set()
    a.db.session.execute(
        update(a.Range).where(a.Range.id == old).values(state=a.RangeState.REPLACED)
    )
    a.db.session.commit()
    world.range(patient, 60_000, 600, 1_000, a.RangeState.ACTIVE)
    count_waiting(recording, 60)
    assert world.opened(patient) == (1, 1, 1)
    later = world.reported(patient, HEALTHY)
    count_waiting(later, 60)
    assert world.opened(patient) == (2, 1, 1)


def test_a_range_that_is_only_proposed_has_no_effect(world: World) -> None:
    patient = world.patient()
    for state in (a.RangeState.PROPOSED, a.RangeState.CHECKED, a.RangeState.REFUSED):
        world.range(patient, 0, 1_500, 2_000, state)
    count_waiting(world.reported(patient, HEALTHY), 60)
    assert world.opened(patient) == (1, 0, 0)


def test_what_cannot_be_compared_ends_failed_and_the_tally_goes_on(world: World) -> None:
    patient = world.patient()
    damaged = world.reported(patient, MURMUR_AND_SLOW, at=1)
    fine = world.reported(patient, MURMUR, at=2)
    a.db.session.execute(
        update(a.Recording)
        .where(a.Recording.id == damaged)
        .values(findings=bytes(world.key.ciphertext_bytes))
    )
    a.db.session.commit()
    assert count_waiting(damaged, 60) is None
    row = world.row(damaged)
    assert (row.state, row.reason) == (a.RecordingState.FAILED, "not_comparable")
    assert row.findings is None
    assert world.row(fine).state == a.RecordingState.COUNTED
    assert world.opened(patient) == (2, 1, 0)


def test_a_report_under_another_key_waits(world: World) -> None:
    patient = world.patient()
    recording = world.reported(patient, MURMUR)
    a.db.session.execute(update(a.Recording).values(key_id="f" * 64))
    a.db.session.commit()
    with pytest.raises(KeyNotActive):
        count_waiting(recording, 60)
    assert world.row(recording).state == a.RecordingState.REPORTED


def test_a_tally_that_lost_rows_is_refused_by_the_key_holder(world: World) -> None:
    """A restored backup would be served a second time under other numbers; B does not do that."""
    patient = world.patient()
    count_waiting(world.reported(patient, MURMUR), 60)
    a.db.session.execute(update(a.Tally).values(recordings=0))
    a.db.session.execute(a.Comparison.__table__.delete())
    a.db.session.commit()
    recording = world.reported(patient, MURMUR)
    with pytest.raises(KeyholderRefused, match="position-already-served"):
        count_waiting(recording, 60)
    assert world.row(recording).state == a.RecordingState.REPORTED


def test_nothing_in_the_clear_is_kept(world: World) -> None:
    patient = world.patient()
    recording = world.reported(patient, MURMUR)
    world.switch.off = {SECOND}
    with pytest.raises(KeyholderUnavailable):
        count_waiting(recording, 60)
    seed = a.db.session.get_one(a.Comparison, recording).sealed_seed
    assert seed is not None
    assert len(seed) > 32 + 16
    assert a.db.session.get_one(a.Tally, (patient.collector, DAY, world.key.key_id)).lease is None


@pytest.mark.parametrize("began", [False, True], ids=["not begun", "between the rounds"])
@pytest.mark.parametrize("damage", ["storage key lost", "invalid", "another value"])
def test_a_damaged_position_is_given_up_and_the_tally_goes_on(
    world: World, damage: str, began: bool
) -> None:
    patient = world.patient()
    damaged = world.reported(patient, MURMUR_AND_SLOW, at=1)
    fine = world.reported(patient, MURMUR, at=2)
    world.switch.off = {SECOND} if began else {FIRST, SECOND}
    with pytest.raises(KeyholderUnavailable):
        count_waiting(damaged, 60)
    world.switch.off = set()
    if damage == "storage key lost":
        sealed = StorageKey(bytes(32)).seal(bytes(32), b"")
        a.db.session.execute(update(a.Comparison).values(sealed_seed=sealed))
    else:
        width = world.key.ciphertext_bytes
        findings = bytes(width) if damage == "invalid" else world.key.constant(1).to_bytes()
        a.db.session.execute(
            update(a.Recording).where(a.Recording.id == damaged).values(findings=findings)
        )
    a.db.session.commit()
    assert count_waiting(damaged, 60) is None
    assert world.row(fine).state == a.RecordingState.COUNTED
    row = world.row(damaged)
    if damage == "another value" and not began:
        # Nobody can tell it from what was reported.
        assert row.state == a.RecordingState.COUNTED
        return
    assert (row.state, row.reason) == (a.RecordingState.FAILED, "not_comparable")
    assert world.opened(patient) == (2, 1, 0)
