"""Requests at the same moment, over both databases: each position once, each nonce once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from werkzeug.test import TestResponse

from app.common.problems import Problem
from app.keyholder import served
from app.keyholder.tables import ComparisonAnswer, ServedTally, db
from config import KeyholderConfig
from crypto.comparison.messages import FirstItem, RecordingPosition, SecondItem
from crypto.encoding import new_id
from crypto.messages import CollectorKind
from crypto.slots import Counts
from tests.keyholder.world import DAY, Party, World, slug

MANY = 4


@pytest.fixture(params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest,
    make_world: Callable[[KeyholderConfig], World],
    config: KeyholderConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
        config = replace(config, database_url=url)
    # As between processes: nothing in memory keeps two requests apart.
    monkeypatch.setattr("app.keyholder.comparisons._COMPUTING", [_NoLock()])
    return make_world(config)


class _NoLock:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def together(*calls: Callable[[], TestResponse]) -> list[TestResponse]:
    start, answers = threading.Barrier(len(calls)), {}

    def run(index: int) -> None:
        start.wait(timeout=20)
        answers[index] = calls[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[index] for index in range(len(calls))]


def sending_second(world: World, item: SecondItem) -> Callable[[], TestResponse]:
    return lambda: world.second(item)


def test_the_same_request_many_times_has_one_answer(world: World) -> None:
    position, side = RecordingPosition(new_id(), DAY, 1), world.recording(40_000, 720)
    item = FirstItem(position, *side.first())
    firsts = together(*[lambda: world.first(item)] * MANY)
    assert {answer.status_code for answer in firsts} == {200}
    assert len({answer.data for answer in firsts}) == 1

    second = world.second_item(position, side)
    seconds = together(*[lambda: world.second(second)] * MANY)
    assert {answer.status_code for answer in seconds} == {200}
    assert len({answer.data for answer in seconds}) == 1
    with world.app.app_context():
        assert db.session.execute(db.select(ServedTally.served)).scalar_one() == 1
        stored = db.session.execute(db.select(db.func.count()).select_from(ComparisonAnswer))
        assert stored.scalar_one() == 2


def test_a_resend_that_another_process_answers_meanwhile_gets_that_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = world.second_item(RecordingPosition(new_id(), DAY, 1), world.recording(40_000, 720))
    original, other = served._refusal, []

    def served_meanwhile(asked: served.Asked) -> Problem | None:
        if not other:
            other.append(None)
            other[:] = together(lambda: world.second(item))
        return original(asked)

    monkeypatch.setattr(served, "_refusal", served_meanwhile)
    answer = world.second(item)
    assert answer.status_code == 200
    assert answer.data == other[0].data


def test_of_different_requests_for_a_position_one_is_served(world: World) -> None:
    position = RecordingPosition(new_id(), DAY, 1)
    sides = [world.recording(40_000, 720) for _ in range(MANY)]
    items = [FirstItem(position, *side.first()) for side in sides]
    slugs = [slug(a) for a in together(*[lambda i=i: world.first(i) for i in items])]
    assert sorted(slugs) == ["200"] + ["position-already-served"] * (MANY - 1)

    winner = sides[slugs.index("200")]
    item = world.second_item(position, winner)
    shuffled = [
        replace(item, tests=tuple(row[k:] + row[:k] for row in item.tests)) for k in range(MANY)
    ]
    answers = together(*[sending_second(world, s) for s in shuffled])
    assert sorted(map(slug, answers)) == ["200"] + ["position-already-served"] * (MANY - 1)
    with world.app.app_context():
        assert db.session.execute(db.select(ServedTally.served)).scalar_one() == 1


def test_different_patients_do_not_hinder_each_other(world: World) -> None:
    positions = [RecordingPosition(new_id(), DAY, 1) for _ in range(MANY)]
    items = [world.second_item(position, world.recording(0, 720)) for position in positions]
    answers = together(*[sending_second(world, item) for item in items])
    assert {answer.status_code for answer in answers} == {200}


def test_a_statement_opens_once_whatever_the_hurry(world: World) -> None:
    owner = world.enrolled(CollectorKind.PATIENT)
    body = world.ask(owner, world.tally_of(owner, 3, Counts(2, 1))).body()
    answers = together(*[lambda: world.client.post("/v1/openings", json=body)] * MANY)
    assert sorted(map(slug, answers)) == ["200"] + ["already-opened"] * (MANY - 1)


def test_the_quota_holds_whatever_the_hurry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = world.enrolled(CollectorKind.PATIENT)
    tally = world.tally_of(owner, 3, Counts(2, 1))
    holder = world.app.extensions["hushbeat-keyholder"]
    limited = replace(holder, config=replace(holder.config, openings_per_hour=2))
    monkeypatch.setitem(world.app.extensions, "hushbeat-keyholder", limited)
    bodies = [world.ask(owner, tally).body() for _ in range(MANY)]
    answers = together(*[lambda b=b: world.client.post("/v1/openings", json=b) for b in bodies])
    assert sorted(map(slug, answers)) == ["200"] * 2 + ["too-many-openings"] * (MANY - 2)


def test_of_two_keys_for_a_collector_one_is_pinned(world: World) -> None:
    collector = new_id()
    parties = [Party(CollectorKind.PATIENT, collector) for _ in range(MANY)]
    bodies = [world.enrolment(party) for party in parties]
    answers = together(*[lambda b=b: world.client.post("/v1/enrolments", json=b) for b in bodies])
    assert sorted(map(slug, answers)) == ["201"] + ["already-enrolled"] * (MANY - 1)


def test_one_grant_sent_twice_at_once_is_one_grant(world: World) -> None:
    owner, doctor = world.enrolled(CollectorKind.PATIENT), world.enrolled(CollectorKind.DOCTOR)
    message = world.grant_message(owner, doctor)
    bodies = [{"grant": message.sign(owner.key)} for _ in range(MANY)]
    answers = together(*[lambda b=b: world.client.post("/v1/grants", json=b) for b in bodies])
    assert sorted(map(slug, answers)) == ["200"] * (MANY - 1) + ["201"]


def test_grants_sent_at_once_leave_one_in_force(world: World) -> None:
    owner, doctor = (world.enrolled(kind) for kind in (CollectorKind.PATIENT, CollectorKind.DOCTOR))
    messages = [world.grant_message(owner, doctor) for _ in range(MANY)]
    tokens = [message.sign(owner.key) for message in messages]

    def sending(token: str) -> Callable[[], TestResponse]:
        return lambda: world.app.test_client().post("/v1/grants", json={"grant": token})

    answers = together(*map(sending, tokens))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (MANY - 1)
    assert len({answer.json["grant"] for answer in answers if answer.json}) == 1
