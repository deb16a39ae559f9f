"""Recovery as A relays it: who sees it, who vouches, and that only B's receipt completes it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.aggregator.tables import CollectorKey as KeyRow
from app.aggregator.tables import Recovery as RecoveryRow
from app.aggregator.tables import db
from crypto.encoding import new_id
from crypto.jws import CollectorKey, SigningKey, doctor_code
from crypto.messages import (
    AGGREGATOR,
    KeyType,
    Recovery,
    RecoveryApproval,
    RecoveryCancel,
    RecoveryReceipt,
)
from tests.aggregator.cast import Caller, Cast, consent, grant_token
from tests.aggregator.conftest import Keyholder
from tests.aggregator.test_devices import added, devices, slug


class Attempt:
    """A new key of a patient who lost the old one."""

    def __init__(self, patient: Caller) -> None:
        self.patient = patient
        self.key = CollectorKey.generate()
        self.jti = new_id()

    def token(self, **other: Any) -> str:
        fields = {
            "collector": self.patient.collector,
            "key": self.key.public_jwk,
            "type": KeyType.SOFTWARE,
            "jti": self.jti,
            "iat": int(time.time()),
        }
        return Recovery(**fields | other).sign(self.key)

    def ask(self, caller: Caller | None = None, **other: Any) -> TestResponse:
        body = {"recovery": self.token(**other)}
        return (caller or self.patient).post("/api/recoveries", body)

    def approve(self, doctor: Caller, **other: Any) -> TestResponse:
        fields = {
            "recovery": self.jti,
            "collector": self.patient.collector,
            "thumbprint": self.key.thumbprint,
            "approver": doctor.collector,
            "iat": int(time.time()),
        }
        token = RecoveryApproval(**fields | other).sign(doctor.key)
        return doctor.post(f"/api/recoveries/{self.jti}/approvals", {"approval": token})

    def cancel(self, signer: CollectorKey, caller: Caller | None = None) -> TestResponse:
        message = RecoveryCancel(
            recovery=self.jti, collector=self.patient.collector, iat=int(time.time())
        )
        path = f"/api/recoveries/{self.jti}/cancellation"
        return (caller or self.patient).post(path, {"cancel": message.sign(signer)})

    def complete(self, signer: SigningKey, **other: Any) -> TestResponse:
        fields = {
            "recovery": self.jti,
            "collector": self.patient.collector,
            "thumbprint": self.key.thumbprint,
            "iat": int(time.time()),
        }
        receipt = RecoveryReceipt(**fields | other).sign(signer)
        path = f"/api/recoveries/{self.jti}/completion"
        return self.patient.post(path, {"receipt": receipt})


@pytest.fixture
def attempt(cast: Cast) -> Attempt:
    consent(cast.patient, cast.doctor)
    made = Attempt(cast.patient)
    first, again = made.ask(), made.ask()
    assert [first.status_code, again.status_code] == [201, 200]
    assert first.get_json() == again.get_json()
    assert first.get_json() == {"recovery": made.jti, "code": doctor_code(made.key.thumbprint)}
    return made


def listed(caller: Caller) -> Any:
    return caller.get("/api/recoveries").get_json()["recoveries"]


def test_an_operator_and_a_doctor_vouch(
    cast: Cast, attempt: Attempt, statement_jwk: dict[str, str]
) -> None:
    for approver, name in ((cast.operator, AGGREGATOR), (cast.doctor, cast.doctor.collector)):
        (seen,) = listed(approver)
        assert (seen["recovery"], seen["code"]) == (
            attempt.jti,
            doctor_code(attempt.key.thumbprint),
        )
        assert (seen["display_name"], seen["approved"]) == ("Pat Owner", False)
        for _ in range(2):
            if approver is cast.operator:
                answer = approver.post(f"/api/recoveries/{attempt.jti}/approvals")
            else:
                answer = attempt.approve(approver)
            assert answer.get_json() == {"recovery": attempt.jti}
        (seen,) = listed(approver)
        assert seen["approved"] is True
        assert name in seen["approvals"]
    (own,) = listed(cast.patient)
    by_operator, by_doctor = sorted(
        own["approvals"], key=lambda token: RecoveryApproval.claimed(token).approver != AGGREGATOR
    )
    now = time.time()
    said = RecoveryApproval.verify(by_operator, statement_jwk, now)
    assert (said.approver, said.thumbprint) == (AGGREGATOR, attempt.key.thumbprint)
    RecoveryApproval.verify(by_doctor, cast.doctor.key.public_jwk, now)


def test_nobody_else_sees_or_vouches(cast: Cast, attempt: Attempt) -> None:
    for other in (cast.colleague, cast.other_doctor):
        assert listed(other) == []
    assert cast.stranger.get("/api/recoveries").status_code == 401
    assert attempt.approve(cast.other_doctor).status_code == 404
    path = f"/api/recoveries/{attempt.jti}/approvals"
    for patient in (cast.patient, cast.colleague):
        assert patient.post(path, {"approval": "x"}).status_code == 403
    assert cast.stranger.post(path).status_code == 401
    assert cast.operator.post(f"/api/recoveries/{'a' * 32}/approvals").status_code == 404
    assert cast.operator.post(path, {"approval": "x"}).status_code == 400


def test_an_approval_is_the_doctors_own_for_this_key(cast: Cast, attempt: Attempt) -> None:
    for other in (
        {"recovery": new_id()},
        {"collector": cast.colleague.collector},
        {"thumbprint": CollectorKey.generate().thumbprint},
        {"approver": cast.other_doctor.collector},
        {"approver": AGGREGATOR},
    ):
        assert slug(attempt.approve(cast.doctor, **other)) == "invalid-request"
    doctors_key = cast.doctor.key
    cast.doctor.key = cast.other_doctor.key
    assert slug(attempt.approve(cast.doctor)) == "bad-signature"
    cast.doctor.key = doctors_key
    assert attempt.approve(cast.doctor).status_code == 200


def test_a_request_is_the_accounts_own(cast: Cast, attempt: Attempt) -> None:
    assert slug(Attempt(cast.patient).ask(cast.colleague)) == "invalid-request"
    assert Attempt(cast.patient).ask(cast.doctor).status_code == 403
    assert Attempt(cast.patient).ask(cast.operator).status_code == 403
    assert Attempt(cast.patient).ask(cast.stranger).status_code == 401
    forged = Attempt(cast.patient)
    assert slug(forged.ask(key=cast.patient.key.public_jwk)) == "bad-signature"
    assert slug(forged.ask(iat=int(time.time()) - 31 * 86_400)) == "expired"
    forged.key = cast.patient.key
    assert slug(forged.ask()) == "key-already-pinned"
    forged.key, forged.jti = CollectorKey.generate(), attempt.jti
    assert slug(forged.ask()) == "recovery-over"


def test_a_key_that_is_left_cancels(cast: Cast, attempt: Attempt) -> None:
    phone = CollectorKey.generate()
    assert added(cast.patient, phone).status_code == 201
    for signer in (attempt.key, cast.colleague.key):
        assert slug(attempt.cancel(signer)) == "bad-signature"
    assert attempt.cancel(cast.colleague.key, cast.colleague).status_code == 404
    for _ in range(2):
        assert attempt.cancel(phone).get_json() == {"recovery": attempt.jti}
    assert listed(cast.operator) == []
    assert slug(attempt.approve(cast.doctor)) == "recovery-over"
    assert slug(attempt.ask()) == "recovery-over"


def test_only_the_key_holders_receipt_completes_it(
    app: Flask, cast: Cast, attempt: Attempt, keyholder: Keyholder
) -> None:
    manifest_key = keyholder.keys.manifest
    for signer in (SigningKey.generate(), attempt.key, cast.patient.key):
        assert slug(attempt.complete(signer)) == "bad-signature"  # type: ignore[arg-type]
    for other in (
        {"recovery": new_id()},
        {"collector": cast.colleague.collector},
        {"thumbprint": CollectorKey.generate().thumbprint},
    ):
        assert slug(attempt.complete(manifest_key, **other)) == "invalid-request"
    assert [one["thumbprint"] for one in devices(cast.patient)] == [cast.patient.key.thumbprint]
    for _ in range(2):
        answer = attempt.complete(manifest_key)
        assert answer.get_json() == {"thumbprint": attempt.key.thumbprint}
    assert [one["thumbprint"] for one in devices(cast.patient)] == [attempt.key.thumbprint]
    assert listed(cast.operator) == []
    token, _ = grant_token(cast.patient, cast.other_doctor)
    assert slug(cast.patient.post("/api/consents", {"grant": token})) == "key-revoked"
    cast.patient.key = attempt.key
    token, _ = grant_token(cast.patient, cast.other_doctor)
    assert cast.patient.post("/api/consents", {"grant": token}).status_code == 201
    with app.app_context():
        assert db.session.get_one(KeyRow, attempt.key.thumbprint).message is not None


def test_a_fourth_request_ends_the_first(app: Flask, cast: Cast, attempt: Attempt) -> None:
    with app.app_context():
        db.session.get_one(RecoveryRow, attempt.jti).requested_at -= 10
        db.session.commit()
    others = [Attempt(cast.patient) for _ in range(3)]
    for other in others:
        assert other.ask().status_code == 201
    assert {one["recovery"] for one in listed(cast.patient)} == {one.jti for one in others}


@pytest.mark.parametrize("token", ["", "a.b.c", "é", "e30.e30.e30", "A" * 9000])
def test_garbage_is_refused(cast: Cast, attempt: Attempt, token: str) -> None:
    path = f"/api/recoveries/{attempt.jti}"
    assert cast.patient.post("/api/recoveries", {"recovery": token}).status_code == 400
    assert cast.doctor.post(f"{path}/approvals", {"approval": token}).status_code == 400
    assert cast.patient.post(f"{path}/cancellation", {"cancel": token}).status_code == 400
    assert cast.patient.post(f"{path}/completion", {"receipt": token}).status_code == 400
    assert cast.patient.post("/api/recoveries/x/completion", {"receipt": token}).status_code == 400
