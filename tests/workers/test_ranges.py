"""A proposed range is compared once and waits for its doctor to open the check."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from app.aggregator import tables as a
from app.aggregator.keyholder_client import KeyholderUnavailable
from tests.workers.conftest import World
from workers.aggregation import ranges


def _row(range_id: str) -> a.Range:
    a.db.session.rollback()
    return a.db.session.get_one(a.Range, range_id, populate_existing=True)


def _bit(world: World, range_id: str) -> int:
    row = _row(range_id)
    assert row.check is not None
    plain = world.keys.paillier.decrypt(world.key.parse(row.check))
    return (plain - world.keys.masks.check(world.key, range_id, row.pseudonym)) % world.key.n


@pytest.mark.parametrize(
    ("lo", "hi", "ordered"), [(500, 1_200, 1), (700, 700, 1), (701, 700, 0), (65_535, 0, 0)]
)
def test_a_check_says_whether_the_bounds_are_in_order(
    world: World, lo: int, hi: int, ordered: int
) -> None:
    proposed = world.range(world.patient(), 32_768, lo, hi, a.RangeState.PROPOSED)
    ranges.check(proposed)
    row = _row(proposed)
    assert row.state == a.RangeState.CHECKED
    assert row.sealed_seed is None
    assert _bit(world, proposed) == ordered


def test_a_check_that_was_interrupted_is_taken_up_again(world: World) -> None:
    proposed = world.range(world.patient(), 32_768, 500, 1_200, a.RangeState.PROPOSED)
    world.switch.off = {"/v1/comparisons/second"}
    with pytest.raises(KeyholderUnavailable):
        ranges.check(proposed)
    seed = _row(proposed).sealed_seed
    assert seed
    with pytest.raises(KeyholderUnavailable):
        ranges.check(proposed)
    assert _row(proposed).sealed_seed == seed
    world.switch.off = set()
    ranges.check(proposed)
    assert _bit(world, proposed) == 1


@pytest.mark.parametrize("state", [s for s in a.RangeState if s != a.RangeState.PROPOSED])
def test_a_range_in_another_state_is_left_alone(world: World, state: a.RangeState) -> None:
    range_id = world.range(world.patient(), 32_768, 500, 1_200, state)
    ranges.check(range_id)
    ranges.check("0" * 32)
    assert _row(range_id).state == state
    assert _row(range_id).check is None
    assert world.switch.asked == []


def test_a_range_that_was_decided_meanwhile_stays_decided(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed = world.range(world.patient(), 32_768, 500, 1_200, a.RangeState.PROPOSED)
    real = ranges.compare

    def slow(*arguments):
        compared = real(*arguments)
        a.db.session.execute(update(a.Range).values(state=a.RangeState.REPLACED))
        a.db.session.commit()
        return compared

    monkeypatch.setattr(ranges, "compare", slow)
    ranges.check(proposed)
    assert _row(proposed).state == a.RangeState.REPLACED
    assert _row(proposed).check is None
