"""The victim's keys: what A's word, a doctor of the thief's and patience get a thief.

A vouches for a collector's *first* key only. Everything after is signed by the victim's keys, or
takes somebody whom the victim granted, and time.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from app.keyholder.tables import CollectorKey, db
from crypto.encoding import new_id, sha256_hex
from crypto.jws import CollectorKey as Key
from crypto.messages import (
    AGGREGATOR,
    CollectorKind,
    Device,
    DeviceProof,
    DeviceRemoval,
    KeyType,
    LogKind,
    RecoveryCancel,
    RecoveryReceipt,
    Revocation,
)
from crypto.slots import Counts
from tests.attacks.thief import Thief, impostor
from tests.keyholder.test_recoveries import Attempt, recovered
from tests.keyholder.world import Party, Tally, World, slug
from tests.support.authenticator import Passkey

COUNTS = Counts(sound=2, rate=1)
HOUR = 3600


def keys_of(world: World, party: Party) -> set[str]:
    """The thumbprints of the collector's keys in force."""
    with world.app.app_context():
        query = db.select(CollectorKey.thumbprint).filter_by(
            collector=party.collector, revoked_at=None
        )
        return set(db.session.scalars(query))


def own_key_only(world: World, victim: Party, tally: Tally) -> bool:
    """Whether the victim's key is the only one, and still opens the counts."""
    alone = keys_of(world, victim) == {victim.key.thumbprint}
    return alone and world.ask(victim, tally).counts() == [COUNTS]


@pytest.fixture
def attempt(world: World, victim: Party) -> Attempt:
    """The thief's key asks to take the place of the victim's keys."""
    return Attempt(world, victim.collector)


def test_a_second_key_by_as_word(world: World, tally: Tally, victim: Party) -> None:
    """Nothing: who has a key enrolled is not enrolled again, whatever A signs."""
    second = impostor(victim)
    for other in ({}, {"kind": CollectorKind.DOCTOR}, {"type": KeyType.PASSKEY}):
        body = world.enrolment(second, **other)
        answer = slug(world.client.post("/v1/enrolments", json=body))
        assert answer == ("bad-signature" if "type" in other else "already-enrolled")
    assert own_key_only(world, victim, tally)


def test_as_word_before_the_victims_own(world: World, thief: Thief) -> None:
    """Accepted, and seen: A pins a key for somebody who has none; the victim cannot enrol then."""
    victim = Party(CollectorKind.PATIENT)
    second = impostor(victim)
    assert world.client.post("/v1/enrolments", json=world.enrolment(second)).status_code == 201
    answer = world.client.post("/v1/enrolments", json=world.enrolment(victim))
    assert slug(answer) == "already-enrolled"


def test_a_device_that_the_victim_did_not_sign(
    world: World, thief: Thief, tally: Tally, victim: Party
) -> None:
    """Nothing: neither A nor any key of the thief takes a device of the victim's in."""
    second = impostor(victim)
    for signer in (second, thief.patient, thief.doctor):
        body = world.device(impostor(victim), second)
        forged = Device(
            collector=victim.collector,
            key=second.key.public_jwk,
            type=KeyType.SOFTWARE,
            jti=new_id(),
            iat=int(time.time()),
        ).sign(signer.key)
        proof = DeviceProof(device_sha256=sha256_hex(forged.encode()), jti=new_id())
        for device in (forged, body["device"]):
            sent = {"device": device, "proof": proof.sign(second.key)}
            assert slug(world.client.post("/v1/devices", json=sent)) == "bad-signature"
    by_a = Device(
        collector=victim.collector,
        key=second.key.public_jwk,
        type=KeyType.SOFTWARE,
        jti=new_id(),
        iat=int(time.time()),
    ).sign(world.statement_key)
    proof = DeviceProof(device_sha256=sha256_hex(by_a.encode()), jti=new_id())
    sent = {"device": by_a, "proof": proof.sign(second.key)}
    assert slug(world.client.post("/v1/devices", json=sent)) == "bad-signature"
    assert own_key_only(world, victim, tally)


