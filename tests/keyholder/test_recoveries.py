"""Who has lost every key gets a new one slowly, seen by all, and never by an operator alone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.keyholder.tables import Recovery as RecoveryRow
from app.keyholder.tables import db
from crypto.encoding import new_id
from crypto.jws import CollectorKey
from crypto.messages import (
    AGGREGATOR,
    CollectorKind,
    KeyType,
    LogKind,
    Recovery,
    RecoveryApproval,
    RecoveryCancel,
    RecoveryCompletion,
    RecoveryReceipt,
)
from crypto.slots import Counts
from tests.keyholder.world import Party, Tally, World, slug

COUNTS = Counts(sound=2, rate=1)
HOURS = 72


@dataclass
class Attempt:
    """A new key of a collector that asks for recovery."""

    world: World
    collector: str
    jti: str = field(default_factory=new_id)
    key: CollectorKey = field(default_factory=CollectorKey.generate)

    def recovery(self, **other: Any) -> str:
        fields = {
            "collector": self.collector,
            "key": self.key.public_jwk,
            "type": KeyType.SOFTWARE,
            "jti": self.jti,
            "iat": int(time.time()),
        }
        return Recovery(**fields | other).sign(self.key)

    def approval(self, approver: str, **other: Any) -> RecoveryApproval:
        fields = {
            "recovery": self.jti,
            "collector": self.collector,
            "thumbprint": self.key.thumbprint,
            "approver": approver,
            "iat": int(time.time()),
        }
        return RecoveryApproval(**fields | other)

    def send(self, approval: str, recovery: str | None = None) -> TestResponse:
        body = {"recovery": recovery or self.recovery(), "approval": approval}
        return self.world.client.post("/v1/recoveries", json=body)

    def by_operator(self, **other: Any) -> TestResponse:
        return self.send(self.approval(AGGREGATOR, **other).sign(self.world.statement_key))

    def by(self, doctor: Party, **other: Any) -> TestResponse:
        return self.send(self.approval(doctor.collector, **other).sign(doctor.key))

    def cancel(self, by: Party) -> TestResponse:
        message = RecoveryCancel(
            recovery=self.jti, collector=self.collector, iat=int(time.time())
        ).sign(by.key)
        path = f"/v1/recoveries/{self.jti}/cancellation"
        return self.world.client.post(path, json={"cancel": message})

    def complete(self, key: CollectorKey | None = None, **other: Any) -> TestResponse:
        fields = {"recovery": self.jti, "collector": self.collector, "iat": int(time.time())}
        message = RecoveryCompletion(**fields | other).sign(key or self.key)
        path = f"/v1/recoveries/{self.jti}/completion"
        return self.world.client.post(path, json={"completion": message})

    def wait(self) -> None:
        """The delay passes."""
        with self.world.app.app_context():
            db.session.get_one(RecoveryRow, self.jti).completes_at = int(time.time())
            db.session.commit()


@pytest.fixture
def tally(world: World, owner: Party) -> Tally:
    return world.tally_of(owner, 3, COUNTS)


@pytest.fixture
def attempt(world: World, owner: Party) -> Attempt:
    return Attempt(world, owner.collector)


@pytest.fixture
def second_doctor(world: World, owner: Party) -> Party:
    party = world.enrolled(CollectorKind.DOCTOR)
    world.granted(owner, party)
    return party


def recovered(attempt: Attempt, owner: Party) -> Party:
    return Party(owner.kind, owner.collector, attempt.key, owner.root)


def test_an_operator_and_a_doctor_bring_the_counts_back(
    world: World, attempt: Attempt, tally: Tally, owner: Party, doctor: Party
) -> None:
    device = world.with_device(owner)
    first = attempt.by_operator()
    assert first.json == {"recovery": attempt.jti, "approvals": [AGGREGATOR], "completes_at": None}
    assert slug(attempt.complete()) == "recovery-waiting"
    begun = time.time()
    second = attempt.by(doctor)
    assert second.json is not None
    assert set(second.json["approvals"]) == {AGGREGATOR, doctor.collector}
    assert abs(second.json["completes_at"] - begun - HOURS * 3600) < 60
    early = attempt.complete()
    assert slug(early) == "recovery-waiting"
    assert early.json is not None
    assert early.json["completes_at"] == second.json["completes_at"]
    new = recovered(attempt, owner)
    assert slug(world.ask(new, tally).send()) == "bad-signature"
    assert world.ask(owner, tally).counts() == [COUNTS]

    attempt.wait()
    answers = [attempt.complete(), attempt.complete()]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json == answers[1].json
    assert answers[0].json is not None
    receipt = RecoveryReceipt.verify(
        answers[0].json["receipt"], world.keys.manifest.public_jwk, time.time()
    )
    assert (receipt.recovery, receipt.collector, receipt.thumbprint) == (
        attempt.jti,
        owner.collector,
        attempt.key.thumbprint,
    )
    assert world.ask(new, tally).counts() == [COUNTS]
    assert world.ask(doctor, tally).counts() == [COUNTS]
    for lost in (owner, device):
        assert slug(world.ask(lost, tally).send()) == "key-revoked"


def test_two_doctors_do_as_well(
    world: World, attempt: Attempt, tally: Tally, owner: Party, doctor: Party, second_doctor: Party
) -> None:
    assert attempt.by(doctor).json["completes_at"] is None  # type: ignore[index]
    assert attempt.by(second_doctor).json["completes_at"] is not None  # type: ignore[index]
    attempt.wait()
    assert attempt.complete().status_code == 200
    assert world.ask(recovered(attempt, owner), tally).counts() == [COUNTS]


def test_an_operator_alone_never_does(attempt: Attempt, owner: Party) -> None:
    """However often, and with A's key in hand."""
    for _ in range(3):
        answer = attempt.by_operator()
        assert answer.json is not None
        assert answer.json["completes_at"] is None
    assert slug(attempt.complete()) == "recovery-waiting"


