"""Cohorts: what rosters, statements and an A that steers the counting get a thief's clinic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.cohorts import members_hash
from crypto.encoding import sha256_hex
from crypto.jws import CollectorKey
from crypto.messages import CohortStatement, CollectorKind, LogKind
from crypto.opening import blind_single
from crypto.slots import Counts
from tests.attacks.thief import Thief, packed
from tests.keyholder.test_cohorts import (  # noqa: F401
    AFTER,
    BEFORE_THE_END,
    LEAST,
    MONTH,
    Clinic,
    Clock,
    clock,
    settings,
    world,
)
from tests.keyholder.world import Party, World, slug

DAY = f"{MONTH}-03"
COUNTS = [Counts(1, 0), Counts(0, 2), Counts(2, 1), Counts(3, 3)]


@pytest.fixture
def clinic(world: World) -> Clinic:  # noqa: F811
    """The thief's, with A behind it."""
    return Clinic(world, world.enrolled(CollectorKind.CLINIC))


@pytest.fixture
def patients(clinic: Clinic) -> list[Party]:
    return [clinic.patient((DAY, 3, counts)) for counts in COUNTS]


def test_rosters_that_differ_by_one(
    world: World,  # noqa: F811
    clock: Clock,  # noqa: F811
    clinic: Clinic,
    patients: list[Party],
) -> None:
    """Nothing: nobody is on two rosters of a month, by this clinic or by another."""
    clinic.fixed(patients)
    other = Clinic(world, world.enrolled(CollectorKind.CLINIC))
    for patient in patients:
        other.patient(of=patient)
    for fewer in (patients[1:], patients[:-1]):
        assert slug(clinic.send(clinic.roster(fewer))) == "roster-fixed"
        assert slug(other.send(other.roster(fewer))) == "roster-overlap"
    more = [*patients, clinic.patient((DAY, 1, Counts(0, 0)))]
    assert slug(clinic.send(clinic.roster(more))) == "roster-fixed"


def test_statements_about_fewer(
    clock: Clock,  # noqa: F811
    clinic: Clinic,
    patients: list[Party],
) -> None:
    """Nothing: B counts who belongs in it, whatever A leaves out, adds or renumbers."""
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    names = sorted(patient.collector for patient in patients)
    for fewer in (names[:-1], names[:LEAST], names[:1]):
        assert slug(clinic.ask(roster, only=fewer).send()) == "cohort-differs"
    everybody = [(name, [(DAY, 3)]) for name in names]
    for members in (everybody[:-1], [*everybody[:-1], (names[-1], [(DAY, 2)])]):
        asked = clinic.ask(roster, members_sha256=members_hash(members))
        assert slug(asked.send()) == "cohort-differs"
    clock.set(BEFORE_THE_END)
    assert slug(clinic.ask(roster).send()) == "cohort-not-over"


def test_a_roster_of_strawmen(
    clock: Clock,  # noqa: F811
    clinic: Clinic,
) -> None:
    """Accepted: a patient who agreed to be counted in, among accounts of the thief's own."""
    victim = clinic.patient((DAY, 3, COUNTS[2]))
    own = [clinic.patient((DAY, 1, Counts(1, 1))) for _ in range(LEAST - 1)]
    roster = clinic.fixed([victim, *own])
    clock.set(AFTER)
    sums = clinic.ask(roster).sums()
    assert (sums.sound - len(own), sums.rate - len(own)) == (2, 1)


def test_a_roster_whose_others_a_counted_void(
    world: World,  # noqa: F811
    clock: Clock,  # noqa: F811
    clinic: Clinic,
) -> None:
    """Accepted: a month of one patient, if A gave up all recordings of the others as they came.

    It must have done so while they were counted: their own counts are lost by it, and they see so.
    """
    victim = clinic.patient((DAY, 3, COUNTS[2]))
    # Nothing but masks, as void positions leave them.
    others = [clinic.patient((DAY, 3, Counts(0, 0))) for _ in range(LEAST - 1)]
    roster = clinic.fixed([victim, *others])
    clock.set(AFTER)
    sums = clinic.ask(roster).sums()
    assert (sums.sound, sums.rate) == (2, 1)
    assert [world.ask(one, clinic.tallies[one.collector][0]).counts() for one in others] == [
        [Counts(0, 0)]
    ] * len(others)


def test_another_number_in_place_of_the_cohort(
    world: World,  # noqa: F811
    clock: Clock,  # noqa: F811
    clinic: Clinic,
    patients: list[Party],
) -> None:
    """Noise, once: one patient's tally in place of the sum still lies under its mask."""
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    asked = clinic.ask(roster)
    public = world.keys.paillier.public
    single = clinic.tallies[patients[0].collector][0].ciphertext
    sent, blind = blind_single(public, single)
    assert isinstance(asked.statement, CohortStatement)
    asked.statement = replace(asked.statement, ciphertext_sha256=sha256_hex(sent.to_wire()))
    asked.ciphertext, asked.blind = sent.to_wire(), blind
    value = int.from_bytes(asked.value(asked.send()), "big")
    number = (value - int.from_bytes(blind, "big")) % public.n
    masks = sum(
        world.keys.masks.total(public, patient.collector, DAY, 3) for patient in patients[1:]
    )
    assert (number + masks) % public.n == packed(world, COUNTS[0])
    assert number >> 300 != 0  # far above all counts
    assert slug(clinic.ask(roster).send()) == "cohort-opened"


def test_refusals_that_tell_how_large_a_sum_is(
    world: World,  # noqa: F811
    clock: Clock,  # noqa: F811
    clinic: Clinic,
    patients: list[Party],
) -> None:
    """One bit about one group of patients, and no figure: the refusal is the roster's opening.

    B refuses a sum without a blind if it is not below 0, so an A that takes a limit off it learns
    on which side it is. For free, that would tell of everybody, and after a patient has taken the
    consent back of everybody else, under the same noise: the difference is that patient's month.
    """
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    public = world.keys.paillier.public
    total = public.constant(0)
    for patient in patients:
        total = total.add(clinic.tallies[patient.collector][0].ciphertext)
    asked = clinic.ask(roster)
    limit = sum(counts.sound for counts in COUNTS)  # at least so many: so it is
    sent = total.add_constant(-limit).rerandomised()
    assert isinstance(asked.statement, CohortStatement)
    asked.statement = replace(asked.statement, ciphertext_sha256=sha256_hex(sent.to_wire()))
    asked.ciphertext = sent.to_wire()
    for _ in range(2):
        assert slug(asked.send()) == "blind-forgotten"
    assert slug(clinic.ask(roster).send()) == "cohort-opened"
    revoked = world.revoke(clinic.grants[patients[0].collector], patients[0])
    assert slug(revoked) == "200"
    assert slug(clinic.ask(roster).send()) == "cohort-opened"
    assert [entry.kind for entry in world.log(patients[1])][-1] is LogKind.COHORT


def test_a_doctor_or_patient_with_a_roster(
    world: World,  # noqa: F811
    clinic: Clinic,
    patients: list[Party],
) -> None:
    """Nothing: rosters are a clinic's, by its own key, of who granted that clinic."""
    thief = Thief(world)
    for account in (thief.patient, thief.doctor):
        as_clinic = Clinic(world, account)
        roster = as_clinic.roster(patients)
        assert slug(as_clinic.send(roster)) == "not-a-clinic"
    other = Clinic(world, thief.clinic)
    assert slug(other.send(other.roster(patients))) == "not-granted"
    assert (
        slug(clinic.send(clinic.roster(patients), key=CollectorKey.generate())) == "bad-signature"
    )