def test_the_victims_device_message_with_another_key(
    world: World, thief: Thief, tally: Tally, victim: Party
) -> None:
    """Nothing: the victim's signature names the new key, whose owner proves to have it."""
    new = world.device_of(victim)
    body = world.device(victim, new)
    stolen = DeviceProof(device_sha256=sha256_hex(body["device"].encode()), jti=new_id())
    for proof in (stolen.sign(thief.patient.key), stolen.sign(new.key)):
        sent = body | {"proof": proof}
        assert slug(world.client.post("/v1/devices", json=sent)) == "bad-signature"
    assert own_key_only(world, victim, tally)


def test_removing_the_victims_keys(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Nothing: keys and grants end by the victim's own signature only."""
    doctor = world.enrolled(CollectorKind.DOCTOR)
    grant = world.granted(victim, doctor)
    fields: dict[str, Any] = {"collector": victim.collector, "iat": int(time.time())}
    removal = DeviceRemoval(thumbprint=victim.key.thumbprint, jti=new_id(), **fields)
    revocation = Revocation(grant=grant, patient=victim.collector, iat=int(time.time()))
    for key in (thief.patient.key, doctor.key, world.statement_key, Key.generate()):
        sent = {"removal": removal.sign(key)}
        assert slug(world.client.post("/v1/device-removals", json=sent)) == "bad-signature"
        sent = {"revocation": revocation.sign(key)}
        assert slug(world.client.post("/v1/revocations", json=sent)) == "bad-signature"
    assert own_key_only(world, victim, tally)
    assert world.ask(doctor, tally).counts() == [COUNTS]


# Recovery


def test_recovery_by_a_alone(attempt: Attempt, world: World, victim: Party, tally: Tally) -> None:
    """Nothing: A approves as often as it likes, that is one approval, and no delay begins."""
    for _ in range(3):
        answer = attempt.by_operator()
        assert answer.json == {
            "recovery": attempt.jti,
            "approvals": [AGGREGATOR],
            "completes_at": None,
        }
    # In a doctor's or the victim's name.
    for name in (new_id(), victim.collector):
        forged = attempt.approval(name).sign(world.statement_key)
        assert slug(attempt.send(forged)) in ("not-enrolled", "bad-signature")
    assert slug(attempt.complete()) == "recovery-waiting"
    assert own_key_only(world, victim, tally)


def test_recovery_with_doctors_whom_the_victim_did_not_choose(
    attempt: Attempt, world: World, thief: Thief, victim: Party, tally: Tally
) -> None:
    """Nothing: a doctor counts by the victim's grant, and one that was taken back is none."""
    attempt.by_operator()
    once = world.enrolled(CollectorKind.DOCTOR)
    grant = world.granted(victim, once)
    assert slug(world.revoke(grant, victim)) == "200"
    for account in (thief.doctor, thief.clinic, thief.patient, once):
        assert slug(attempt.by(account)) == "not-an-approver"
    assert slug(attempt.complete()) == "recovery-waiting"
    assert own_key_only(world, victim, tally)


def test_recovery_by_a_doctor_alone(
    attempt: Attempt, world: World, victim: Party, tally: Tally
) -> None:
    """Nothing: one doctor whom the victim granted is one approval, however often."""
    doctor = world.enrolled(CollectorKind.DOCTOR)
    world.granted(victim, doctor)
    for signer in (doctor, world.with_device(doctor)):
        answer = attempt.by(signer)
        assert answer.json is not None
        assert answer.json["approvals"] == [doctor.collector]
        assert answer.json["completes_at"] is None
    assert slug(attempt.complete()) == "recovery-waiting"
    assert own_key_only(world, victim, tally)


def test_recovery_shortened(
    attempt: Attempt, world: World, thief: Thief, victim: Party, tally: Tally
) -> None:
    """Nothing before B's delay is over: the delay is B's, begins at B and says so in the log."""
    doctor = world.enrolled(CollectorKind.DOCTOR)
    world.granted(victim, doctor)
    begun = int(time.time())
    attempt.by_operator(iat=begun - 29 * 24 * HOUR)  # as if it were long ago
    answer = attempt.by(doctor, iat=begun - 29 * 24 * HOUR)
    assert answer.json is not None
    assert answer.json["completes_at"] >= begun + 72 * HOUR
    assert slug(attempt.complete()) == "recovery-waiting"
    assert slug(attempt.complete(iat=begun + 72 * HOUR)) in ("expired", "recovery-waiting")
    # A receipt of A's own making is for A itself; B knows nothing of it.
    RecoveryReceipt(
        recovery=attempt.jti,
        collector=victim.collector,
        thumbprint=attempt.key.thumbprint,
        iat=begun,
    ).sign(world.statement_key)
    new = recovered(attempt, victim)
    assert slug(world.ask(new, tally).send()) == "bad-signature"
    assert [entry.kind for entry in world.log(victim)][-1] is LogKind.RECOVERY_DELAY
    assert own_key_only(world, victim, tally)


def test_a_cancel_that_a_keeps_back(
    attempt: Attempt, world: World, victim: Party, tally: Tally
) -> None:
    """Nothing: the victim cancels at B itself, whatever A does, and it is for good."""
    doctor = world.enrolled(CollectorKind.DOCTOR)
    world.granted(victim, doctor)
    attempt.by_operator()
    attempt.by(doctor)
    assert slug(attempt.cancel(victim)) == "200"
    attempt.wait()
    assert slug(attempt.complete()) == "recovery-over"
    assert slug(attempt.by_operator()) == "recovery-over"
    assert own_key_only(world, victim, tally)


def test_nobody_else_cancels(attempt: Attempt, world: World, thief: Thief, victim: Party) -> None:
    """Nothing: nor does a thief stop the recovery of who has lost every key."""
    doctor = world.enrolled(CollectorKind.DOCTOR)
    world.granted(victim, doctor)
    attempt.by_operator()
    attempt.by(doctor)
    message = RecoveryCancel(recovery=attempt.jti, collector=victim.collector, iat=int(time.time()))
    path = f"/v1/recoveries/{attempt.jti}/cancellation"
    for key in (thief.patient.key, doctor.key, world.statement_key, attempt.key):
        answer = world.client.post(path, json={"cancel": message.sign(key)})
        assert slug(answer) == "bad-signature"
    other = RecoveryCancel(
        recovery=attempt.jti, collector=thief.patient.collector, iat=int(time.time())
    ).sign(thief.patient.key)
    assert slug(world.client.post(path, json={"cancel": other})) == "not-found"
    attempt.wait()
    assert slug(attempt.complete()) == "200"


def test_a_doctor_of_the_victims_and_a_together(
    attempt: Attempt, world: World, victim: Party, tally: Tally
) -> None:
    """Accepted: after three days in sight of all the victim's keys, what that doctor could open."""
    doctor = world.enrolled(CollectorKind.DOCTOR)
    world.granted(victim, doctor)
    assert world.ask(doctor, tally).counts() == [COUNTS]
    attempt.by_operator()
    attempt.by(doctor)
    kinds = [entry.kind for entry in world.log(victim)]
    assert kinds[-2:] == [LogKind.RECOVERY_APPROVAL, LogKind.RECOVERY_DELAY]
    attempt.wait()
    assert slug(attempt.complete()) == "200"
    assert world.ask(recovered(attempt, victim), tally).counts() == [COUNTS]


# A session key of the victim's passkey


def test_a_stolen_session_key_after_its_hour(world: World, thief: Thief) -> None:
    """No opening. Accepted: what says itself when it was signed; a device for a day, and in sight.

    A grant may be delivered late and a device is taken in by the new one, so their own time counts.
    """
    passkey = Passkey("127.0.0.1", "http://127.0.0.1:8000")
    now, collector = int(time.time()), new_id()
    victim = Party(CollectorKind.PATIENT, collector, passkey.session(collector))
    assert world.client.post("/v1/enrolments", json=world.enrolment(victim)).status_code == 201
    tally = world.tally_of(victim, 3, COUNTS)
    stolen = replace(victim, key=passkey.session(collector, now - 3 * HOUR))
    assert slug(world.ask(stolen, tally).send()) == "expired"
    asked = world.log_request(stolen)
    assert slug(world.client.post("/v1/log", json={"request": asked.sign(stolen.key)})) == "expired"
    second = impostor(victim)
    for iat, expected in ((now, "expired"), (now - 150 * 60, "201")):
        body = world.device(stolen, second, iat=iat)
        assert slug(world.client.post("/v1/devices", json=body)) == expected
    assert [entry.kind for entry in world.log(victim)][-1] is LogKind.DEVICE
    assert slug(world.remove(victim, second)) == "200"
    two_days = replace(victim, key=passkey.session(collector, now - 48 * HOUR))
    body = world.device(two_days, impostor(victim), iat=now - 48 * HOUR + 60)
    assert slug(world.client.post("/v1/devices", json=body)) == "expired"