def test_only_who_holds_a_grant_approves(
    world: World,
    attempt: Attempt,
    owner: Party,
    other_patient: Party,
    doctor: Party,
    colleague: Party,
    stranger: Party,
) -> None:
    assert slug(attempt.by(colleague)) == "not-an-approver"
    assert slug(attempt.by(other_patient)) == "not-an-approver"
    assert slug(attempt.by(owner)) == "not-an-approver"
    assert slug(attempt.by(stranger)) == "not-enrolled"
    forged = attempt.approval(doctor.collector)
    for signer in (colleague.key, attempt.key):
        assert slug(attempt.send(forged.sign(signer))) == "bad-signature"
    as_operator = attempt.approval(AGGREGATOR)
    assert slug(attempt.send(as_operator.sign(doctor.key))) == "bad-signature"
    revoked = world.enrolled(CollectorKind.DOCTOR)
    grant = world.granted(owner, revoked)
    assert world.revoke(grant, owner).status_code == 200
    assert slug(attempt.by(revoked)) == "not-an-approver"
    lost = world.with_device(doctor)
    assert world.remove(doctor, lost).status_code == 200
    assert slug(attempt.by(lost)) == "key-revoked"


def test_an_approval_is_for_one_key_of_one_recovery(
    attempt: Attempt, other_patient: Party, doctor: Party
) -> None:
    for other in (
        {"recovery": new_id()},
        {"thumbprint": CollectorKey.generate().thumbprint},
        {"collector": other_patient.collector},
    ):
        assert slug(attempt.by(doctor, **other)) == "bad-signature"
    old = int(time.time()) - 31 * 86_400
    assert slug(attempt.by(doctor, iat=old)) == "expired"


def test_the_new_key_asks_for_itself(
    world: World, attempt: Attempt, owner: Party, doctor: Party
) -> None:
    approval = attempt.approval(doctor.collector).sign(doctor.key)
    other = Attempt(world, owner.collector, attempt.jti)
    foreign = other.recovery(key=attempt.key.public_jwk)
    assert slug(attempt.send(approval, foreign)) == "bad-signature"
    # Another key under an id that was used.
    assert attempt.by(doctor).status_code == 200
    assert slug(other.by(doctor)) == "recovery-over"
    # A key that somebody has.
    taken = Attempt(world, owner.collector, key=doctor.key)  # type: ignore[arg-type]
    assert slug(taken.by(doctor)) == "key-taken"


def test_any_key_that_is_left_cancels(
    world: World, attempt: Attempt, tally: Tally, owner: Party, doctor: Party
) -> None:
    device = world.with_device(owner)
    attempt.by_operator()
    attempt.by(doctor)
    attempt.wait()
    for _ in range(2):
        answer = attempt.cancel(device)
        assert (answer.status_code, answer.json) == (200, {"recovery": attempt.jti})
    assert slug(attempt.complete()) == "recovery-over"
    assert slug(attempt.by(doctor)) == "recovery-over"
    assert world.ask(owner, tally).counts() == [COUNTS]


