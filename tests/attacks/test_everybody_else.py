"""Who has no part of A: an outsider without any key, and a collector with its own key only.

Every endpoint of B is here, so that a new one is not forgotten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.keyholder.tables import db
from crypto.comparison.positions import RecordingPosition
from crypto.comparison.session import SessionOpener
from crypto.encoding import json_bytes, new_id, sha256_hex
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import (
    AGGREGATOR,
    CohortQuery,
    CollectorKind,
    Device,
    DeviceProof,
    DeviceRemoval,
    GrantUse,
    KeyType,
    LogEntry,
    LogRequest,
    Recovery,
    RecoveryApproval,
    RecoveryCancel,
    RecoveryCompletion,
    Revocation,
    Roster,
)
from crypto.wire import from_record
from tests.keyholder.comparing import BATCHES, SESSIONS, Comparing
from tests.keyholder.world import DAY, Party, Tally, World, slug

SHOWN_TO_ALL = {"/v1/manifest", "/healthz", "/readyz"}
FOR_THE_AGGREGATOR = {
    "/v1/comparison-sessions",
    "/v1/comparisons",
    "/v1/cohort-members",
    "/v1/moves",
}


def endpoints(world: World) -> list[tuple[str, str]]:
    """Method and path of every rule, with identifiers where it has arguments."""
    return sorted(
        (method, rule.rule.replace("<jti>", new_id()))
        for rule in world.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


def state(world: World) -> dict[str, list[Any]]:
    """All rows of B's database."""
    with world.app.app_context():
        return {
            name: sorted(db.session.execute(table.select()).all(), key=repr)
            for name, table in db.metadata.tables.items()
        }


# (k) An outsider


def test_an_outsider_without_a_key(world: World, tally: Tally) -> None:
    """B's public keys; everything else is refused, whatever the body, and changes nothing."""
    before = state(world)
    bodies: list[tuple[bytes, str]] = [
        (b"", "application/json"),
        (b"{}", "application/json"),
        (b"[]", "application/json"),
        (json.dumps({"statement": "a.b.c", "opening": "a.b.c"}).encode(), "application/json"),
        (SessionOpener().request(), "application/msgpack"),
    ]
    for method, path in endpoints(world):
        for body, kind in bodies:
            answer = world.client.open(path, method=method, data=body, content_type=kind)
            if path in SHOWN_TO_ALL:
                assert method == "GET"
                assert answer.status_code in (200, 503)
            elif path in FOR_THE_AGGREGATOR:
                assert slug(answer) == "not-authenticated"
            else:
                assert answer.status_code in (400, 413)
            assert tally.patient.collector not in answer.text
    assert state(world) == before


def test_an_outsider_with_a_key_of_its_own_making(
    world: World, victim: Party, tally: Tally
) -> None:
    """Nothing: no message under a key that B does not know is taken, as a server's or anybody's."""
    fake = SigningKey.generate()
    comparing = Comparing(world)
    request = comparing.request(comparing.recording(RecordingPosition(victim.collector, DAY, 4)))
    before = state(world)
    for path, body in (
        (SESSIONS, SessionOpener().request()),
        (BATCHES, request),
        ("/v1/cohort-members", json_bytes({"roster": new_id()})),
    ):
        assert slug(world.post(path, body, key=fake)) == "not-authenticated"
    nobody = Party(CollectorKind.PATIENT)
    forged = world.enrolment(nobody, signer=fake)
    assert slug(world.client.post("/v1/enrolments", json=forged)) == "bad-signature"
    assert slug(world.ask(nobody, tally).send()) == "not-enrolled"
    assert slug(world.ask(victim, tally).send(issuer=fake)) == "bad-signature"
    for path, message in in_the_name_of(world, victim, nobody):
        assert slug(world.client.post(path, json=message)) in ("bad-signature", "not-found"), path
    for path, message in in_the_name_of(world, nobody, nobody):
        answer = slug(world.client.post(path, json=message))
        assert answer in ("not-enrolled", "not-found") or path == "/v1/enrolments", path
    assert state(world) == before


# (k) A malicious collector


@pytest.mark.parametrize("kind", list(CollectorKind))
def test_a_collector_in_somebody_elses_name(
    world: World, kind: CollectorKind, tally: Tally, victim: Party
) -> None:
    """Nothing: a message in the victim's name needs a key of the victim's; A's endpoints need A."""
    bad = world.enrolled(kind)
    doctor = world.enrolled(CollectorKind.DOCTOR)
    world.granted(victim, doctor)
    before = state(world)
    for path, body in in_the_name_of(world, victim, bad):
        assert slug(world.client.post(path, json=body)) in ("bad-signature", "not-found"), path
    for path in FOR_THE_AGGREGATOR:
        assert slug(with_own_signature(world, path, bad)) in ("not-authenticated", "not-found")
    # Statements of its own making, and A's for somebody else.
    for asked in (world.ask(bad, tally), world.ask(victim, tally)):
        assert slug(forged_statement(asked, bad)) == "bad-signature"
        signed = asked.send(signer=bad.key)
        assert slug(signed) in ("not-granted", "bad-signature")
    assert state(world) == before
    assert world.ask(doctor, tally).counts()


def test_a_collectors_own_log_shows_nobody_else(world: World, tally: Tally, victim: Party) -> None:
    """Its own entries, and how many there are of everybody's."""
    bad = world.enrolled(CollectorKind.PATIENT)
    world.ask(victim, tally).counts()
    asked = world.log_request(bad)
    answer = world.client.post("/v1/log", json={"request": asked.sign(bad.key)}).get_json()
    entries = [from_record(LogEntry, entry) for entry in answer["entries"]]
    assert {entry.pseudonym for entry in entries} == {bad.collector}
    assert victim.collector not in json.dumps(answer)
    other = replace(asked, collector=victim.collector).sign(bad.key)
    assert slug(world.client.post("/v1/log", json={"request": other})) == "bad-signature"


