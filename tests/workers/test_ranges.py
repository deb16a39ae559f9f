"""A proposed range is checked once; what comes out is a digest that its doctor compares."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from app.aggregator import tables as a
from app.keyholder.served import range_digest
from tests.workers.conftest import COMPARE, HEALTHY, World
from workers.aggregation import assigning
from workers.aggregation.counting import count_waiting


def _row(range_id: str) -> a.Range:
    a.db.session.rollback()
    return a.db.session.get_one(a.Range, range_id, populate_existing=True)


def _at_the_key_holder(world: World, row: a.Range) -> bytes | None:
    name = (row.id, row.pseudonym, row.key_id)
    with world.keyholder.app_context():
        return range_digest(*name)


@pytest.mark.parametrize(
    ("threshold", "lo", "hi", "valid"),
    [
        (32_768, 500, 1_200, True),
        (0, 700, 700, True),
        (65_535, 0, 65_534, True),
        (1, 701, 700, False),
        (1, 65_535, 0, False),
        (65_536, 500, 1_200, False),
        (1, 500, 65_535, False),
    ],
)
def test_both_have_the_same_digest_exactly_if_the_range_is_valid(
    world: World, threshold: int, lo: int, hi: int, valid: bool
) -> None:
    proposed = world.range(world.patient(), threshold, lo, hi, a.RangeState.PROPOSED)
    assert count_waiting(60) is False
    row = _row(proposed)
    assert (row.state, row.session, row.batch) == (a.RangeState.CHECKED, None, None)
    assert row.digest is not None
    assert len(row.digest) == 32
    assert (_at_the_key_holder(world, row) == row.digest) is valid


def test_recordings_and_ranges_share_a_batch(world: World) -> None:
    patient = world.patient()
    ranges = [world.range(patient, 1, 2, 3, a.RangeState.PROPOSED) for _ in range(3)]
    world.reported(patient, HEALTHY)
    assert count_waiting(60) is False
    assert world.switch.asked.count(COMPARE) == 1
    for one in ranges:
        row = _row(one)
        assert _at_the_key_holder(world, row) == row.digest is not None
    assert world.opened(patient) == (1, 0, 0)


@pytest.mark.parametrize("state", [s for s in a.RangeState if s != a.RangeState.PROPOSED])
def test_a_range_in_another_state_is_left_alone(world: World, state: a.RangeState) -> None:
    range_id = world.range(world.patient(), 32_768, 500, 1_200, state)
    assert count_waiting(60) is False
    assert (_row(range_id).state, _row(range_id).digest) == (state, None)
    assert COMPARE not in world.switch.asked


def test_a_range_that_was_decided_meanwhile_stays_decided(world: World) -> None:
    proposed = world.range(world.patient(), 32_768, 500, 1_200, a.RangeState.PROPOSED)
    assert assigning.assign(world.key, 0, 0) is not None
    a.db.session.execute(update(a.Range).values(state=a.RangeState.REPLACED))
    a.db.session.commit()
    assert count_waiting(60) is False
    row = _row(proposed)
    assert (row.state, row.digest, row.session) == (a.RangeState.REPLACED, None, None)
    assert all(batch.settled for batch in world.batches())


def test_a_damaged_range_is_refused(world: World) -> None:
    proposed = world.range(world.patient(), 32_768, 500, 1_200, a.RangeState.PROPOSED)
    a.db.session.execute(update(a.Range).values(bounds=b"x"))
    a.db.session.commit()
    assert count_waiting(60) is False
    assert (_row(proposed).state, _row(proposed).digest) == (a.RangeState.REFUSED, None)


def test_a_range_whose_answer_was_lost_is_refused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    patient = world.patient()
    proposed = world.range(patient, 32_768, 500, 1_200, a.RangeState.PROPOSED)
    count_waiting(60)
    a.db.session.execute(update(a.Range).values(state=a.RangeState.PROPOSED, digest=None))
    a.db.session.commit()
    world.reported(patient, HEALTHY)
    assert count_waiting(60) is False
    assert "position-already-served" in caplog.text
    assert _row(proposed).state == a.RangeState.REFUSED
    assert world.opened(patient) == (1, 0, 0)
