"""Healthy ranges: proposed, checked, decided by their doctor; one in force a patient."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask

from app.aggregator.ranges import service
from app.aggregator.tables import Range, RangeState, db
from crypto.encoding import b64u, new_id
from crypto.opening import commit_digest
from crypto.paillier import PublicKey
from tests.aggregator.cast import (
    Caller,
    Cast,
    consent,
    range_token,
    revoke,
)
from tests.aggregator.conftest import Keyholder, Line

DIGEST = bytes(range(32))
"""What both roles have of a valid range."""


@pytest.fixture
def checks(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each message to the aggregation workers."""
    announced: list[str] = []
    queue = type(app.extensions["hushbeat"].queue)
    monkeypatch.setattr(queue, "compare", lambda _self: announced.append("compare"))
    return announced


@pytest.fixture
def propose(cast: Cast, key: PublicKey) -> Callable[..., str]:
    def made(doctor: Caller | None = None, **changes: Any) -> str:
        doctor = doctor or cast.doctor
        token, range_id = range_token(doctor, cast.patient.collector, key, **changes)
        answer = doctor.post(f"/api/patients/{cast.patient.collector}/ranges", {"range": token})
        assert answer.status_code == 201, answer.text
        return range_id

    return made


@pytest.fixture(autouse=True)
def grants(cast: Cast) -> dict[str, str]:
    return {
        "doctor": consent(cast.patient, cast.doctor),
        "other_doctor": consent(cast.patient, cast.other_doctor),
    }


def check(app: Flask, range_id: str, state: RangeState = RangeState.CHECKED) -> None:
    """What the aggregation worker leaves behind."""
    with app.app_context():
        row = db.session.get_one(Range, range_id)
        row.state, row.digest = state, DIGEST
        db.session.commit()


def state(doctor: Caller, range_id: str) -> str:
    return str(doctor.get(f"/api/ranges/{range_id}").get_json()["state"])


def decide(doctor: Caller, range_id: str, accept: bool, digest: bytes = DIGEST) -> int:
    body = {"accept": True, "digest": b64u(digest)} if accept else {"accept": False}
    return doctor.post(f"/api/ranges/{range_id}/decision", body).status_code


def test_a_proposal_waits_for_its_check(
    app: Flask, cast: Cast, key: PublicKey, checks: list[str]
) -> None:
    token, range_id = range_token(cast.doctor, cast.patient.collector, key)
    path = f"/api/patients/{cast.patient.collector}/ranges"
    answers = [cast.doctor.post(path, {"range": token}) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 200]
    assert answers[0].get_json() == {"range": range_id, "state": "proposed"}
    assert checks == ["compare"]
    assert cast.doctor.get(f"/api/ranges/{range_id}").get_json() == {
        "range": range_id,
        "pseudonym": cast.patient.collector,
        "state": "proposed",
    }
    assert decide(cast.doctor, range_id, accept=True) == 409
    with app.app_context():
        row = db.session.get_one(Range, range_id)
        assert row.proposal == token
        assert row.key_id == key.key_id


def test_an_accepted_range_is_in_force_until_another_is(
    app: Flask, cast: Cast, propose: Callable[..., str]
) -> None:
    first, second = propose(), None
    check(app, first)
    assert decide(cast.doctor, first, accept=True) == 200
    assert decide(cast.doctor, first, accept=True) == 200
    assert decide(cast.doctor, first, accept=False) == 409
    [shown] = cast.doctor.get("/api/patients").get_json()["patients"]
    assert shown["range"] == {"range": first, "state": "active", "mine": True}
    [seen] = cast.other_doctor.get("/api/patients").get_json()["patients"]
    assert seen["range"] == {"range": first, "state": "active", "mine": False}
    second = propose(cast.other_doctor)
    check(app, second)
    assert state(cast.doctor, first) == "active"
    assert decide(cast.other_doctor, second, accept=True) == 200
    assert state(cast.doctor, first) == "replaced"
    assert state(cast.other_doctor, second) == "active"


def test_a_refused_range_leaves_the_one_in_force(
    app: Flask, cast: Cast, propose: Callable[..., str]
) -> None:
    first = propose()
    check(app, first)
    decide(cast.doctor, first, accept=True)
    second = propose()
    check(app, second)
    assert decide(cast.doctor, second, accept=False) == 200
    assert decide(cast.doctor, second, accept=False) == 200
    assert decide(cast.doctor, second, accept=True) == 409
    assert state(cast.doctor, second) == "refused"
    assert state(cast.doctor, first) == "active"