def test_a_doctor_with_a_grant(world: World, tally: Tally, victim: Party) -> None:
    """What the patient granted, by A's statement; nothing in the patient's name."""
    doctor = world.enrolled(CollectorKind.DOCTOR)
    grant = world.granted(victim, doctor)
    assert world.ask(doctor, tally).counts()
    for path, body in in_the_name_of(world, victim, doctor):
        assert slug(world.client.post(path, json=body)) in ("bad-signature", "not-found"), path
    assert slug(world.revoke(grant, victim, signer=doctor)) == "bad-signature"
    other = world.enrolled(CollectorKind.DOCTOR)
    passed_on = world.grant_message(victim, other).sign(doctor.key)
    assert slug(world.client.post("/v1/grants", json={"grant": passed_on})) == "bad-signature"
    as_patient = world.grant_message(doctor, other).sign(doctor.key)
    assert slug(world.client.post("/v1/grants", json={"grant": as_patient})) == "not-a-patient"


def test_every_endpoint_is_attacked(world: World, victim: Party) -> None:
    """A new endpoint belongs into `in_the_name_of`, or among those of A."""
    bad = world.enrolled(CollectorKind.PATIENT)
    attacked = {path for path, _ in in_the_name_of(world, victim, bad)}
    attacked = {
        "/".join(part if len(part) != 32 else "<jti>" for part in path.split("/"))
        for path in attacked
    }
    rules = {rule.rule for rule in world.app.url_map.iter_rules()}
    assert rules - SHOWN_TO_ALL - FOR_THE_AGGREGATOR == attacked


def in_the_name_of(world: World, victim: Party, bad: Party) -> Iterator[tuple[str, dict[str, Any]]]:
    """A message of every kind about the victim, under a key that is not the victim's."""
    key, now, jti = bad.key, int(time.time()), new_id()
    stranger = Party(CollectorKind.DOCTOR)
    for_victim: dict[str, Any] = {"collector": victim.collector, "iat": now}
    timed = for_victim | {"exp": now + 60}

    # A's word for the victim's enrolment, as the victim's program got it, with another proof.
    enrolment = world.enrolment(victim)
    proof = world.enrolment(bad, jti=jti)["proof"]
    yield "/v1/enrolments", enrolment | {"proof": proof}

    new = CollectorKey.generate()
    fields: dict[str, Any] = {"key": new.public_jwk, "type": KeyType.SOFTWARE, "jti": jti}
    device = Device(**for_victim, **fields).sign(key)
    device_proof = DeviceProof(device_sha256=sha256_hex(device.encode()), jti=jti).sign(new)
    yield "/v1/devices", {"device": device, "proof": device_proof}
    removal = DeviceRemoval(**for_victim, thumbprint=victim.key.thumbprint, jti=jti)
    yield "/v1/device-removals", {"removal": removal.sign(key)}

    recovery = Recovery(**for_victim, **fields).sign(new)
    for approver in (AGGREGATOR, victim.collector):
        approval = RecoveryApproval(
            recovery=jti,
            collector=victim.collector,
            thumbprint=new.thumbprint,
            approver=approver,
            iat=now,
        )
        yield "/v1/recoveries", {"recovery": recovery, "approval": approval.sign(key)}
    cancel = RecoveryCancel(recovery=jti, **for_victim).sign(key)
    yield f"/v1/recoveries/{jti}/cancellation", {"cancel": cancel}
    completion = RecoveryCompletion(recovery=jti, **for_victim).sign(new)
    yield f"/v1/recoveries/{jti}/completion", {"completion": completion}

    yield "/v1/log", {"request": LogRequest(**timed, after=0, jti=jti).sign(key)}
    yield "/v1/cohort-queries", {"query": CohortQuery(**timed).sign(key)}

    grant = world.grant_message(victim, stranger)
    yield "/v1/grants", {"grant": grant.sign(key)}
    yield "/v1/grants", {"grant": replace(grant, use=GrantUse.COHORT).sign(key)}
    revocation = Revocation(grant=new_id(), patient=victim.collector, iat=now)
    yield "/v1/revocations", {"revocation": revocation.sign(key)}

    roster = Roster(
        roster=jti, clinic=victim.collector, month="2031-03", pseudonyms=(new_id(),), iat=now
    )
    yield "/v1/rosters", {"roster": roster.sign(key)}

    nothing = Tally(victim, DAY, 0, world.encrypt(0))
    yield "/v1/openings", world.ask(victim, nothing).body(signer=key)
    yield "/v1/cohort-openings", world.ask(victim, nothing).body(signer=key)


def with_own_signature(world: World, path: str, bad: Party) -> TestResponse:
    """A request to an endpoint of A's, signed as A signs, by a collector."""
    body = b"{}"
    token = bad.key.sign(
        "hushbeat-request",
        {
            "aud": "keyholder",
            "method": "POST",
            "path": path,
            "body_sha256": sha256_hex(body),
            "iat": int(time.time()),
            "exp": int(time.time()) + 60,
        },
    )
    headers = {"Authorization": f"Hushbeat {token}", "Content-Type": "application/json"}
    return world.client.post(path, data=body, headers=headers)


def forged_statement(asked: Any, bad: Party) -> TestResponse:
    """The opening with a statement that the collector signed in A's place."""
    body = asked.body(signer=bad.key)
    body["statement"] = bad.key.sign("hushbeat-statement", asked.statement.to_payload())
    answer: TestResponse = asked.world.client.post("/v1/openings", json=body)
    return answer
