from __future__ import annotations

from dataclasses import replace

from app.keyholder.grants import granted_to
from crypto.encoding import new_id
from crypto.jws import CollectorKey
from tests.keyholder.world import Party, World, slug

PATH = "/v1/grants"


def test_a_grant_is_taken_and_taken_again(world: World, owner: Party, colleague: Party) -> None:
    message = world.grant_message(owner, colleague)
    first = world.client.post(PATH, json={"grant": message.sign(owner.key)})
    # It may be signed again, and later; the grant is the same.
    later = replace(message, iat=message.iat + 60)
    again = world.client.post(PATH, json={"grant": later.sign(owner.key)})
    assert [first.status_code, again.status_code] == [201, 200]
    assert first.json == again.json == {"grant": message.grant}


def test_only_the_owner_grants(
    world: World, owner: Party, other_patient: Party, colleague: Party, stranger: Party
) -> None:
    message = world.grant_message(owner, colleague)
    for signer in (other_patient, colleague, stranger):
        answer = world.client.post(PATH, json={"grant": message.sign(signer.key)})
        assert slug(answer) == "bad-signature"
    for other in (stranger, colleague):
        message = world.grant_message(other, colleague)
        answer = world.client.post(PATH, json={"grant": message.sign(other.key)})
        assert slug(answer) == ("not-enrolled" if other is stranger else "not-a-patient")


def test_an_altered_grant_is_refused(world: World, owner: Party, colleague: Party) -> None:
    token = world.grant_message(owner, colleague).sign(owner.key)
    header, payload, signature = token.split(".")
    other = world.grant_message(owner, colleague).sign(owner.key).split(".")[1]
    for altered in (f"{header}.{other}.{signature}", f"{header}.{payload}.{'A' * 86}"):
        assert slug(world.client.post(PATH, json={"grant": altered})) == "bad-signature"


def test_the_doctor_must_be_enrolled_with_the_named_key(
    world: World, owner: Party, other_patient: Party, colleague: Party, stranger: Party
) -> None:
    named = world.grant_message(owner, colleague)
    for message in (
        world.grant_message(owner, stranger),
        world.grant_message(owner, other_patient),
        replace(named, doctor_thumbprint=CollectorKey.generate().thumbprint),
    ):
        answer = world.client.post(PATH, json={"grant": message.sign(owner.key)})
        assert slug(answer) == "unknown-doctor"


def test_an_identifier_stands_for_one_grant(
    world: World, owner: Party, other_patient: Party, doctor: Party, colleague: Party
) -> None:
    grant = world.granted(owner, colleague)
    for patient, to in ((owner, doctor), (other_patient, colleague)):
        message = replace(world.grant_message(patient, to), grant=grant)
        answer = world.client.post(PATH, json={"grant": message.sign(patient.key)})
        assert slug(answer) == "grant-conflict"


def test_one_grant_is_in_force_for_a_doctors_key(
    world: World, owner: Party, other_patient: Party, colleague: Party, stranger: Party
) -> None:
    first = world.granted(owner, colleague)
    second = world.grant_message(owner, colleague)
    for _ in range(2):
        answer = world.client.post(PATH, json={"grant": second.sign(owner.key)})
        assert slug(answer) == "grant-exists"
        assert answer.json is not None
        assert answer.json["grant"] == first
    # Nobody else learns of it: what another one signs is refused before.
    for signer in (other_patient, colleague, stranger):
        answer = world.client.post(PATH, json={"grant": second.sign(signer.key)})
        assert slug(answer) == "bad-signature"
        assert first not in answer.text
    world.granted(other_patient, colleague)
    assert world.revoke(first, owner).status_code == 200
    answer = world.client.post(PATH, json={"grant": second.sign(owner.key)})
    assert answer.status_code == 201
    assert world.revoke(second.grant, owner).status_code == 200
    world.granted(owner, colleague)


def test_who_granted_is_looked_up_among_the_patients_of_a_scope(
    world: World, owner: Party, other_patient: Party, colleague: Party
) -> None:
    for patient in (owner, other_patient):
        world.granted(patient, colleague)
    with world.app.app_context():
        asked = {owner.collector, new_id()}
        found = granted_to(colleague.collector, colleague.key.thumbprint, asked)
    assert found == {owner.collector}


def test_a_revocation_ends_a_grant_for_good(world: World, owner: Party, colleague: Party) -> None:
    message = world.grant_message(owner, colleague)
    token = message.sign(owner.key)
    assert world.client.post(PATH, json={"grant": token}).status_code == 201
    for _ in range(2):
        answer = world.revoke(message.grant, owner)
        assert (answer.status_code, answer.json) == (200, {"grant": message.grant})
    assert slug(world.client.post(PATH, json={"grant": token})) == "grant-conflict"


def test_only_the_owner_revokes(
    world: World, owner: Party, other_patient: Party, colleague: Party, stranger: Party
) -> None:
    grant = world.granted(owner, colleague)
    for signer in (other_patient, colleague, stranger):
        assert slug(world.revoke(grant, owner, signer)) == "bad-signature"
    assert slug(world.revoke(grant, other_patient)) == "not-found"
    assert slug(world.revoke(grant, colleague)) == "not-found"
    assert slug(world.revoke(grant, stranger)) == "not-enrolled"
    assert slug(world.revoke(new_id(), owner)) == "not-found"