@pytest.mark.parametrize(
    "digest", [bytes(32), DIGEST[:-1] + b"\0", commit_digest(DIGEST)], ids=["zeros", "near", "told"]
)
def test_without_the_key_holders_digest_no_range_is_put_in_force(
    app: Flask, cast: Cast, propose: Callable[..., str], digest: bytes
) -> None:
    """Also not with what this role tells the doctor before."""
    first = propose()
    check(app, first)
    assert decide(cast.doctor, first, accept=True) == 200
    second = propose()
    check(app, second)
    path, body = f"/api/ranges/{second}/decision", {"accept": True, "digest": b64u(digest)}
    for _ in range(2):
        answer = cast.doctor.post(path, body)
        assert answer.status_code == 422
        assert answer.get_json()["type"] == "urn:hushbeat:problem:range-not-valid"
        assert state(cast.doctor, second) == "refused"
    assert decide(cast.doctor, second, accept=True) == 409, "there is one try"
    assert state(cast.doctor, first) == "active"


def test_a_range_that_could_not_be_compared_is_never_in_force(
    app: Flask, cast: Cast, propose: Callable[..., str]
) -> None:
    """A void check leaves REFUSED without a digest; a digest of nothing is no way around it."""
    range_id = propose()
    with app.app_context():
        db.session.get_one(Range, range_id).state = RangeState.REFUSED
        db.session.commit()
    assert decide(cast.doctor, range_id, accept=True) == 422
    assert decide(cast.doctor, range_id, accept=True, digest=b"") == 400
    with app.app_context():
        db.session.get_one(Range, range_id).state = RangeState.CHECKED
        db.session.commit()
    assert decide(cast.doctor, range_id, accept=True, digest=bytes(32)) == 422
    assert state(cast.doctor, range_id) == "refused"


def test_a_decision_that_makes_no_sense_changes_nothing(
    app: Flask, cast: Cast, propose: Callable[..., str]
) -> None:
    range_id = propose()
    check(app, range_id)
    good = b64u(DIGEST)
    for body in (
        {},
        {"accept": 1},
        {"accept": True},
        {"accept": True, "digest": None},
        {"accept": False, "digest": good},
        {"accept": True, "digest": good[:-2]},
        {"accept": True, "digest": b64u(DIGEST + b"\0")},
        {"accept": True, "digest": "not base64!"},
        {"accept": True, "digest": DIGEST.hex()},
    ):
        answer = cast.doctor.post(f"/api/ranges/{range_id}/decision", body)
        assert answer.status_code == 400, (body, answer.text)
    assert state(cast.doctor, range_id) == "checked"
    assert decide(cast.doctor, range_id, accept=True) == 200


def test_a_newer_proposal_takes_the_place_of_an_undecided_one(
    app: Flask, cast: Cast, propose: Callable[..., str]
) -> None:
    first, of_other = propose(), propose(cast.other_doctor)
    check(app, first)
    second = propose()
    assert state(cast.doctor, first) == "replaced"
    assert decide(cast.doctor, first, accept=True) == 409
    assert state(cast.other_doctor, of_other) == "proposed"
    [shown] = cast.doctor.get("/api/patients").get_json()["patients"]
    assert shown["range"] == {"range": second, "state": "proposed", "mine": True}


def test_only_its_doctor_sees_and_decides(
    app: Flask, cast: Cast, propose: Callable[..., str]
) -> None:
    range_id = propose()
    check(app, range_id)
    for caller, status in (
        (cast.other_doctor, 404),
        (cast.patient, 403),
        (cast.operator, 403),
        (cast.stranger, 401),
    ):
        assert caller.get(f"/api/ranges/{range_id}").status_code == status
        assert decide(caller, range_id, accept=True) == status
    assert state(cast.doctor, range_id) == "checked"
    assert cast.doctor.get(f"/api/ranges/{new_id()}").status_code == 404
    assert cast.doctor.get("/api/ranges/x").status_code == 400


