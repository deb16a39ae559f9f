"""Requests at the same moment, over both databases: each position once, each nonce once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import pytest
from werkzeug.test import TestResponse

from app.common.problems import Problem
from app.keyholder.served import _State
from app.keyholder.tables import ComparisonBatch, ComparisonSession, RangeCheck, ServedTally, db
from config import KeyholderConfig
from crypto.comparison.batches import BatchName, BatchRequest
from crypto.comparison.fast import Checked, Counted
from crypto.comparison.positions import RangePosition, RecordingPosition
from crypto.comparison.session import GarblerSession
from crypto.encoding import new_id
from crypto.keyholder.fast import FastResponder, Served
from crypto.messages import CollectorKind
from crypto.slots import Counts
from tests.keyholder.comparing import Comparing
from tests.keyholder.world import DAY, Party, World, slug

MANY = 4


@pytest.fixture(params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest,
    make_world: Callable[[KeyholderConfig], World],
    config: KeyholderConfig,
) -> World:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
        config = replace(config, database_url=url)
    return make_world(config)


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


def sending(comparing: Comparing, request: bytes) -> Callable[[], TestResponse]:
    return lambda: comparing.send(request)


def at(number: int, patient: str | None = None) -> RecordingPosition:
    return RecordingPosition(patient or new_id(), DAY, number)


def served(world: World) -> dict[str, int]:
    with world.app.app_context():
        return {t.pseudonym: t.served for t in db.session.execute(db.select(ServedTally)).scalars()}


def batches(world: World) -> int:
    with world.app.app_context():
        return len(db.session.execute(db.select(ComparisonBatch.number)).all())


def test_the_same_batch_many_times_has_one_answer(world: World) -> None:
    comparing, patient = Comparing(world), new_id()
    items = [comparing.recording(at(number, patient), 40_000) for number in (1, 2)]
    request = comparing.request(*items, comparing.range(RangePosition(new_id(), patient), 1, 2))
    answers = together(*[sending(comparing, request)] * MANY)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.data for answer in answers}) == 1
    assert served(world) == {patient: 2}
    assert batches(world) == 1


def test_a_resend_that_another_process_answers_meanwhile_gets_that_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is served after this one has read what speaks against it."""
    comparing = Comparing(world)
    request = comparing.request(comparing.recording(at(1)))
    original = _State.refusal
    other: list[TestResponse | None] = []

    def served_meanwhile(self: _State) -> Problem | None:
        found = original(self)
        if not other:
            other.append(None)
            other[:] = together(sending(comparing, request))
        return found

    monkeypatch.setattr(_State, "refusal", served_meanwhile)
    answer = comparing.send(request)
    assert answer.status_code == 200
    assert other[0] is not None
    assert answer.data == other[0].data


