"""Rosters and cohorts at the same moment, over both databases: no overlap, one opening."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.keyholder.tables import Roster as RosterRow
from app.keyholder.tables import db
from config import KeyholderConfig
from crypto.cohorts import CohortCounts
from crypto.messages import CollectorKind
from crypto.slots import Counts
from tests.keyholder.test_cohorts import AFTER, DURING, LEAST, MONTH, Clinic, Clock
from tests.keyholder.test_concurrency import together
from tests.keyholder.world import World, slug


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(monkeypatch)
    made.set(DURING)
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest,
    clock: Clock,
    make_world: Callable[[KeyholderConfig], World],
    config: KeyholderConfig,
) -> World:
    config = replace(config, min_batch=LEAST)
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
        config = replace(config, database_url=url)
    return make_world(config)


@pytest.fixture
def clinics(world: World) -> list[Clinic]:
    """Two clinics that the same patients agreed to."""
    first = Clinic(world, world.enrolled(CollectorKind.CLINIC))
    second = Clinic(world, world.enrolled(CollectorKind.CLINIC), tallies=first.tallies)
    for day in range(1, LEAST + 2):
        patient = first.patient((f"{MONTH}-{day:02}", 2, Counts(1, 2)))
        second.patient(of=patient)
    return [first, second]


def test_of_two_rosters_that_overlap_one_is_fixed(world: World, clinics: list[Clinic]) -> None:
    names = sorted(clinics[0].tallies)
    rosters = [
        replace(clinic.roster([]), pseudonyms=tuple(part))
        for clinic, part in zip(clinics, (names[1:], names[:-1]), strict=True)
    ]
    calls = [lambda c=c, r=r: c.send(r) for c, r in zip(clinics, rosters, strict=True)]
    answers = together(*calls)
    assert sorted(slug(answer) for answer in answers) == ["201", "roster-overlap"]
    with world.app.app_context():
        assert len(db.session.execute(db.select(RosterRow)).all()) == 1


def test_the_same_roster_many_times_is_fixed_once(world: World, clinics: list[Clinic]) -> None:
    clinic = clinics[0]
    roster = replace(clinic.roster([]), pseudonyms=tuple(sorted(clinic.tallies)))
    answers = together(*[lambda: clinic.send(roster)] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]


def test_of_many_statements_one_is_opened(
    world: World, clinics: list[Clinic], clock: Clock
) -> None:
    clinic = clinics[0]
    roster = replace(clinic.roster([]), pseudonyms=tuple(sorted(clinic.tallies)))
    assert clinic.send(roster).status_code == 201
    clock.set(AFTER)
    asked = [clinic.ask(roster) for _ in range(3)]
    answers = together(*[one.send for one in asked])
    assert sorted(slug(answer) for answer in answers) == ["200", "cohort-opened", "cohort-opened"]
    [sums] = [
        one.sums(answer)
        for one, answer in zip(asked, answers, strict=True)
        if answer.status_code == 200
    ]
    n = len(clinic.tallies)
    assert sums == CohortCounts(n, 2 * n)


def test_the_same_statement_many_times_has_one_answer(
    world: World, clinics: list[Clinic], clock: Clock
) -> None:
    clinic = clinics[0]
    roster = replace(clinic.roster([]), pseudonyms=tuple(sorted(clinic.tallies)))
    assert clinic.send(roster).status_code == 201
    clock.set(AFTER)
    asked = clinic.ask(roster)
    answers = together(*[asked.send] * 3)
    assert len({answer.data for answer in answers}) == 1
    assert answers[0].status_code == 200