def test_without_a_consent_nothing_is_proposed_or_decided(
    app: Flask,
    cast: Cast,
    key: PublicKey,
    grants: dict[str, str],
    propose: Callable[..., str],
) -> None:
    active = propose()
    check(app, active)
    decide(cast.doctor, active, accept=True)
    pending = propose()
    check(app, pending)
    revoke(cast.patient, grants["doctor"])
    assert state(cast.doctor, active) == "replaced"
    assert decide(cast.doctor, pending, accept=True) == 404
    token, _ = range_token(cast.doctor, cast.patient.collector, key)
    path = f"/api/patients/{cast.patient.collector}/ranges"
    assert cast.doctor.post(path, {"range": token}).status_code == 404
    other = f"/api/patients/{cast.colleague.collector}/ranges"
    token, _ = range_token(cast.doctor, cast.colleague.collector, key)
    assert cast.doctor.post(other, {"range": token}).status_code == 404
    assert cast.patient.post(path, {"range": token}).status_code == 403
    assert cast.stranger.post(path, {"range": token}).status_code == 401


def test_forged_proposals_are_refused(
    app: Flask, cast: Cast, key: PublicKey, keyholder: Keyholder
) -> None:
    patient = cast.patient.collector
    path = f"/api/patients/{patient}/ranges"
    good, range_id = range_token(cast.doctor, patient, key)
    zero = bytes(key.ciphertext_bytes)
    too_large = b"\xff" * key.ciphertext_bytes
    factor = keyholder.keys.paillier._p
    not_coprime = int(factor).to_bytes(key.ciphertext_bytes, "big")
    cases = [
        (range_token(cast.other_doctor, patient, key)[0], 422),
        (range_token(cast.doctor, cast.colleague.collector, key)[0], 400),
        (range_token(cast.doctor, patient, key, key_id="0" * 64)[0], 422),
        (range_token(cast.doctor, patient, key, bounds=zero)[0], 422),
        (range_token(cast.doctor, patient, key, bounds=too_large)[0], 422),
        (range_token(cast.doctor, patient, key, bounds=not_coprime)[0], 422),
        (range_token(cast.doctor, patient, key, bounds=b"short")[0], 400),
        (good[:-2], 422),
        ("", 400),
    ]
    for token, status in cases:
        answer = cast.doctor.post(path, {"range": token})
        assert answer.status_code == status, answer.text
    with app.app_context():
        assert db.session.query(Range).count() == 0
    assert cast.doctor.post("/api/patients/x/ranges", {"range": good}).status_code == 400
    assert cast.doctor.post(path, {"range": good}).status_code == 201
    other, _ = range_token(cast.doctor, patient, key, range=range_id)
    assert cast.doctor.post(path, {"range": other}).status_code == 409
    copied, _ = range_token(cast.other_doctor, patient, key, range=range_id)
    assert cast.other_doctor.post(path, {"range": copied}).status_code == 409


def test_while_the_key_holder_is_down_a_proposal_is_asked_to_wait(
    cast: Cast, key: PublicKey, line: Line
) -> None:
    line.down = True
    token, _ = range_token(cast.doctor, cast.patient.collector, key)
    path = f"/api/patients/{cast.patient.collector}/ranges"
    answer = cast.doctor.post(path, {"range": token})
    assert answer.status_code == 503
    assert answer.get_json()["type"] == "urn:hushbeat:problem:keyholder-unavailable"
    assert int(answer.headers["Retry-After"]) > 0


def test_two_doctors_who_decide_at_once_leave_one_range_in_force(
    either_app: Flask, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On both databases; both have ended the former range before either puts the own in force."""
    cast = Cast(either_app)
    doctors = (cast.doctor, cast.other_doctor)
    path = f"/api/patients/{cast.patient.collector}/ranges"
    ids = []
    for doctor in doctors:
        consent(cast.patient, doctor)
        token, range_id = range_token(doctor, cast.patient.collector, key)
        assert doctor.post(path, {"range": token}).status_code == 201
        check(either_app, range_id)
        ids.append(range_id)
    barrier = threading.Barrier(2)
    end_active = service.end_active
    met = threading.local()

    def together(pseudonym: str) -> None:
        end_active(pseudonym)
        if not getattr(met, "once", False):
            met.once = True
            with suppress(threading.BrokenBarrierError):
                barrier.wait(0.5)  # on SQLite only one of them can be here

    monkeypatch.setattr(service, "end_active", together)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda d=d, r=r: answers.append(decide(d, r, accept=True)))
        for d, r in zip(doctors, ids, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200, 200]
    states = sorted(state(d, r) for d, r in zip(doctors, ids, strict=True))
    assert states == ["active", "replaced"]
