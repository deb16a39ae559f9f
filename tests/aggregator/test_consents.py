"""Doctors' codes, consents and their end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from app.aggregator.tables import Consent, Range, RangeState, db
from crypto.encoding import new_id
from crypto.jws import CollectorKey, doctor_code
from crypto.messages import Grant
from crypto.paillier import PublicKey
from tests.aggregator.cast import (
    NOW,
    Cast,
    consent,
    grant_token,
    range_token,
    revocation_token,
    revoke,
)


def test_a_doctor_is_found_by_code(cast: Cast) -> None:
    code = doctor_code(cast.doctor.key.thumbprint)
    assert cast.patient.get(f"/api/doctors/{code}").get_json() == {
        "collector": cast.doctor.collector,
        "kind": "doctor",
        "display_name": "Dr Owner",
        "key": cast.doctor.key.public_jwk,
    }
    assert cast.doctor.get(f"/api/doctors/{code}").status_code == 403
    assert cast.stranger.get(f"/api/doctors/{code}").status_code == 401


@pytest.mark.parametrize("code", ["AAAA-AAAA-AAAA-AAAA", "x", "%00", "..%2f", "x" * 500])
def test_an_unknown_code(cast: Cast, code: str) -> None:
    assert cast.patient.get(f"/api/doctors/{code}").status_code in (400, 404)


def test_codes_are_not_tried_out(cast: Cast) -> None:
    path = "/api/doctors/AAAA-AAAA-AAAA-AAAA"
    assert [cast.patient.get(path).status_code for _ in range(30)] == [404] * 30
    answer = cast.patient.get(path)
    assert answer.status_code == 429
    assert answer.mimetype == "application/problem+json"
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert cast.colleague.get(path).status_code == 404, "each account is counted alone"


def test_a_patients_code_is_no_doctors(cast: Cast) -> None:
    code = doctor_code(cast.colleague.key.thumbprint)
    assert cast.patient.get(f"/api/doctors/{code}").status_code in (400, 404)


def test_a_consent_shows_to_both_and_to_nobody_else(cast: Cast) -> None:
    grant = consent(cast.patient, cast.doctor)
    [shown] = cast.patient.get("/api/consents").get_json()["consents"]
    assert (shown["grant"], shown["doctor"]) == (grant, cast.doctor.collector)
    assert shown["display_name"] == "Dr Owner"
    [patient] = cast.doctor.get("/api/patients").get_json()["patients"]
    assert patient | {"since": 0} == {
        "pseudonym": cast.patient.collector,
        "display_name": "Pat Owner",
        "since": 0,
        "range": None,
    }
    assert cast.colleague.get("/api/consents").get_json() == {"consents": []}
    assert cast.other_doctor.get("/api/patients").get_json() == {"patients": []}
    for path in ("/api/consents", "/api/patients"):
        assert cast.stranger.get(path).status_code == 401
    assert cast.doctor.get("/api/consents").status_code == 403
    assert cast.patient.get("/api/patients").status_code == 403
    assert cast.operator.get("/api/patients").status_code == 403


def test_the_same_grant_again_changes_nothing(cast: Cast) -> None:
    token, grant = grant_token(cast.patient, cast.doctor)
    later, _ = grant_token(cast.patient, cast.doctor, grant=grant, iat=NOW + 60)
    answers = [cast.patient.post("/api/consents", {"grant": one}) for one in (token, token, later)]
    assert [a.status_code for a in answers] == [201, 200, 200]
    assert {a.get_json()["grant"] for a in answers} == {grant}


def test_forged_grants_are_refused(app: Flask, cast: Cast) -> None:
    good = {"grant": new_id(), "patient": cast.patient.collector, "iat": 0}
    doctor = {
        "doctor": cast.doctor.collector,
        "doctor_thumbprint": cast.doctor.key.thumbprint,
    }
    signed_by_another = Grant(**good, **doctor).sign(cast.colleague.key)
    of_another = grant_token(cast.patient, cast.doctor, patient=cast.colleague.collector)[0]
    to_another_key = grant_token(
        cast.patient, cast.doctor, doctor_thumbprint=CollectorKey.generate().thumbprint
    )[0]
    to_a_patient = grant_token(cast.patient, cast.colleague)[0]
    to_nobody = grant_token(cast.patient, cast.doctor, doctor=new_id())[0]
    revocation = revocation_token(cast.patient, new_id())
    for token, status in (
        (signed_by_another, 422),
        (of_another, 400),
        (to_another_key, 404),
        (to_a_patient, 404),
        (to_nobody, 404),
        (revocation, 400),
        ("x", 400),
        ("a.b.c", 400),
        ("", 400),
    ):
        assert cast.patient.post("/api/consents", {"grant": token}).status_code == status
    with app.app_context():
        assert db.session.query(Consent).count() == 0


def test_another_grant_under_the_same_id_is_refused(cast: Cast) -> None:
    token, grant = grant_token(cast.patient, cast.doctor)
    cast.patient.post("/api/consents", {"grant": token})
    other, _ = grant_token(cast.patient, cast.other_doctor, grant=grant)
    assert cast.patient.post("/api/consents", {"grant": other}).status_code == 409
    stolen, _ = grant_token(cast.colleague, cast.doctor, grant=grant)
    assert cast.colleague.post("/api/consents", {"grant": stolen}).status_code == 409


def test_a_consent_ends_for_good(cast: Cast) -> None:
    token, grant = grant_token(cast.patient, cast.doctor)
    cast.patient.post("/api/consents", {"grant": token})
    revoke(cast.patient, grant)
    revoke(cast.patient, grant)
    assert cast.patient.get("/api/consents").get_json() == {"consents": []}
    assert cast.doctor.get("/api/patients").get_json() == {"patients": []}
    assert cast.patient.post("/api/consents", {"grant": token}).status_code == 409


def test_only_the_patient_ends_a_consent(cast: Cast) -> None:
    grant = consent(cast.patient, cast.doctor)
    own = {"revocation": revocation_token(cast.colleague, grant)}
    copied = {"revocation": revocation_token(cast.patient, grant)}
    path = f"/api/consents/{grant}"
    assert cast.colleague.delete(path, own).status_code == 404
    assert cast.colleague.delete(path, copied).status_code == 422
    assert cast.doctor.delete(path, copied).status_code == 403
    assert cast.stranger.delete(path, copied).status_code == 401
    for_another = {"revocation": revocation_token(cast.patient, new_id())}
    assert cast.patient.delete(path, for_another).status_code == 400
    assert cast.patient.delete("/api/consents/..", copied).status_code in (400, 404)
    assert cast.patient.delete(path, {}).status_code == 400
    assert len(cast.patient.get("/api/consents").get_json()["consents"]) == 1


def test_one_consent_to_a_doctor_is_in_force(either_app: Flask) -> None:
    cast = Cast(either_app)
    first = consent(cast.patient, cast.doctor)
    token, second = grant_token(cast.patient, cast.doctor)
    answer = cast.patient.post("/api/consents", {"grant": token})
    assert answer.status_code == 409
    problem = answer.get_json()
    assert (problem["type"], problem["grant"]) == ("urn:hushbeat:problem:grant-exists", first)
    for caller, status in ((cast.colleague, 422), (cast.doctor, 403), (cast.stranger, 401)):
        answer = caller.post("/api/consents", {"grant": token})
        assert (answer.status_code, first in answer.text) == (status, False)
    consent(cast.patient, cast.other_doctor)
    consent(cast.colleague, cast.doctor)
    assert len(cast.patient.get("/api/consents").get_json()["consents"]) == 2
    revoke(cast.patient, first)
    assert cast.patient.post("/api/consents", {"grant": token}).status_code == 201
    revoke(cast.patient, first)
    assert len(cast.doctor.get("/api/patients").get_json()["patients"]) == 2, "a late resend"
    revoke(cast.patient, second)
    assert len(cast.doctor.get("/api/patients").get_json()["patients"]) == 1


def test_consents_sent_at_once_leave_one_in_force(either_app: Flask) -> None:
    cast, start = Cast(either_app), threading.Barrier(3)
    tokens = [grant_token(cast.patient, cast.doctor)[0] for _ in range(3)]

    def give(token: str) -> tuple[int, str]:
        start.wait(timeout=20)
        client = either_app.test_client()
        headers = {"Authorization": f"Bearer {cast.patient.token}"}
        answer = client.post("/api/consents", json={"grant": token}, headers=headers)
        return answer.status_code, answer.get_json()["grant"]

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(give, tokens))
    assert sorted(status for status, _ in answers) == [201, 409, 409]
    assert len({grant for _, grant in answers}) == 1


def test_giving_and_taking_back_is_not_for_ever(cast: Cast) -> None:
    token, grant = grant_token(cast.patient, cast.doctor)
    answers = [cast.patient.post("/api/consents", {"grant": token}) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [201] + [200] * 29 + [429]
    body = {"revocation": revocation_token(cast.patient, grant)}
    answers = [cast.patient.delete(f"/api/consents/{grant}", body) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [204] * 30 + [429]


def test_with_a_consent_end_the_doctors_ranges(app: Flask, cast: Cast, key: PublicKey) -> None:
    grant = consent(cast.patient, cast.doctor)
    consent(cast.patient, cast.other_doctor)
    consent(cast.colleague, cast.doctor)

    def proposed(doctor: str, patient: str, state: RangeState) -> str:
        maker, owner = getattr(cast, doctor), getattr(cast, patient)
        token, range_id = range_token(maker, owner.collector, key)
        path = f"/api/patients/{owner.collector}/ranges"
        assert maker.post(path, {"range": token}).status_code == 201
        with app.app_context():
            db.session.get_one(Range, range_id).state = state
            db.session.commit()
        return range_id

    active = proposed("doctor", "patient", RangeState.ACTIVE)
    pending = proposed("doctor", "patient", RangeState.CHECKED)
    of_other_doctor = proposed("other_doctor", "patient", RangeState.CHECKED)
    of_other_patient = proposed("doctor", "colleague", RangeState.ACTIVE)

    def states() -> list[str]:
        with app.app_context():
            ids = (active, pending, of_other_doctor, of_other_patient)
            return [db.session.get_one(Range, one).state for one in ids]

    assert states() == ["active", "checked", "checked", "active"]
    revoke(cast.patient, grant)
    assert states() == ["replaced", "replaced", "checked", "active"]
