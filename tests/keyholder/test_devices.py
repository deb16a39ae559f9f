"""Several keys of one collector: software keys and passkeys, taken in and removed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from config import KeyholderConfig
from crypto.encoding import new_id
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import CollectorKind, DeviceProof, KeyType
from crypto.slots import Counts
from tests.keyholder.world import Party, World, slug
from tests.support.authenticator import Passkey, PasskeySession

PATH = "/v1/devices"
COUNTS = Counts(sound=2, rate=1)


@pytest.fixture
def config(config: KeyholderConfig) -> KeyholderConfig:
    """Passkeys need a domain."""
    return replace(config, aggregator_url="http://localhost:8000")


@pytest.fixture
def passkey() -> Passkey:
    return Passkey("localhost", "http://localhost:8000")


def with_passkey(world: World, passkey: Passkey, kind: CollectorKind) -> Party:
    collector = new_id()
    party = Party(kind, collector, passkey.session(collector))
    answer = world.client.post("/v1/enrolments", json=world.enrolment(party))
    assert answer.status_code == 201, answer.text
    return party


def test_a_passkey_is_enrolled_grants_and_opens(world: World, passkey: Passkey) -> None:
    owner = with_passkey(world, passkey, CollectorKind.PATIENT)
    doctor = with_passkey(
        world, replace(passkey, key=CollectorKey.generate()), CollectorKind.DOCTOR
    )
    tally = world.tally_of(owner, 3, COUNTS)
    assert slug(world.ask(doctor, tally).send()) == "not-granted"
    grant = world.granted(owner, doctor)
    assert world.ask(owner, tally).counts() == [COUNTS]
    assert world.ask(doctor, tally).counts() == [COUNTS]
    # The next visit: the same passkey, another session.
    owner.key = passkey.session(owner.collector)
    assert world.revoke(grant, owner).status_code == 200
    assert slug(world.ask(doctor, tally).send()) == "not-granted"


def test_a_passkey_must_be_of_the_aggregators_site(world: World, passkey: Passkey) -> None:
    collector = new_id()
    for other in (
        replace(passkey, origin="http://localhost:8001"),
        replace(passkey, origin="https://localhost:8000"),
        replace(passkey, rp_id="evil.example"),
    ):
        party = Party(CollectorKind.PATIENT, collector, other.session(collector))
        answer = world.client.post("/v1/enrolments", json=world.enrolment(party))
        assert slug(answer) == "bad-signature"


def test_the_type_of_a_key_is_what_was_stated(world: World, passkey: Passkey) -> None:
    collector = new_id()
    party = Party(CollectorKind.PATIENT, collector, passkey.session(collector))
    body = world.enrolment(party, type=KeyType.SOFTWARE)
    assert slug(world.client.post("/v1/enrolments", json=body)) == "bad-signature"
    software = Party(CollectorKind.PATIENT, collector, passkey.key)
    body = world.enrolment(software, type=KeyType.PASSKEY)
    assert slug(world.client.post("/v1/enrolments", json=body)) == "bad-signature"
    assert world.client.post("/v1/enrolments", json=world.enrolment(party)).status_code == 201
    # Nor is a passkey enrolled once more as a key that signs by itself.
    again = world.client.post("/v1/enrolments", json=world.enrolment(software))
    assert slug(again) == "already-enrolled"


def test_a_session_of_another_time_or_collector_opens_nothing(
    world: World, passkey: Passkey
) -> None:
    owner = with_passkey(world, passkey, CollectorKind.PATIENT)
    tally = world.tally_of(owner, 3, COUNTS)
    now = int(time.time())
    for session, refused in (
        (passkey.session(owner.collector, now - 3700), "expired"),
        (passkey.session(owner.collector, now, seconds=3601), "expired"),
        (passkey.session(new_id()), "bad-signature"),
        (passkey.session(owner.collector, flags=0x01), "bad-signature"),
        (passkey.session(owner.collector, signer=CollectorKey.generate()), "bad-signature"),
        (PasskeySession(passkey, passkey.key, None), "bad-signature"),
    ):
        assert slug(world.ask(owner, tally).send(signer=session)) == refused


@pytest.mark.parametrize("kind", CollectorKind)
def test_every_device_signs_and_the_first_one_names(
    world: World, kind: CollectorKind, passkey: Passkey
) -> None:
    first = world.enrolled(kind)
    second = world.with_device(first)
    third = world.with_device(second, passkey.session(first.collector))
    assert {key.root for key in (first, second, third)} == {first.key.thumbprint}
    if kind is CollectorKind.PATIENT:
        tally = world.tally_of(first, 3, COUNTS)
        doctor = world.enrolled(CollectorKind.DOCTOR)
        grant = world.granted(third, doctor)
        assert world.revoke(grant, second).status_code == 200
    elif kind is CollectorKind.DOCTOR:
        owner = world.enrolled(CollectorKind.PATIENT)
        tally = world.tally_of(owner, 3, COUNTS)
        world.granted(owner, first)
    else:
        return
    for device in (first, second, third):
        assert world.ask(device, tally).counts() == [COUNTS]


def test_a_device_is_taken_in_once(world: World, owner: Party) -> None:
    further = world.device_of(owner)
    body = world.device(owner, further)
    first, again = (world.client.post(PATH, json=body) for _ in range(2))
    assert [first.status_code, again.status_code] == [201, 200]
    assert first.json == again.json
    assert first.json == {
        "collector": owner.collector,
        "thumbprint": further.key.thumbprint,
        "root": owner.key.thumbprint,
    }


def test_only_a_key_of_the_collector_takes_a_device_in(
    world: World, owner: Party, other_patient: Party, doctor: Party, stranger: Party
) -> None:
    further = world.device_of(owner)
    for signer in (other_patient, doctor, stranger, further):
        answer = world.client.post(PATH, json=world.device(signer, further))
        assert slug(answer) == "bad-signature"
    theirs = world.device(stranger, world.device_of(stranger))
    assert slug(world.client.post(PATH, json=theirs)) == "not-enrolled"


def test_the_further_key_proves_itself(world: World, owner: Party) -> None:
    further, other = world.device_of(owner), world.device_of(owner)
    body = world.device(owner, further)
    foreign = world.device(owner, other)
    jti = new_id()
    for proof in (
        foreign["proof"],
        DeviceProof(device_sha256="0" * 64, jti=jti).sign(further.key),
        world.device(owner, further)["proof"],
    ):
        answer = world.client.post(PATH, json={**body, "proof": proof})
        assert slug(answer) == "bad-signature"


def test_an_old_message_takes_nobody_in(world: World, owner: Party) -> None:
    now = int(time.time())
    for iat in (now - 86_401, now + 120):
        body = world.device(owner, world.device_of(owner), iat=iat)
        assert slug(world.client.post(PATH, json=body)) == "expired"
    removed = world.with_device(owner)
    assert slug(world.remove(owner, removed, iat=now - 86_401)) == "expired"


def test_a_key_belongs_to_one_collector(world: World, owner: Party, other_patient: Party) -> None:
    for taken in (other_patient, world.with_device(other_patient)):
        body = world.device(owner, world.device_of(owner, taken.key))
        assert slug(world.client.post(PATH, json=body)) == "key-taken"
    mine = world.with_device(owner)
    twin = Party(CollectorKind.PATIENT, key=mine.key)
    answer = world.client.post("/v1/enrolments", json=world.enrolment(twin))
    assert slug(answer) == "already-enrolled"


def test_a_removed_device_does_nothing_any_more(
    world: World, owner: Party, colleague: Party
) -> None:
    tally = world.tally_of(owner, 3, COUNTS)
    lost = world.with_device(owner)
    grant = world.granted(lost, colleague)
    asked = world.ask(lost, tally)
    for _ in range(2):
        answer = world.remove(owner, lost)
        assert (answer.status_code, answer.json) == (200, {"thumbprint": lost.key.thumbprint})
    assert slug(asked.send()) == "key-revoked"
    assert slug(world.revoke(grant, lost)) == "key-revoked"
    message = world.grant_message(lost, world.enrolled(CollectorKind.DOCTOR))
    answer = world.client.post("/v1/grants", json={"grant": message.sign(lost.key)})
    assert slug(answer) == "key-revoked"
    body = world.device(lost, world.device_of(owner))
    assert slug(world.client.post(PATH, json=body)) == "key-revoked"
    assert slug(world.remove(lost, owner)) == "key-revoked"
    request = world.log_request(lost).sign(lost.key)
    assert slug(world.client.post("/v1/log", json={"request": request})) == "key-revoked"
    # Nor does it come back; what it has granted stays until it is taken back.
    body = world.device(owner, lost)
    assert slug(world.client.post(PATH, json=body)) == "key-taken"
    assert world.ask(colleague, tally).counts() == [COUNTS]
    assert world.ask(owner, tally).counts() == [COUNTS]


def test_the_first_key_can_be_removed_and_still_names(
    world: World, owner: Party, colleague: Party
) -> None:
    tally = world.tally_of(owner, 3, COUNTS)
    second, doctors_second = world.with_device(owner), world.with_device(colleague)
    assert world.remove(second, owner).status_code == 200
    assert world.remove(doctors_second, colleague).status_code == 200
    world.granted(second, doctors_second)
    assert world.ask(second, tally).counts() == [COUNTS]
    assert world.ask(doctors_second, tally).counts() == [COUNTS]
    assert slug(world.ask(owner, tally).send()) == "key-revoked"
    again = world.client.post("/v1/enrolments", json=world.enrolment(owner))
    assert slug(again) == "key-revoked"


def test_no_key_removes_itself_or_anybody_elses(
    world: World, owner: Party, other_patient: Party, stranger: Party
) -> None:
    second = world.with_device(owner)
    assert slug(world.remove(owner, owner)) == "own-key"
    assert slug(world.remove(other_patient, second)) == "not-found"
    assert slug(world.remove(owner, stranger)) == "not-found"
    assert slug(world.remove(stranger, stranger)) == "not-enrolled"
    forged = Party(owner.kind, owner.collector, other_patient.key)
    assert slug(world.remove(forged, second)) == "bad-signature"


def test_twenty_devices_are_enough(world: World, owner: Party) -> None:
    last = owner
    for _ in range(19):
        last = world.with_device(owner)
    body = world.device(owner, world.device_of(owner))
    assert slug(world.client.post(PATH, json=body)) == "too-many-keys"
    assert world.remove(owner, last).status_code == 200
    assert world.client.post(PATH, json=body).status_code == 201


def test_a_server_key_is_no_device(world: World, owner: Party) -> None:
    token = owner.key.sign(
        "hushbeat-device",
        {
            "collector": owner.collector,
            "key": SigningKey.generate().public_jwk,
            "type": "software",
            "jti": new_id(),
            "iat": int(time.time()),
        },
    )
    body = {**world.device(owner, world.device_of(owner)), "device": token}
    assert slug(world.client.post(PATH, json=body)) == "invalid-encoding"


def test_a_message_that_is_too_long_to_keep_is_refused(world: World, passkey: Passkey) -> None:
    owner = with_passkey(world, passkey, CollectorKind.PATIENT)
    padded = passkey.session(
        owner.collector, client_data={"padding": "x" * 500}, extra=bytes(980), flags=0x85
    )
    owner.key = padded
    answer = world.client.post(PATH, json=world.device(owner, world.device_of(owner)))
    assert slug(answer) == "invalid-encoding"


@pytest.mark.parametrize("name", ["device", "proof"])
@pytest.mark.parametrize("token", ["", "a.b.c", "é", "e30.e30.e30", "A" * 9000])
def test_garbage_is_refused(world: World, owner: Party, name: str, token: str) -> None:
    body = world.device(owner, world.device_of(owner))
    assert world.client.post(PATH, json={**body, name: token}).status_code == 400
