"""Several devices of one account: asked for, compared, signed for, removed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.aggregator.accounts import service
from app.aggregator.tables import AccountKind, DeviceRequest, db
from app.aggregator.tables import CollectorKey as KeyRow
from crypto.encoding import new_id, sha256_hex
from crypto.jws import CollectorKey, SigningKey, doctor_code
from crypto.messages import Device, DeviceProof, DeviceRemoval, KeyType
from crypto.paillier import PublicKey
from tests.aggregator.cast import (
    Caller,
    Cast,
    grant_token,
    range_token,
    revocation_token,
)
from tests.support.authenticator import Passkey, PasskeySession

Key = CollectorKey | PasskeySession


def asked(caller: Caller, device: Key, label: str = "My phone", other: Any = None) -> TestResponse:
    body = {"key": device.public_jwk, "type": _type(device), "label": label, **(other or {})}
    return caller.post("/api/devices/requests", body)


def device_token(caller: Caller, key: Key, signer: Key | None = None, **other: Any) -> str:
    fields = {
        "collector": caller.collector,
        "key": key.public_jwk,
        "type": KeyType(_type(key)),
        "jti": new_id(),
        "iat": int(time.time()),
    }
    return Device(**fields | other).sign(signer or caller.key)


def proof_of(token: str, key: Key) -> str:
    jti = Device.claimed(token).jti
    return DeviceProof(device_sha256=sha256_hex(token.encode()), jti=jti).sign(key)


def added(caller: Caller, key: Key, signer: Key | None = None) -> TestResponse:
    token = device_token(caller, key, signer)
    return caller.post("/api/devices", {"device": token, "proof": proof_of(token, key)})


def removed(caller: Caller, thumbprint: str, signer: Key | None = None) -> TestResponse:
    message = DeviceRemoval(
        collector=caller.collector, thumbprint=thumbprint, jti=new_id(), iat=int(time.time())
    )
    return caller.post("/api/devices/removals", {"removal": message.sign(signer or caller.key)})


def devices(caller: Caller) -> Any:
    return caller.get("/api/devices").get_json()["devices"]


def slug(answer: TestResponse) -> str:
    body = answer.get_json(silent=True) or {}
    return str(body.get("type", answer.status_code)).removeprefix("urn:hushbeat:problem:")


def _type(key: Key) -> str:
    return "passkey" if isinstance(key, PasskeySession) else "software"


@pytest.fixture
def key_of_phone() -> CollectorKey:
    return CollectorKey.generate()


@pytest.fixture
def settings(settings: dict[str, str]) -> dict[str, str]:
    """Passkeys need a domain."""
    return settings | {"AGGREGATOR_URL": "http://localhost:8000"}


@pytest.fixture
def passkey(cast: Cast) -> PasskeySession:
    return Passkey("localhost", "http://localhost:8000").session(cast.patient.collector)


def test_the_whole_way(cast: Cast, key_of_phone: CollectorKey) -> None:
    patient = cast.patient
    answer = asked(patient, key_of_phone, "  My   phone ")
    assert answer.status_code == 201
    request, code = answer.get_json()["request"], answer.get_json()["code"]
    assert code == doctor_code(key_of_phone.thumbprint)
    again = asked(patient, key_of_phone)
    assert (again.status_code, again.get_json()) == (200, answer.get_json())
    (waiting,) = patient.get("/api/devices").get_json()["requests"]
    assert waiting["requested_at"] <= time.time()
    assert {name: waiting[name] for name in waiting if name != "requested_at"} == {
        "request": request,
        "key": key_of_phone.public_jwk,
        "type": "software",
        "label": "My phone",
        "code": code,
        "approved": False,
    }
    path = f"/api/devices/requests/{request}"
    assert patient.get(path).get_json() == {"request": request, "code": code, "device": None}
    token = device_token(patient, key_of_phone)
    assert patient.post(f"{path}/approval", {"device": token}).get_json() == {"request": request}
    assert patient.get(path).get_json()["device"] == token
    assert patient.get("/api/devices").get_json()["requests"][0]["approved"] is True

    body = {"device": token, "proof": proof_of(token, key_of_phone)}
    first, second = (patient.post("/api/devices", body) for _ in range(2))
    assert [first.status_code, second.status_code] == [201, 200]
    assert first.get_json() == second.get_json() == {"thumbprint": key_of_phone.thumbprint}
    assert [(one["thumbprint"], one["label"], one["root"]) for one in devices(patient)] == [
        (patient.key.thumbprint, "", True),
        (key_of_phone.thumbprint, "My phone", False),
    ]
    assert patient.get(path).status_code == 404


def test_every_device_signs(
    cast: Cast, key_of_phone: CollectorKey, passkey: PasskeySession, key: PublicKey
) -> None:
    patient, doctor = cast.patient, cast.doctor
    assert added(patient, key_of_phone).status_code == 201
    assert added(patient, passkey, key_of_phone).status_code == 201
    first_key, root = patient.key, patient.key.thumbprint
    patient.key = passkey  # type: ignore[assignment]
    token, grant = grant_token(patient, doctor, iat=int(time.time()))
    assert patient.post("/api/consents", {"grant": token}).status_code == 201
    doctors_key = doctor.key
    doctor.key = CollectorKey.generate()
    assert added(doctor, doctor.key, doctors_key).status_code == 201
    token, _ = range_token(doctor, patient.collector, key)
    path = f"/api/patients/{patient.collector}/ranges"
    answer = doctor.post(path, {"range": token})
    assert slug(answer) not in ("bad-signature", "key-revoked")
    assert removed(patient, root, key_of_phone).status_code == 200
    patient.key = first_key
    body = {"revocation": revocation_token(patient, grant)}
    assert slug(patient.delete(f"/api/consents/{grant}", body)) == "key-revoked"
    patient.key = key_of_phone
    body = {"revocation": revocation_token(patient, grant)}
    assert patient.delete(f"/api/consents/{grant}", body).status_code == 204
    # The first key names the account all the same.
    assert patient.get("/api/account").get_json()["thumbprint"] == root


def test_a_first_key_may_be_a_passkey(app: Flask, cast: Cast, passkey: PasskeySession) -> None:
    with app.app_context():
        made = service.create_account(None, "Pat", "correct horse battery", AccountKind.PATIENT)
        caller = Caller(app, None, "nobody")
        caller.id, caller.collector = made.id, made.collector
        caller.token = service.issue_token(made).token
    body = {"key": passkey.public_jwk, "type": "passkey"}
    assert caller.post("/api/enrolments", body).status_code == 200
    assert caller.post("/api/enrolments", body).status_code == 200
    assert slug(caller.post("/api/enrolments", {"key": passkey.public_jwk})) == "key-already-pinned"
    assert slug(caller.post("/api/enrolments", {**body, "type": "stone"})) == "invalid-encoding"
    caller.key = passkey.passkey.session(caller.collector)  # type: ignore[assignment]
    token, _ = grant_token(caller, cast.doctor, iat=int(time.time()))
    assert caller.post("/api/consents", {"grant": token}).status_code == 201


def test_a_removed_first_key_is_not_enrolled_again(cast: Cast, key_of_phone: CollectorKey) -> None:
    patient = cast.patient
    assert added(patient, key_of_phone).status_code == 201
    assert removed(patient, patient.key.thumbprint, key_of_phone).status_code == 200
    answer = patient.post("/api/enrolments", {"key": patient.key.public_jwk})
    assert slug(answer) == "key-revoked"


def test_only_a_key_of_the_account_signs_for_it(cast: Cast, key_of_phone: CollectorKey) -> None:
    patient, colleague = cast.patient, cast.colleague
    request = asked(patient, key_of_phone).get_json()["request"]
    path = f"/api/devices/requests/{request}/approval"
    for signer in (colleague.key, key_of_phone, CollectorKey.generate()):
        token = device_token(patient, key_of_phone, signer)
        assert slug(patient.post(path, {"device": token})) == "bad-signature"
        body = {"device": token, "proof": proof_of(token, key_of_phone)}
        assert slug(patient.post("/api/devices", body)) == "bad-signature"
    other_key = device_token(patient, CollectorKey.generate())
    assert slug(patient.post(path, {"device": other_key})) == "invalid-request"
    foreign = device_token(patient, key_of_phone, collector=colleague.collector)
    assert slug(patient.post(path, {"device": foreign})) == "invalid-request"
    body = {"device": foreign, "proof": proof_of(foreign, key_of_phone)}
    assert slug(patient.post("/api/devices", body)) == "invalid-request"
    token = device_token(patient, key_of_phone)
    body = {"device": token, "proof": proof_of(token, CollectorKey.generate())}
    assert slug(patient.post("/api/devices", body)) == "bad-signature"
    assert len(devices(patient)) == 1


def test_requests_are_nobody_elses(cast: Cast, key_of_phone: CollectorKey) -> None:
    request = asked(cast.patient, key_of_phone).get_json()["request"]
    path = f"/api/devices/requests/{request}"
    token = device_token(cast.colleague, key_of_phone)
    for other, status in ((cast.colleague, 404), (cast.doctor, 404), (cast.operator, 403)):
        assert other.get(path).status_code == status
        assert other.delete(path, {}).status_code == status
        assert other.post(f"{path}/approval", {"device": token}).status_code == status
    assert cast.stranger.get(path).status_code == 401
    assert cast.colleague.get("/api/devices").get_json()["requests"] == []
    assert cast.patient.delete(path, {}).status_code == 204
    assert cast.patient.get(path).status_code == 404


def test_keys_in_use_are_not_asked_for(cast: Cast, key_of_phone: CollectorKey) -> None:
    for taken in (cast.patient.key, cast.colleague.key):
        assert slug(asked(cast.patient, taken)) == "key-already-pinned"
    assert added(cast.colleague, key_of_phone).status_code == 201
    assert slug(added(cast.patient, key_of_phone)) == "key-already-pinned"


def test_what_is_no_request_is_refused(cast: Cast, key_of_phone: CollectorKey) -> None:
    for other in (
        {"label": ""},
        {"label": "x" * 41},
        {"label": "a\x07b"},
        {"type": "stone"},
        {"key": {}},
        {"key": SigningKey.generate().public_jwk},
        {"key": None},
        {"type": None},
    ):
        assert asked(cast.patient, key_of_phone, other=other).status_code == 400
    assert asked(cast.operator, key_of_phone).status_code == 403
    assert asked(cast.stranger, key_of_phone).status_code == 401


def test_ten_wait_for_a_day(app: Flask, cast: Cast) -> None:
    for _ in range(10):
        assert asked(cast.patient, CollectorKey.generate()).status_code == 201
    assert slug(asked(cast.patient, CollectorKey.generate())) == "too-many-device-requests"
    with app.app_context():
        db.session.execute(db.update(DeviceRequest).values(requested_at=int(time.time()) - 86_401))
        db.session.commit()
    assert cast.patient.get("/api/devices").get_json()["requests"] == []
    assert asked(cast.patient, CollectorKey.generate()).status_code == 201


def test_twenty_devices_are_enough(cast: Cast) -> None:
    for _ in range(19):
        assert added(cast.patient, CollectorKey.generate()).status_code == 201
    assert slug(added(cast.patient, CollectorKey.generate())) == "too-many-keys"


def test_a_removed_device_signs_nothing(app: Flask, cast: Cast, key_of_phone: CollectorKey) -> None:
    patient = cast.patient
    assert added(patient, key_of_phone).status_code == 201
    assert slug(removed(patient, key_of_phone.thumbprint, key_of_phone)) == "own-key"
    for _ in range(2):
        answer = removed(patient, key_of_phone.thumbprint)
        assert answer.get_json() == {"thumbprint": key_of_phone.thumbprint}
    assert [one["thumbprint"] for one in devices(patient)] == [patient.key.thumbprint]
    assert slug(added(patient, CollectorKey.generate(), key_of_phone)) == "key-revoked"
    assert slug(removed(patient, patient.key.thumbprint, key_of_phone)) == "key-revoked"
    assert slug(added(patient, key_of_phone)) == "key-already-pinned"
    with app.app_context():
        assert db.session.get_one(KeyRow, key_of_phone.thumbprint).revoked_at is not None


def test_nobody_elses_device_is_removed(cast: Cast) -> None:
    assert slug(removed(cast.patient, cast.colleague.key.thumbprint)) == "not-found"
    assert slug(removed(cast.patient, CollectorKey.generate().thumbprint)) == "not-found"
    theirs = removed(cast.colleague, cast.patient.key.thumbprint, cast.patient.key)
    assert slug(theirs) == "bad-signature"
    assert len(devices(cast.patient)) == 1


@pytest.mark.parametrize("token", ["", "a.b.c", "é", "e30.e30.e30", "A" * 9000])
def test_garbage_is_refused(cast: Cast, token: str, key_of_phone: CollectorKey) -> None:
    request = asked(cast.patient, key_of_phone).get_json()["request"]
    for path, body in (
        (f"/api/devices/requests/{request}/approval", {"device": token}),
        ("/api/devices", {"device": token, "proof": token}),
        ("/api/devices/removals", {"removal": token}),
    ):
        assert cast.patient.post(path, body).status_code == 400
