"""Somebody else's tally: whatever is asked of B about it, it stays under its mask.

The first line of each test says what the thief gets (docs/threat-model.md has them in a table).
Where B answers, the number is compared with what it must be: the counts *plus the victim's mask*,
a number that is uniform to everybody without B's mask key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from config import KeyholderConfig
from crypto.encoding import b64u, new_id, sha256_hex, unb64u
from crypto.errors import OpeningMismatch, SealBroken
from crypto.hpke import value_info
from crypto.messages import Grant, GrantUse
from crypto.opening import recover_counts
from crypto.slots import Counts
from tests.attacks.thief import Thief, covered, impostor, mask, packed
from tests.keyholder.world import DAY, Party, Tally, World, slug

COUNTS = Counts(sound=2, rate=1)


def is_noise(world: World, number: int, recordings: int = 1 << 23) -> bool:
    """Whether no collector would take a number for counts, even of the most recordings."""
    public = world.keys.paillier.public
    value, nothing = (n.to_bytes(public.plaintext_bytes, "big") for n in (number, 0))
    try:
        recover_counts(value, nothing, public, [recordings])
    except OpeningMismatch:
        return True
    return False


# (a) The victim's tally under a scope of the thief's own


def test_under_the_thiefs_own_scope(world: World, thief: Thief, tally: Tally) -> None:
    """Noise: the counts plus the victim's mask, whatever scope of the thief's B is told."""
    own = world.tally_of(thief.patient, 3, Counts(1, 1))
    for recordings in (0, 1, 2, 3):
        number = thief.opens(tally.ciphertext, thief.cell(recordings))
        taken_off = mask(world, own, recordings)
        assert (number + taken_off) % world.keys.paillier.public.n == covered(world, tally)
        assert is_noise(world, number)


def test_whatever_the_victims_counts(world: World, thief: Thief) -> None:
    """Noise in which the counts show nowhere: the mask is a number mod n and covers all of it."""
    public = world.keys.paillier.public
    numbers = []
    for sound in range(4):
        victim = world.tally_of(Party(thief.patient.kind), 3, Counts(sound, 0))
        numbers.append(thief.opens(victim.ciphertext))
        assert (numbers[-1] - mask(world, victim)) % public.n == sound
        assert is_noise(world, numbers[-1])
    # No two have the bits of a count in common beyond chance: neither high nor low ones.
    for one, other in combinations(numbers, 2):
        for part in (1 << 64, public.n >> 64):
            assert one % part != other % part
            assert one // part != other // part


# (b) A scope that names the victim


def test_a_scope_naming_the_victim_without_a_grant(
    world: World, thief: Thief, tally: Tally, victim: Party
) -> None:
    """Nothing: `not-granted`, for an account of any kind, for any number of recordings."""
    for account in thief.accounts:
        for recordings in (0, 1, 3):
            cell = thief.cell(recordings, of=victim)
            assert thief.refused(tally.ciphertext, cell, by=account) == "not-granted"
            mixed = (thief.cell(0, of=account), cell)
            assert thief.refused(tally.ciphertext, *mixed, by=account) == "not-granted"


def test_in_the_victims_name(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Nothing: A's statement names the victim as its collector, and no key of the thief signs."""
    for key in (thief.patient.key, thief.doctor.key, impostor(victim).key):
        asked = thief.asks(tally.ciphertext, world.cells(tally), by=victim)
        assert slug(asked.send(signer=key)) == "bad-signature"
    # A's own signature under the opening is none of a collector.
    asked = thief.asks(tally.ciphertext, world.cells(tally), by=victim)
    body = asked.body()
    opening = {"statement_sha256": sha256_hex(body["statement"].encode()), "jti": new_id()}
    body["opening"] = world.statement_key.sign("hushbeat-opening", opening)
    assert slug(world.client.post("/v1/openings", json=body)) == "bad-signature"


