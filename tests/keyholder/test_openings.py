"""Who may open what, once. The cast: owner, doctor with a grant, their colleagues, a stranger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.keyholder.tables import SpentOpening, db
from config import KeyholderConfig
from crypto.comparison.fast import Checked, Item
from crypto.comparison.positions import RangePosition
from crypto.encoding import b64u, new_id, sha256_hex
from crypto.errors import InvalidEncoding, OpeningMismatch, SealBroken
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import Cell, CollectorKind, TallyStatement
from crypto.slots import Counts
from tests.keyholder.comparing import Comparing
from tests.keyholder.world import DAY, Asked, Party, Tally, World, slug

RECORDINGS = [(40_000, 720), (0, 1200), (65_535, 500)]  # two abnormal sounds, two abnormal rates
COUNTS = Counts(sound=2, rate=2)


@pytest.fixture
def tally(world: World, owner: Party) -> Tally:
    return world.tally_of(owner, 3, COUNTS)


def altered(asked: Asked, **fields: Any) -> Asked:
    """The opening with another statement, signed anew by A."""
    return replace(asked, statement=replace(asked.statement, **fields))


def test_the_owner_and_the_doctor_open_the_counts(
    world: World, tally: Tally, owner: Party, doctor: Party
) -> None:
    assert world.ask(owner, tally).counts() == [COUNTS]
    assert world.ask(doctor, tally).counts() == [COUNTS]


def test_several_days_and_patients_open_at_once(
    world: World, owner: Party, doctor: Party, other_patient: Party
) -> None:
    tally = world.tally(owner, RECORDINGS)
    world.granted(other_patient, doctor)
    other_day = world.tally(owner, [(65_535, 720)], "2026-03-02")
    other = world.tally(other_patient, [(0, 720), (0, 300)])
    asked = world.ask(doctor, tally, other_day, other)
    assert asked.counts() == [COUNTS, Counts(1, 0), Counts(0, 1)]


def test_nobody_else_opens_them(
    world: World, tally: Tally, other_patient: Party, colleague: Party, stranger: Party
) -> None:
    assert slug(world.ask(other_patient, tally).send()) == "not-granted"
    assert slug(world.ask(colleague, tally).send()) == "not-granted"
    assert slug(world.ask(stranger, tally).send()) == "not-enrolled"


def test_a_grant_for_one_patient_is_none_for_another(
    world: World, tally: Tally, doctor: Party, other_patient: Party
) -> None:
    foreign = world.tally_of(other_patient, 1, Counts(0, 0))
    refused = world.ask(doctor, tally, foreign).send()
    assert slug(refused) == "not-granted"
    assert refused.get_json()["pseudonym"] == other_patient.collector


def test_a_revoked_grant_opens_nothing(
    world: World, tally: Tally, owner: Party, colleague: Party
) -> None:
    grant = world.granted(owner, colleague)
    assert world.ask(colleague, tally).counts() == [COUNTS]
    assert world.revoke(grant, owner).status_code == 200
    assert slug(world.ask(colleague, tally).send()) == "not-granted"


def test_a_forged_statement_is_refused(world: World, tally: Tally, owner: Party) -> None:
    answer = world.ask(owner, tally).send(issuer=SigningKey.generate())
    assert slug(answer) == "bad-signature"


def test_an_opening_by_another_key_is_refused(
    world: World, tally: Tally, owner: Party, doctor: Party
) -> None:
    for key in (doctor.key, CollectorKey.generate()):
        assert slug(world.ask(owner, tally).send(signer=key)) == "bad-signature"


def test_an_opening_for_another_statement_is_refused(
    world: World, tally: Tally, owner: Party
) -> None:
    asked = world.ask(owner, tally)
    for other in ({"jti": new_id()}, {"statement_sha256": "0" * 64}):
        assert slug(asked.send(**other)) == "bad-signature"


def test_another_ciphertext_is_refused(world: World, tally: Tally, owner: Party) -> None:
    asked = world.ask(owner, tally)
    asked.ciphertext = world.encrypt(1).to_wire()
    assert slug(asked.send()) == "bad-signature"


def test_a_statement_for_another_key_of_the_collector_is_refused(
    world: World, tally: Tally, owner: Party
) -> None:
    asked = altered(world.ask(owner, tally), thumbprint=CollectorKey.generate().thumbprint)
    assert slug(asked.send()) == "bad-signature"


def test_an_expired_or_overlong_statement_is_refused(
    world: World, tally: Tally, owner: Party, stranger: Party
) -> None:
    now = int(time.time())
    for times in (
        {"iat": now - 400, "exp": now - 100},
        {"iat": now, "exp": now + 301},
        {"iat": now + 200, "exp": now + 400},
    ):
        assert slug(altered(world.ask(owner, tally), **times).send()) == "expired"
        # Who asks is checked before.
        assert slug(altered(world.ask(stranger, tally), **times).send()) == "not-enrolled"
        answer = altered(world.ask(owner, tally), **times).send(signer=stranger.key)
        assert slug(answer) == "bad-signature"


def test_a_statement_under_another_key_is_refused(world: World, tally: Tally, owner: Party) -> None:
    assert slug(altered(world.ask(owner, tally), key_id="0" * 64).send()) == "foreign-key"


def test_more_recordings_than_were_compared_are_refused(
    world: World, tally: Tally, owner: Party
) -> None:
    for days in (((DAY, 4),), (("2026-03-02", 1),), ((DAY, 3), ("2026-03-02", 1))):
        cells = (Cell(pseudonym=owner.collector, days=days),)
        assert slug(altered(world.ask(owner, tally), cells=cells).send()) == "not-served"


def test_a_wrong_number_of_recordings_opens_noise(world: World, tally: Tally, owner: Party) -> None:
    cells = (Cell(pseudonym=owner.collector, days=((DAY, 2),)),)
    with pytest.raises(OpeningMismatch):
        altered(world.ask(owner, tally), cells=cells).counts()


def test_a_day_twice_is_refused(world: World, tally: Tally, owner: Party) -> None:
    asked = world.ask(owner, tally)
    assert isinstance(asked.statement, TallyStatement)
    payload = asked.statement.to_payload()
    for cells in (
        payload["cells"] * 2,
        [{**payload["cells"][0], "days": [[DAY, 3], [DAY, 3]]}],
        [],
        [{**payload["cells"][0], "days": []}],
        [{**payload["cells"][0], "days": [[DAY, -1]]}],
        [{**payload["cells"][0], "days": [["2026-02-30", 1]]}],
    ):
        body = asked.body()
        body["statement"] = world.statement_key.sign(
            asked.statement.TYP, {**payload, "cells": cells}
        )
        assert slug(world.client.post("/v1/openings", json=body)) == "invalid-encoding"


def test_more_cells_than_fit_are_refused(world: World, tally: Tally, owner: Party) -> None:
    cells = tuple(
        Cell(pseudonym=owner.collector, days=((f"2026-04-{day:02}", 0),)) for day in range(1, 12)
    )
    asked = world.ask(owner, tally)
    assert slug(altered(asked, cells=cells).send()) == "plaintext-out-of-range"
    assert altered(asked, cells=cells[:10]).send().status_code == 200


def test_a_number_that_is_no_ciphertext_is_refused_and_spends_nothing(
    world: World, tally: Tally, owner: Party
) -> None:
    public = world.keys.paillier.public
    width = public.ciphertext_bytes
    for data, expected in (
        (bytes(width), "ciphertext-out-of-range"),
        (b"\xff" * width, "ciphertext-out-of-range"),
        ((public.n * 3).to_bytes(width, "big"), "ciphertext-out-of-range"),
        (b"\x01", "invalid-encoding"),
        (b"", "invalid-encoding"),
    ):
        asked = altered(world.ask(owner, tally), ciphertext_sha256=sha256_hex(data))
        asked.ciphertext = data
        assert slug(asked.send()) == expected
    with world.app.app_context():
        assert db.session.execute(db.select(SpentOpening)).first() is None


def test_a_statement_opens_once(world: World, tally: Tally, owner: Party) -> None:
    asked = world.ask(owner, tally)
    body = asked.body()
    assert world.client.post("/v1/openings", json=body).status_code == 200
    assert slug(world.client.post("/v1/openings", json=body)) == "already-opened"
    # Nor another statement with its nonce.
    again = altered(world.ask(owner, tally), jti=asked.statement.jti)
    assert slug(again.send()) == "already-opened"


def test_the_nonce_is_spent_before_anything_is_computed(
    world: World, tally: Tally, owner: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = world.ask(owner, tally)
    with monkeypatch.context() as patch:
        patch.setattr("app.keyholder.openings.open_tally", lambda *_: 1 / 0)
        assert asked.send().status_code == 500
    assert slug(asked.send()) == "already-opened"


def test_spent_nonces_go_when_nothing_depends_on_them(
    world: World, tally: Tally, owner: Party
) -> None:
    old, valid, now = new_id(), new_id(), int(time.time())
    with world.app.app_context():
        for jti, expires_at in ((old, now - 1), (valid, now + 100)):
            db.session.add(
                SpentOpening(
                    jti=jti,
                    collector=owner.collector,
                    recordings=0,
                    spent_at=now - 4000,
                    expires_at=expires_at,
                )
            )
        db.session.commit()
    asked = world.ask(owner, tally)
    asked.counts()
    with world.app.app_context():
        left = set(db.session.execute(db.select(SpentOpening.jti)).scalars())
    assert left == {valid, asked.statement.jti}


def test_a_collector_has_a_quota_an_hour(
    make_world: Callable[[KeyholderConfig], World], config: KeyholderConfig
) -> None:
    world = make_world(replace(config, openings_per_hour=2))
    one, two = (world.enrolled(CollectorKind.PATIENT) for _ in range(2))
    tallies = {party.collector: world.tally_of(party, 1, Counts(0, 0)) for party in (one, two)}
    for _ in range(2):
        world.ask(one, tallies[one.collector]).counts()
    over = world.ask(one, tallies[one.collector]).send()
    assert slug(over) == "too-many-openings"
    assert "Retry-After" in over.headers
    assert world.ask(two, tallies[two.collector]).counts() == [Counts(0, 0)]
    with world.app.app_context():  # an hour later
        db.session.execute(db.update(SpentOpening).values(spent_at=SpentOpening.spent_at - 3601))
        db.session.commit()
    assert world.ask(one, tallies[one.collector]).counts() == [Counts(0, 0)]


def test_the_digest_of_a_range_opens_to_the_doctor_with_a_grant(
    world: World, owner: Party, doctor: Party, colleague: Party, stranger: Party
) -> None:
    comparing = Comparing(world)
    for lo, hi, valid in ((600, 1000, True), (900, 800, False)):
        position = RangePosition(new_id(), owner.collector)
        (checked,) = comparing.compare(comparing.range(position, lo, hi))
        assert isinstance(checked, Checked)
        asked = world.ask_range(doctor, position)
        digest = asked.value(asked.send())
        assert len(digest) == 32
        assert (digest == checked.digest) is valid
        assert slug(asked.send()) == "already-opened"
        assert slug(world.ask_range(colleague, position).send()) == "not-granted"
        assert slug(world.ask_range(stranger, position).send()) == "not-enrolled"


def test_a_range_that_was_not_compared_is_refused(
    world: World, owner: Party, doctor: Party
) -> None:
    position, other = (RangePosition(new_id(), owner.collector) for _ in range(2))
    assert slug(world.ask_range(doctor, position).send()) == "not-served"
    comparing = Comparing(world)
    comparing.compare(Item(position, None), comparing.range(other, 600, 1000))
    assert (
        slug(world.ask_range(doctor, position).send()) == "not-served"
    )  # A had nothing to compare
    asked = world.ask_range(doctor, other)
    assert slug(altered(asked, key_id="0" * 64).send()) == "foreign-key"
    assert asked.send().status_code == 200


def test_a_range_of_somebody_else_is_refused(
    world: World, owner: Party, other_patient: Party, doctor: Party
) -> None:
    """The range was compared, for another patient than the one whom the statement names."""
    position = RangePosition(new_id(), other_patient.collector)
    comparing = Comparing(world)
    comparing.compare(comparing.range(position, 600, 1000))
    assert slug(world.ask_range(doctor, position).send()) == "not-granted"
    claimed = RangePosition(position.range, owner.collector)
    assert slug(world.ask_range(doctor, claimed).send()) == "not-served"


def test_only_what_has_a_ciphertext_comes_with_one(
    world: World, tally: Tally, owner: Party, doctor: Party
) -> None:
    position = RangePosition(new_id(), owner.collector)
    comparing = Comparing(world)
    comparing.compare(comparing.range(position, 600, 1000))
    more, less = world.ask_range(doctor, position), world.ask(owner, tally)
    more.ciphertext, less.ciphertext = less.ciphertext, None
    assert slug(more.send()) == "invalid-request"
    assert slug(less.send()) == "invalid-request"


def test_the_answer_is_for_the_one_time_key_alone(
    world: World, tally: Tally, owner: Party, doctor: Party
) -> None:
    asked = world.ask(owner, tally)
    answer = asked.send()
    asked.party = doctor
    with pytest.raises(SealBroken):
        asked.value(answer)


@pytest.mark.parametrize("name", ["statement", "ciphertext", "opening"])
@pytest.mark.parametrize("text", ["", "!", "é", "a.b.c", "A===", "e30.e30.e30", "A" * 70_000])
def test_garbage_is_refused(world: World, owner: Party, name: str, text: str, tally: Tally) -> None:
    body = world.ask(owner, tally).body()
    answer = world.client.post("/v1/openings", json={**body, name: text})
    assert answer.status_code in (400, 422)


def test_a_body_without_end_is_refused(world: World) -> None:
    answer = world.client.post("/v1/openings", json={"statement": "A" * (3 << 20)})
    assert answer.status_code == 413


def test_fields_must_be_exactly_those(world: World, owner: Party, tally: Tally) -> None:
    body = world.ask(owner, tally).body()
    for other in ({**body, "more": 1}, {**body, "opening": None}, {"statement": b64u(b"x")}):
        assert slug(world.client.post("/v1/openings", json=other)) == "invalid-request"


def test_statements_that_cannot_be_are_not_even_signed() -> None:
    with pytest.raises(InvalidEncoding):
        Cell(pseudonym=new_id(), days=((DAY, 1 << 24),))


def test_a_sum_that_was_not_blinded_does_not_open(world: World, tally: Tally, owner: Party) -> None:
    """A forgot its blind: what B would answer is the count itself."""
    public = world.keys.paillier.public
    for blind in (0, 1, (1 << (public.bits - 129)) - 1):
        bare = tally.ciphertext.add(public.constant(blind)).rerandomised()
        asked = altered(world.ask(owner, tally), ciphertext_sha256=sha256_hex(bare.to_wire()))
        asked.ciphertext = bare.to_wire()
        assert slug(asked.send()) == "blind-forgotten"
        assert slug(asked.send()) == "already-opened"


def test_the_highest_counts_do_not_pass_for_a_blind(world: World, owner: Party) -> None:
    """Ten cells fill the number but for 32 bits."""
    days = [f"2026-04-{day:02}" for day in range(1, 11)]
    tallies = [world.tally_of(owner, 3, Counts(sound=3, rate=3), day) for day in days]
    asked = world.ask(owner, *tallies)
    public = world.keys.paillier.public
    blind = int.from_bytes(asked.blind, "big")
    bare = public.parse(asked.ciphertext).add(public.constant(public.n - blind)).rerandomised()
    asked = altered(asked, ciphertext_sha256=sha256_hex(bare.to_wire()))
    asked.ciphertext = bare.to_wire()
    assert slug(asked.send()) == "blind-forgotten"
