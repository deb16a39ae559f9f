from __future__ import annotations

import time

import pytest

from crypto.encoding import new_id, sha256_hex
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import CollectorKind, Enrolment, EnrolmentProof
from tests.keyholder.world import Party, World, slug

PATH = "/v1/enrolments"


@pytest.fixture
def party() -> Party:
    return Party(CollectorKind.PATIENT)


def test_a_key_is_pinned_and_pinned_again(world: World, party: Party) -> None:
    body = world.enrolment(party)
    first, again = (world.client.post(PATH, json=body) for _ in range(2))
    renewed = world.client.post(PATH, json=world.enrolment(party))
    assert [first.status_code, again.status_code, renewed.status_code] == [201, 200, 200]
    assert first.json == again.json == renewed.json
    assert first.json == {"collector": party.collector, "thumbprint": party.key.thumbprint}


def test_what_webcrypto_adds_to_a_key_is_taken(world: World, party: Party) -> None:
    body = world.enrolment(party)
    body["key"] = {**body["key"], "ext": True, "key_ops": ["verify"]}
    assert world.client.post(PATH, json=body).status_code == 201


def test_another_key_of_the_same_collector_is_refused(world: World, party: Party) -> None:
    assert world.client.post(PATH, json=world.enrolment(party)).status_code == 201
    thief = Party(party.kind, party.collector)
    assert slug(world.client.post(PATH, json=world.enrolment(thief))) == "already-enrolled"


def test_the_same_key_as_another_kind_is_refused(world: World, party: Party) -> None:
    assert world.client.post(PATH, json=world.enrolment(party)).status_code == 201
    doctor = Party(CollectorKind.DOCTOR, party.collector, party.key)
    assert slug(world.client.post(PATH, json=world.enrolment(doctor))) == "already-enrolled"


def test_one_key_belongs_to_one_collector(world: World, party: Party) -> None:
    assert world.client.post(PATH, json=world.enrolment(party)).status_code == 201
    twin = Party(party.kind, key=party.key)
    assert slug(world.client.post(PATH, json=world.enrolment(twin))) == "already-enrolled"


def test_a_forged_statement_is_refused(world: World, party: Party) -> None:
    body = world.enrolment(party, signer=SigningKey.generate())
    assert slug(world.client.post(PATH, json=body)) == "bad-signature"


def test_an_expired_or_overlong_statement_is_refused(world: World, party: Party) -> None:
    now = int(time.time())
    for times in ({"iat": now - 700, "exp": now - 400}, {"exp": now + 7200}, {"iat": now + 200}):
        body = world.enrolment(party, **times)
        assert slug(world.client.post(PATH, json=body)) == "expired"


def test_a_proof_by_another_key_is_refused(world: World, party: Party) -> None:
    body = world.enrolment(party)
    other = CollectorKey.generate()
    jti = new_id()
    for proof in (
        EnrolmentProof(statement_sha256=sha256_hex(body["statement"].encode()), jti=jti),
        EnrolmentProof(statement_sha256="0" * 64, jti=jti),
    ):
        for signer in (party.key, other):
            answer = world.client.post(PATH, json={**body, "proof": proof.sign(signer)})
            assert slug(answer) == "bad-signature"


def test_a_key_that_the_statement_does_not_name_is_refused(world: World, party: Party) -> None:
    body = world.enrolment(party)
    other = Party(party.kind, party.collector)
    jti = Enrolment.claimed(body["statement"]).jti
    proof = EnrolmentProof(statement_sha256=sha256_hex(body["statement"].encode()), jti=jti)
    swapped = {**body, "key": other.key.public_jwk, "proof": proof.sign(other.key)}
    assert slug(world.client.post(PATH, json=swapped)) == "bad-signature"


def test_only_keys_of_collectors_are_taken(world: World, party: Party) -> None:
    server = SigningKey.generate()
    body = world.enrolment(party, thumbprint=server.thumbprint)
    proof = EnrolmentProof(
        statement_sha256=sha256_hex(body["statement"].encode()), jti=new_id()
    ).sign(server)
    for key in (
        server.public_jwk,
        {},
        {"kty": "oct", "k": "AAAA"},
        {**body["key"], "d": "AAAA"},
        {**body["key"], "x": body["key"]["y"]},
        {**body["key"], "crv": "P-384"},
        {**body["key"], "x": 1},
        {**body["key"], "x": "A" * 5000},
    ):
        answer = world.client.post(PATH, json={**body, "key": key, "proof": proof})
        assert slug(answer) == "invalid-encoding"


@pytest.mark.parametrize("name", ["statement", "proof"])
@pytest.mark.parametrize("token", ["", "a", "a.b.c", "....", "é", "e30.e30.e30", "A" * 9000])
def test_garbage_is_refused(world: World, party: Party, name: str, token: str) -> None:
    answer = world.client.post(PATH, json={**world.enrolment(party), name: token})
    assert answer.status_code == 400


def test_a_message_of_another_type_is_refused(world: World, party: Party) -> None:
    body = world.enrolment(party)
    answer = world.client.post(PATH, json={**body, "statement": body["proof"]})
    assert slug(answer) == "wrong-type"