def test_one_that_is_served_while_another_computes_is_sent_by_both(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparing = Comparing(world)
    request = comparing.request(comparing.recording(at(1)))
    original = FastResponder.answer
    other: list[TestResponse | None] = []

    def slowly(self: FastResponder, session: GarblerSession, asked: BatchRequest) -> Served:
        if not other:
            other.append(None)
            other[:] = together(sending(comparing, request))
        return original(self, session, asked)

    monkeypatch.setattr(FastResponder, "answer", slowly)
    answer = comparing.send(request)
    assert other[0] is not None
    assert answer.data == other[0].data
    assert batches(world) == 1


def test_of_different_batches_with_one_name_one_is_served(world: World) -> None:
    comparing, patients = Comparing(world), [new_id() for _ in range(MANY)]
    requests = [
        comparing.request(comparing.recording(at(1, patient)), number=3) for patient in patients
    ]
    answers = together(*(sending(comparing, request) for request in requests))
    slugs = [slug(answer) for answer in answers]
    assert sorted(slugs) == ["200"] + ["batch-already-served"] * (MANY - 1)
    assert served(world) == {patients[slugs.index("200")]: 1}


@pytest.mark.parametrize("sessions", [1, MANY])
def test_of_different_batches_for_a_position_one_is_served(world: World, sessions: int) -> None:
    """In one session, and side by side in several, whose rows keep nobody apart."""
    patient, check = new_id(), RangePosition(new_id(), new_id())
    sides = [Comparing(world) for _ in range(sessions)] * (MANY // sessions)
    for items in (
        [side.recording(at(1, patient)) for side in sides],
        [side.range(check, 600, 1000) for side in sides],
    ):
        requests = [side.request(item) for side, item in zip(sides, items, strict=True)]
        answers = together(*map(sending, sides, requests))
        assert sorted(map(slug, answers)) == ["200"] + ["position-already-served"] * (MANY - 1)
    assert served(world) == {patient: 1}
    with world.app.app_context():
        assert len(db.session.execute(db.select(RangeCheck)).all()) == 1


def test_batches_of_one_day_follow_each_other(world: World) -> None:
    """The later numbers are refused until the earlier ones are there, and then served."""
    patient, sides = new_id(), [Comparing(world) for _ in range(MANY)]
    waiting = {
        n: (side, side.request(*(side.recording(at(2 * n + k, patient)) for k in (1, 2))))
        for n, side in enumerate(sides)
    }
    for _ in range(MANY):
        answers = together(*(sending(*one) for one in waiting.values()))
        found = dict(zip(list(waiting), map(slug, answers), strict=True))
        assert set(found.values()) <= {"200", "position-out-of-order"}
        waiting = {n: one for n, one in waiting.items() if found[n] != "200"}
    assert not waiting
    assert served(world) == {patient: 2 * MANY}


def test_batches_with_the_same_tallies_in_any_order_do_not_wait_for_each_other(
    world: World,
) -> None:
    """New rows and old ones, met in opposite orders, by sessions side by side."""
    patients = [new_id() for _ in range(24)]
    sides = [Comparing(world) for _ in range(MANY)]
    for number in (1, 2, 3):
        requests = []
        for index, side in enumerate(sides):
            order = patients if index % 2 else patients[::-1]
            item = side.recording(at(number))
            requests.append(
                side.request(*(replace(item, position=at(number, patient)) for patient in order))
            )
        answers = together(*map(sending, sides, requests))
        assert sorted(map(slug, answers)) == ["200"] + ["position-already-served"] * (MANY - 1)
    assert served(world) == dict.fromkeys(patients, 3)


def test_what_is_settled_twice_at_once_is_settled(world: World) -> None:
    comparing = Comparing(world)
    for _ in range(6):
        comparing.compare(comparing.recording(at(1)))
    names = [BatchName(comparing.session, number) for number in range(6)]
    sides = [Comparing(world) for _ in range(MANY)]
    requests = [
        side.request(side.recording(at(1)), settled=names if index % 2 else names[::-1])
        for index, side in enumerate(sides)
    ]
    answers = together(*map(sending, sides, requests))
    assert {answer.status_code for answer in answers} == {200}
    with world.app.app_context():
        kept = db.session.execute(
            db.select(ComparisonBatch.session).where(ComparisonBatch.answer.is_not(None))
        ).scalars()
        assert set(kept) == {side.session for side in sides}


def test_different_patients_do_not_hinder_each_other(world: World) -> None:
    comparing = Comparing(world)
    requests = [comparing.request(comparing.recording(at(1))) for _ in range(MANY)]
    answers = together(*(sending(comparing, request) for request in requests))
    assert {answer.status_code for answer in answers} == {200}
    with world.app.app_context():
        assert db.session.execute(db.select(ComparisonSession.comparisons)).scalar_one() == 3 * MANY


def test_a_session_that_is_swept_while_a_batch_computes_serves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparing, patient = Comparing(world), new_id()
    request = comparing.request(comparing.recording(at(1, patient)))
    original = FastResponder.answer
    swept: list[Comparing | None] = []

    def slowly(self: FastResponder, session: GarblerSession, asked: BatchRequest) -> Served:
        if not swept:
            swept.append(None)
            with world.app.app_context():
                db.session.execute(db.update(ComparisonSession).values(opened_at=1))
                db.session.commit()
            swept.append(Comparing(world))
        return original(self, session, asked)

    monkeypatch.setattr(FastResponder, "answer", slowly)
    assert slug(comparing.send(request)) == "session-ended"
    assert served(world) == {}
    later = Comparing(world)
    later.compare(later.recording(at(1, patient)))


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_batch_that_was_cut_short_is_served_by_its_resend(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The process ends between computing and storing, or between storing and answering."""
    comparing, patient = Comparing(world), new_id()
    check = RangePosition(new_id(), patient)
    request = comparing.request(
        comparing.recording(at(1, patient), 40_000), comparing.range(check, 600, 1000)
    )

    class Killed(BaseException):
        pass

    def kill(*_: object) -> NoReturn:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "before":
            patch.setattr("app.keyholder.comparisons.keep", kill)
        else:
            patch.setattr("app.keyholder.comparisons._reply", kill)
        with pytest.raises(Killed):
            comparing.send(request)
    assert served(world) == ({} if step == "before" else {patient: 1})
    assert batches(world) == (0 if step == "before" else 1)
    counted, checked = comparing.finish(request, comparing.send(request))
    assert isinstance(counted, Counted)
    assert isinstance(checked, Checked)
    public, private = world.keys.paillier.public, world.keys.paillier
    step_mask = world.keys.masks.step(public, at(1, patient))
    assert (private.decrypt(counted.contribution) - step_mask) % public.n == 1
    with world.app.app_context():
        row = db.session.execute(db.select(RangeCheck)).scalar_one()
        assert row.digest == checked.digest
    assert served(world) == {patient: 1}


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