def test_a_forged_grant(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Nothing: B takes a grant by the victim's key only, not by the thief's and not by A's."""
    message = world.grant_message(victim, thief.doctor)
    tokens = [
        message.sign(thief.doctor.key),
        message.sign(thief.patient.key),
        message.sign(impostor(victim).key),
        message.sign(world.statement_key),  # A's word
        message.sign(world.keys.manifest),  # even if it were B's
    ]
    for token in tokens:
        assert slug(world.client.post("/v1/grants", json={"grant": token})) == "bad-signature"
    assert thief.refused(tally.ciphertext, *world.cells(tally), by=thief.doctor) == "not-granted"


def test_a_grant_of_another_patient(
    world: World, thief: Thief, tally: Tally, victim: Party
) -> None:
    """Nothing: the thief's own patient grants the thief's doctor; for nobody else."""
    token = world.grant_message(thief.patient, thief.doctor).sign(thief.patient.key)
    # The same grant with the victim written into it.
    head, _, signature = token.split(".")
    forged = Grant.claimed(token).to_payload() | {"patient": victim.collector}
    altered = world.statement_key.sign(Grant.TYP, forged).split(".")[1]
    changed = {"grant": f"{head}.{altered}.{signature}"}
    assert slug(world.client.post("/v1/grants", json=changed)) == "bad-signature"
    assert thief.refused(tally.ciphertext, *world.cells(tally), by=thief.doctor) == "not-granted"


def test_a_grant_to_another_doctor(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Nothing: a grant names one doctor's key; the thief can send it again, not become it."""
    doctor = world.enrolled(thief.doctor.kind)
    message = world.grant_message(victim, doctor)
    token = message.sign(victim.key)
    assert slug(world.client.post("/v1/grants", json={"grant": token})) == "201"
    assert slug(world.client.post("/v1/grants", json={"grant": token})) == "200"
    cells = world.cells(tally)
    assert thief.refused(tally.ciphertext, *cells, by=thief.doctor) == "not-granted"
    # A's statement for that doctor, signed by the thief's doctor.
    asked = thief.asks(tally.ciphertext, cells, by=doctor)
    assert slug(asked.send(signer=thief.doctor.key)) == "bad-signature"
    assert world.ask(doctor, tally).counts() == [COUNTS]


def test_a_grant_for_cohorts(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Nothing: who granted a clinic its cohorts granted it no tally."""
    message = replace(world.grant_message(victim, thief.clinic), use=GrantUse.COHORT)
    token = message.sign(victim.key)
    assert slug(world.client.post("/v1/grants", json={"grant": token})) == "201"
    cells = world.cells(tally)
    assert thief.refused(tally.ciphertext, *cells, by=thief.clinic) == "not-granted"
    asked = replace(message, grant=new_id(), use=GrantUse.COUNTS).sign(victim.key)
    assert slug(world.client.post("/v1/grants", json={"grant": asked})) == "unknown-doctor"


def test_a_revoked_grant(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Nothing any more, even if A still allows it; what was opened before is known."""
    message = world.grant_message(victim, thief.doctor)
    token = message.sign(victim.key)
    assert slug(world.client.post("/v1/grants", json={"grant": token})) == "201"
    asked_before = world.ask(thief.doctor, tally)
    assert world.ask(thief.doctor, tally).counts() == [COUNTS]
    assert slug(world.revoke(message.grant, victim)) == "200"
    assert slug(asked_before.send()) == "not-granted"  # the statement is older than the revocation
    assert slug(world.client.post("/v1/grants", json={"grant": token})) == "grant-conflict"
    assert thief.refused(tally.ciphertext, *world.cells(tally), by=thief.doctor) == "not-granted"


def test_masks_fetched_while_a_grant_held(world: World, thief: Thief, victim: Party) -> None:
    """What the grant allowed, for good: masks of recordings counted then; of none counted later."""
    message = world.grant_message(victim, thief.doctor)
    assert slug(world.client.post("/v1/grants", json={"grant": message.sign(victim.key)})) == "201"
    earlier = world.tally_of(victim, 3, COUNTS)
    public = world.keys.paillier.public
    # Minus the mask of what was served, opened like a tally of zeros.
    asked = thief.asks(world.encrypt(0), world.cells(earlier), by=thief.doctor)
    value = int.from_bytes(asked.value(asked.send()), "big")
    own_mask = (int.from_bytes(asked.blind, "big") - value) % public.n
    assert own_mask == mask(world, earlier)
    for ahead in (4, 5):  # not yet served
        cell = thief.cell(ahead, of=victim)
        assert thief.refused(world.encrypt(0), cell, by=thief.doctor) == "not-served"
    world.revoke(message.grant, victim)
    later = world.tally_of(victim, 3, Counts(3, 3), "2026-03-02")
    number = thief.opens(later.ciphertext)
    assert is_noise(world, (number - own_mask) % public.n)
    assert thief.refused(later.ciphertext, *world.cells(later), by=thief.doctor) == "not-granted"


# (c) Arithmetic on the victim's tally


@pytest.mark.parametrize("factor", [1, 2, 3, 1 << 24, -1])
def test_multiples_added_to_the_thiefs_own_tally(
    world: World, thief: Thief, tally: Tally, factor: int
) -> None:
    """Noise: a multiple of the victim's counts plus as large a multiple of the victim's mask."""
    own = world.tally_of(thief.patient, 2, Counts(1, 0))
    mixed = own.ciphertext.add(tally.ciphertext.times(factor))
    number = thief.opens(mixed, thief.cell(2))
    expected = packed(world, Counts(1, 0)) + factor * covered(world, tally)
    assert number == expected % world.keys.paillier.public.n
    assert is_noise(world, number)


@pytest.mark.parametrize("bits", [1, 24, 48])
def test_a_shifted_tally(world: World, thief: Thief, tally: Tally, bits: int) -> None:
    """Noise: shifting moves the mask along, also beside a cell of the thief's own."""
    number = thief.opens(tally.ciphertext.shifted(bits), thief.cell(0), thief.cell(0, "2026-03-02"))
    assert number == (covered(world, tally) << bits) % world.keys.paillier.public.n
    assert is_noise(world, number)


def test_constants_taken_off(world: World, thief: Thief, tally: Tally) -> None:
    """Noise: no guess of the counts leaves anything but the mask."""
    for guess in (Counts(0, 0), COUNTS, Counts(3, 3)):
        number = thief.opens(tally.ciphertext.add_constant(-packed(world, guess)))
        assert is_noise(world, number)


@pytest.mark.parametrize(
    ("day", "recordings"), [(DAY, 0), (DAY, 1), (DAY, 2), ("2026-03-02", 3), ("2026-03-02", 0)]
)
def test_another_day_or_number_of_the_victims(
    world: World, thief: Thief, tally: Tally, victim: Party, day: str, recordings: int
) -> None:
    """Nothing more for who may open it: with another day or number even the owner gets noise."""
    world.tally_of(victim, 3, Counts(0, 0), "2026-03-02")
    asked = thief.asks(tally.ciphertext, [thief.cell(recordings, day, victim)], by=victim)
    public = world.keys.paillier.public
    with pytest.raises(OpeningMismatch):
        recover_counts(asked.value(asked.send()), asked.blind, public, [recordings])


def test_more_recordings_than_were_served(
    world: World, thief: Thief, tally: Tally, victim: Party
) -> None:
    """Nothing: no mask leaves B before its position is served, not even to the owner."""
    for recordings in (4, 1 << 23):
        cell = thief.cell(recordings, of=victim)
        assert thief.refused(tally.ciphertext, cell, by=victim) == "not-served"
    assert thief.refused(tally.ciphertext, thief.cell(1)) == "not-served"


# (d) Differences


def test_the_difference_of_two_tallies(world: World, thief: Thief, victim: Party) -> None:
    """Noise: between neighbouring numbers the mask of one position is left, between people two."""
    n = world.keys.paillier.public.n
    three = world.tally(victim, [(65_535, 720), (0, 720), (65_535, 300)])
    other = world.tally(Party(victim.kind), [(65_535, 720)])
    number = thief.opens(three.ciphertext.add(other.ciphertext.negated()))
    assert number == (covered(world, three) - covered(world, other)) % n
    assert is_noise(world, number)
    # The tally before the last recording, which a thief may have copied: its step alone differs.
    before = mask(world, three, 2)
    step = (mask(world, three) - before) % n
    two = world.encrypt((packed(world, Counts(1, 0)) + before) % n)
    number = thief.opens(three.ciphertext.add(two.negated()))
    assert (number - step) % n == packed(world, Counts(1, 1))
    assert is_noise(world, number)


def test_days_are_masked_apart(world: World, thief: Thief, victim: Party) -> None:
    """Noise: the same counts on the same number of recordings give unrelated numbers each day."""
    numbers = {
        thief.opens(world.tally_of(victim, 1, Counts(0, 0), f"2026-03-{day:02}").ciphertext)
        for day in range(1, 11)
    }
    assert len(numbers) == 10
    assert all(is_noise(world, number) for number in numbers)


# (g) Without a blind


def test_without_a_blind(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Nothing: `blind-forgotten` where B would have decrypted the counts themselves."""
    for ciphertext, by, cells in (
        (tally.ciphertext, victim, world.cells(tally)),
        (world.encrypt(5), thief.patient, (thief.cell(0),)),
    ):
        asked = thief.asks(ciphertext, cells, by, blinded=False)
        assert slug(asked.send()) == "blind-forgotten"


# (j) Quota and statements


def test_the_quota(make_world: Callable[[KeyholderConfig], World], config: KeyholderConfig) -> None:
    """As many openings an hour as one collector has; a thief with A has more collectors."""
    world = make_world(replace(config, openings_per_hour=2))
    thief = Thief(world)
    for _ in range(2):
        thief.opens(world.encrypt(7))
    assert thief.refused(world.encrypt(7), thief.cell(0)) == "too-many-openings"
    assert slug(thief.asks(world.encrypt(7), [thief.cell(0)], thief.doctor).send()) == "200"


def test_statements_of_somebody_else(
    world: World, thief: Thief, tally: Tally, victim: Party
) -> None:
    """Nothing: used, expired, altered and redirected statements are refused; B's answer is sealed.

    A may state its own key as the recipient. The owner's program signs no such statement; if it
    did, B's answer would still go to the owner, and A lacks it.
    """
    used = world.ask(victim, tally)
    body = used.body()
    assert used.send().status_code == 200
    assert slug(world.client.post("/v1/openings", json=body)) == "already-opened"
    now = int(time.time())
    old = world.ask(victim, tally)
    old.statement = replace(old.statement, iat=now - 400, exp=now - 100)
    assert slug(old.send()) == "expired"
    # The owner's signature under one statement, A's statement for the thief's key beside it.
    mine = world.ask(victim, tally)
    theirs = replace(mine.statement, recipient=thief.patient.one_time.public)
    signed = mine.body()
    swapped = signed | {"statement": theirs.sign(world.statement_key)}
    assert slug(world.client.post("/v1/openings", json=swapped)) == "bad-signature"
    # Another ciphertext under the owner's signature.
    other = signed | {"ciphertext": b64u(world.encrypt(1).to_wire())}
    assert slug(world.client.post("/v1/openings", json=other)) == "bad-signature"
    # One character of each part.
    for name in signed:
        text = signed[name]
        at = len(text) // 2
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        answer = world.client.post("/v1/openings", json=signed | {name: changed})
        assert slug(answer) in ("bad-signature", "invalid-encoding")
    assert world.client.post("/v1/openings", json=signed).status_code == 200


def test_what_a_sees_of_an_opening(world: World, thief: Thief, tally: Tally, victim: Party) -> None:
    """Nothing: A knows its blind, and B's half is sealed to a key of the owner's for one time."""
    asked = world.ask(victim, tally)
    sealed = unb64u(asked.send().get_json()["sealed_value"])
    info = value_info(asked.statement.jti)
    for account in thief.accounts:
        with pytest.raises(SealBroken):
            account.one_time.unseal(info, sealed)
    assert len(asked.party.one_time.unseal(info, sealed)) == len(asked.blind)