def test_nobody_else_cancels(
    attempt: Attempt, owner: Party, doctor: Party, other_patient: Party, stranger: Party
) -> None:
    attempt.by(doctor)
    for other in (doctor, other_patient, stranger):
        forged = Party(owner.kind, owner.collector, other.key)
        assert slug(attempt.cancel(forged)) == "bad-signature"
    theirs = Attempt(attempt.world, other_patient.collector, attempt.jti)
    assert slug(theirs.cancel(other_patient)) == "not-found"
    assert slug(Attempt(attempt.world, stranger.collector).cancel(stranger)) == "not-enrolled"


def test_only_the_new_key_completes(
    attempt: Attempt, owner: Party, doctor: Party, second_doctor: Party
) -> None:
    assert slug(attempt.complete()) == "not-found"
    attempt.by(doctor)
    attempt.by(second_doctor)
    attempt.wait()
    for key in (owner.key, doctor.key, CollectorKey.generate()):
        assert slug(attempt.complete(key)) == "bad-signature"  # type: ignore[arg-type]
    assert slug(attempt.complete(recovery=new_id())) == "bad-signature"
    assert slug(attempt.complete(collector=new_id())) == "bad-signature"
    assert slug(attempt.complete(iat=int(time.time()) - 86_401)) == "expired"
    assert attempt.complete().status_code == 200


def test_consents_that_are_taken_back_in_the_delay_end_it(
    world: World, attempt: Attempt, owner: Party
) -> None:
    doctor = world.enrolled(CollectorKind.DOCTOR)
    grant = world.granted(owner, doctor)
    attempt.by_operator()
    attempt.by(doctor)
    attempt.wait()
    assert world.revoke(grant, owner).status_code == 200
    assert slug(attempt.complete()) == "not-an-approver"


def test_a_completed_recovery_ends_the_others(
    world: World, attempt: Attempt, owner: Party, doctor: Party, second_doctor: Party
) -> None:
    other = Attempt(world, owner.collector)
    for one in (attempt, other):
        one.by(doctor)
        one.by(second_doctor)
        one.wait()
    assert attempt.complete().status_code == 200
    assert slug(other.complete()) == "recovery-over"
    assert slug(attempt.by(doctor)) == "recovery-over"
    assert slug(attempt.cancel(recovered(attempt, owner))) == "recovery-over"


def test_a_doctor_does_not_recover(world: World, owner: Party, doctor: Party) -> None:
    attempt = Attempt(world, doctor.collector)
    for answer in (attempt.by_operator(), attempt.by(doctor)):
        assert slug(answer) == "no-recovery-for-this-kind"


def test_every_key_sees_it_coming(
    world: World, attempt: Attempt, owner: Party, doctor: Party
) -> None:
    def seen() -> Any:
        request = world.log_request(owner).sign(owner.key)
        return world.client.post("/v1/log", json={"request": request}).json

    attempt.by_operator()
    assert seen()["recoveries"] == []
    attempt.by(doctor)
    (coming,) = seen()["recoveries"]
    assert (coming["recovery"], coming["thumbprint"]) == (attempt.jti, attempt.key.thumbprint)
    assert coming["completes_at"] > time.time() + (HOURS - 1) * 3600
    steps = [entry for entry in world.log(owner) if entry.subject == attempt.jti]
    assert [(step.kind, step.actor) for step in steps] == [
        (LogKind.RECOVERY_APPROVAL, AGGREGATOR),
        (LogKind.RECOVERY_DELAY, doctor.collector),
    ]
    attempt.cancel(owner)
    assert seen()["recoveries"] == []
    assert world.log(owner)[-1].kind is LogKind.RECOVERY_CANCEL


@pytest.mark.parametrize("name", ["recovery", "approval"])
@pytest.mark.parametrize("token", ["", "a.b.c", "é", "e30.e30.e30", "A" * 9000])
def test_garbage_is_refused(attempt: Attempt, doctor: Party, name: str, token: str) -> None:
    approval = attempt.approval(doctor.collector).sign(doctor.key)
    body = {"recovery": attempt.recovery(), "approval": approval}
    answer = attempt.world.client.post("/v1/recoveries", json={**body, name: token})
    assert answer.status_code == 400
    for path in ("x", "\x00", "a" * 32, "A" * 32):
        for action, field_name in (("cancellation", "cancel"), ("completion", "completion")):
            answer = attempt.world.client.post(
                f"/v1/recoveries/{path}/{action}", json={field_name: token}
            )
            assert answer.status_code in (400, 404)
