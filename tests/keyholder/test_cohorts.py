"""Cohorts at B: who is counted in, once, and what three overlapping rosters would give away."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.keyholder import cohorts
from app.keyholder.tables import LogEntry, db
from config import ConfigurationError, KeyholderConfig
from crypto.cohorts import CohortCounts, CohortTerms, blind_cohort, members_hash, recover_cohort
from crypto.encoding import new_id, sha256_hex
from crypto.jws import CollectorKey, SigningKey
from crypto.messages import CohortQuery, CohortStatement, CollectorKind, GrantUse, Roster
from crypto.random import SeededRandom
from crypto.service_auth import authorization
from crypto.slots import Counts
from tests.keyholder.world import Asked, Party, Tally, World, slug

MONTH = "2031-03"
DURING = datetime(2031, 3, 5, tzinfo=UTC).timestamp()
BEFORE_THE_END = datetime(2031, 4, 1, 11, 59, tzinfo=UTC).timestamp()
TOO_EARLY = datetime(2031, 4, 2, 11, 59, tzinfo=UTC).timestamp()
AFTER = datetime(2031, 4, 2, 12, 0, 5, tzinfo=UTC).timestamp()
LEAST = 3
NO_NOISE = CohortTerms(0, 0)


class Clock:
    """Everybody's clock: set, then it goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.time
        self._ahead = 0.0
        monkeypatch.setattr(time, "time", lambda: self._real() + self._ahead)

    def set(self, moment: float) -> None:
        self._ahead = moment - self._real()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(monkeypatch)
    made.set(DURING)
    return made


@pytest.fixture
def settings(config: KeyholderConfig) -> KeyholderConfig:
    return replace(config, min_batch=LEAST)


@pytest.fixture
def world(
    clock: Clock, make_world: Callable[[KeyholderConfig], World], settings: KeyholderConfig
) -> World:
    return make_world(settings)


@dataclass
class Clinic:
    """A clinic with its patients, on both sides of B: its own program's and A's."""

    world: World
    party: Party
    tallies: dict[str, list[Tally]] = field(default_factory=dict)
    grants: dict[str, str] = field(default_factory=dict)

    def patient(self, *tallies: tuple[str, int, Counts], of: Party | None = None) -> Party:
        """Somebody who consents, with (day, recordings, counts)."""
        patient = of or self.world.enrolled(CollectorKind.PATIENT)
        message = replace(self.world.grant_message(patient, self.party), use=GrantUse.COHORT)
        answer = self.world.client.post("/v1/grants", json={"grant": message.sign(patient.key)})
        assert answer.status_code == 201, answer.text
        self.grants[patient.collector] = message.grant
        kept = self.tallies.setdefault(patient.collector, [])
        kept += [self.world.tally_of(patient, n, counts, day) for day, n, counts in tallies]
        return patient

    def roster(self, patients: Iterable[Party], month: str = MONTH) -> Roster:
        return Roster(
            roster=new_id(),
            clinic=self.party.collector,
            month=month,
            pseudonyms=tuple(sorted(patient.collector for patient in patients)),
            iat=int(time.time()),
        )

    def send(self, roster: Roster, key: CollectorKey | None = None) -> TestResponse:
        token = roster.sign(key or self.party.key)
        return self.world.client.post("/v1/rosters", json={"roster": token})

    def fixed(self, patients: Iterable[Party], month: str = MONTH) -> Roster:
        roster = self.roster(patients, month)
        answer = self.send(roster)
        assert answer.status_code == 201, answer.text
        return roster

    def members(self, roster: Roster) -> list[str]:
        """What B tells A about who is counted in."""
        path = "/v1/cohort-members"
        body = b'{"roster":"%s"}' % roster.roster.encode()
        header = authorization(self.world.statement_key, "keyholder", "POST", path, body)
        headers = {"Authorization": header, "Content-Type": "application/json"}
        answer = self.world.client.post(path, data=body, headers=headers)
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.get_json()["members"]
        return found

    def ask(
        self,
        roster: Roster,
        /,
        only: Sequence[str] | None = None,
        terms: CohortTerms = NO_NOISE,
        **other: Any,
    ) -> Cohort:
        """A's half, about everybody whom B counts in, or only about these."""
        counted = self.members(roster) if only is None else only
        tallies = {
            pseudonym: sorted(
                (t for t in self.tallies[pseudonym] if t.day.startswith(roster.month)),
                key=lambda t: t.day,
            )
            for pseudonym in sorted(counted)
        }
        members = [(p, [(t.day, t.recordings) for t in days]) for p, days in tallies.items()]
        ciphertexts = [t.ciphertext for days in tallies.values() for t in days]
        ciphertext, blind = blind_cohort(
            self.world.keys.paillier.public, ciphertexts, terms, SeededRandom(bytes(32), b"A")
        )
        fields = {
            **self.world._common(self.party),
            "ciphertext_sha256": sha256_hex(ciphertext.to_wire()),
            "roster": roster.roster,
            "month": roster.month,
            "members_sha256": members_hash(members),
            "members": len(members),
            "recordings": sum(n for _, days in members for _, n in days),
            "epsilon": terms.epsilon,
            "cap": terms.cap,
            **other,
        }
        statement = CohortStatement(**fields)
        return Cohort(self.world, self.party, statement, ciphertext.to_wire(), blind)

    def query(self) -> list[dict[str, Any]]:
        return query(self.world, self.party)["cohorts"]


class Cohort(Asked):
    """An opening of a cohort on its way."""

    def send(self, **how: Any) -> TestResponse:
        return self.world.client.post("/v1/cohort-openings", json=self.body(**how))

    def sums(self, answer: TestResponse | None = None) -> CohortCounts:
        assert isinstance(self.statement, CohortStatement)
        terms = CohortTerms(self.statement.epsilon, self.statement.cap)
        return recover_cohort(
            self.value(answer or self.send()),
            self.blind,
            self.world.keys.paillier.public,
            self.statement.recordings,
            terms,
        )


def query(world: World, party: Party) -> Any:
    now = int(time.time())
    message = CohortQuery(collector=party.collector, iat=now, exp=now + 60)
    answer = world.client.post("/v1/cohort-queries", json={"query": message.sign(party.key)})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


@pytest.fixture
def clinic(world: World) -> Clinic:
    return Clinic(world, world.enrolled(CollectorKind.CLINIC))


@pytest.fixture
def patients(clinic: Clinic) -> list[Party]:
    """Four patients: 2 + 0 + 1 + 3 abnormal sounds, 1 + 1 + 0 + 2 abnormal rates."""
    return [
        clinic.patient((f"{MONTH}-01", 3, Counts(2, 1))),
        clinic.patient((f"{MONTH}-31", 2, Counts(0, 1))),
        clinic.patient((f"{MONTH}-02", 1, Counts(0, 0)), (f"{MONTH}-09", 1, Counts(1, 0))),
        clinic.patient((f"{MONTH}-15", 4, Counts(3, 2))),
    ]


ALL = CohortCounts(6, 4)


def test_a_clinic_opens_the_month_of_its_roster(
    clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    nobody = clinic.patient()
    other_month = clinic.patient(("2031-02-28", 1, Counts(1, 1)), ("2031-04-01", 1, Counts(1, 1)))
    roster = clinic.fixed([*patients, nobody, other_month])
    clock.set(AFTER)
    assert clinic.members(roster) == sorted(patient.collector for patient in patients)
    assert clinic.ask(roster).sums() == ALL


def test_a_roster_is_fixed_once_for_a_month(
    clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.roster(patients)
    assert [clinic.send(roster).status_code for _ in range(2)] == [201, 200]
    same_id = replace(roster, pseudonyms=roster.pseudonyms[:LEAST])
    for other in (same_id, clinic.roster(patients), clinic.roster(patients[:LEAST])):
        assert slug(clinic.send(other)) == "roster-fixed"
    clock.set(AFTER)
    assert clinic.send(roster).status_code == 200, "what is fixed is fixed"
    assert clinic.ask(roster).sums() == ALL


def test_a_roster_has_a_least_size(clinic: Clinic, patients: list[Party]) -> None:
    answer = clinic.send(clinic.roster(patients[: LEAST - 1]))
    assert (slug(answer), answer.get_json()["least"]) == ("roster-too-small", LEAST)


def test_a_roster_is_fixed_before_or_during_its_month(
    clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    for month in ("2031-02", "2031-05"):
        assert slug(clinic.send(clinic.roster(patients, month))) == "roster-not-now"
    clinic.fixed(patients, "2031-04")
    clock.set(BEFORE_THE_END)
    clinic.fixed(patients)


def test_only_who_agreed_is_on_a_roster(
    world: World, clinic: Clinic, patients: list[Party]
) -> None:
    doctor = world.enrolled(CollectorKind.DOCTOR)
    unasked = world.enrolled(CollectorKind.PATIENT)
    world.granted(unasked, doctor)  # to somebody else, for something else
    answer = clinic.send(clinic.roster([*patients, unasked]))
    assert slug(answer) == "not-granted"
    assert answer.get_json()["pseudonym"] == unasked.collector
    assert world.revoke(clinic.grants[patients[0].collector], patients[0]).status_code == 200
    assert slug(clinic.send(clinic.roster(patients))) == "not-granted"


def test_only_the_clinic_fixes_its_roster(
    world: World, clinic: Clinic, patients: list[Party]
) -> None:
    roster = clinic.roster(patients)
    colleague = world.enrolled(CollectorKind.CLINIC)
    assert slug(clinic.send(roster, colleague.key)) == "bad-signature"
    stranger = Clinic(world, Party(CollectorKind.CLINIC))
    assert slug(stranger.send(stranger.roster(patients))) == "not-enrolled"
    doctor = Clinic(world, world.enrolled(CollectorKind.DOCTOR))
    assert slug(doctor.send(doctor.roster(patients))) == "not-a-clinic"


def test_a_clinic_is_nobodys_doctor(
    world: World, clinic: Clinic, patients: list[Party], doctor: Party
) -> None:
    """Not even where A says so: what the patient signed and B's kind of the key decide."""
    patient = patients[0]
    counts = clinic.tallies[patient.collector]
    assert slug(world.ask(clinic.party, *counts).send()) == "not-granted"
    other = world.enrolled(CollectorKind.PATIENT)
    for party, use in ((clinic.party, GrantUse.COUNTS), (doctor, GrantUse.COHORT)):
        passed_off = replace(world.grant_message(other, party), use=use)
        answer = world.client.post("/v1/grants", json={"grant": passed_off.sign(other.key)})
        assert slug(answer) == "unknown-doctor"


def test_another_use_is_another_grant(world: World, clinic: Clinic, patients: list[Party]) -> None:
    known = clinic.grants[patients[0].collector]
    message = replace(world.grant_message(patients[0], clinic.party), grant=known)
    for use, expected in ((GrantUse.COHORT, "200"), (GrantUse.COUNTS, "grant-conflict")):
        token = replace(message, use=use).sign(patients[0].key)
        assert slug(world.client.post("/v1/grants", json={"grant": token})) == expected


# Attacks


def test_three_overlapping_rosters_single_nobody_out(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    """{a, b, c, d}, {b, c, d} and {a, b, c} would give a and d away: only one is ever fixed.

    Neither the same clinic, nor a second one that the same patients agreed to, gets another.
    """
    first = clinic.fixed(patients)
    accomplice = Clinic(world, world.enrolled(CollectorKind.CLINIC), tallies=clinic.tallies)
    for patient in patients:
        accomplice.patient(of=patient)
    others = [accomplice.patient((f"{MONTH}-01", 1, Counts(1, 1))) for _ in range(LEAST)]
    for fewer in (patients[1:], patients[:-1]):
        assert slug(clinic.send(clinic.roster(fewer))) == "roster-fixed"
        answer = accomplice.send(accomplice.roster(fewer))
        assert slug(answer) == "roster-overlap"
        assert answer.get_json()["pseudonym"] in {patient.collector for patient in fewer}
    assert slug(accomplice.send(accomplice.roster([*others, patients[0]]))) == "roster-overlap"
    disjoint = accomplice.fixed(others)
    clock.set(AFTER)
    assert clinic.ask(first).sums() == ALL
    assert accomplice.ask(disjoint).sums() == CohortCounts(3, 3)


def test_nobody_is_left_out_to_single_another_one_out(
    clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    everybody = clinic.members(roster)
    for left_out in everybody:
        fewer = [pseudonym for pseudonym in everybody if pseudonym != left_out]
        assert slug(clinic.ask(roster, only=fewer).send()) == "cohort-differs"
    assert clinic.ask(roster).sums() == ALL, "an attempt costs nothing"


def test_no_recording_is_left_out_either(
    clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    asked = clinic.ask(roster)
    fewer = replace(asked.statement, recordings=asked.statement.recordings - 1)
    assert slug(replace(asked, statement=fewer).send()) == "cohort-differs"
    kept = clinic.tallies[patients[0].collector]
    clinic.tallies[patients[0].collector] = [replace(kept[0], recordings=2)]
    assert slug(clinic.ask(roster).send()) == "cohort-differs"


def test_somebody_of_another_roster_is_not_counted_in(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    outsider = clinic.patient((f"{MONTH}-01", 1, Counts(1, 0)))
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    more = [*clinic.members(roster), outsider.collector]
    assert slug(clinic.ask(roster, only=more).send()) == "cohort-differs"


def test_a_cohort_opens_once(clinic: Clinic, patients: list[Party], clock: Clock) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    asked, again = clinic.ask(roster), clinic.ask(roster)
    first, second = asked.send(), asked.send()
    assert asked.sums(first) == ALL
    assert first.get_json() == second.get_json(), "the same sealed bytes"
    assert slug(again.send()) == "cohort-opened"
    clock.set(AFTER + 86_400)
    assert asked.send().get_json() == first.get_json(), "a lost answer is not a lost month"
    assert slug(again.send()) == "cohort-opened"


def test_a_late_recording_is_never_opened_in_a_cohort(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    """Else the difference of two openings would be that recording."""
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    assert clinic.ask(roster).sums() == ALL
    late = world.tally_of(patients[0], 1, Counts(1, 1), f"{MONTH}-28")
    clinic.tallies[patients[0].collector].append(late)
    assert slug(clinic.ask(roster).send()) == "cohort-opened"
    clinic.fixed(patients, "2031-04")
    assert slug(clinic.send(clinic.roster(patients))) == "roster-fixed"


def test_a_recording_that_is_late_but_in_time_counts(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    stale = clinic.ask(roster)
    late = world.tally_of(patients[0], 1, Counts(1, 1), f"{MONTH}-28")
    assert slug(stale.send()) == "cohort-differs"
    clinic.tallies[patients[0].collector].append(late)
    assert clinic.ask(roster).sums() == CohortCounts(7, 5)


def test_who_took_the_consent_back_is_not_counted(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    stale = clinic.ask(roster)
    world.revoke(clinic.grants[patients[0].collector], patients[0])
    assert slug(stale.send()) == "cohort-differs"
    assert clinic.ask(roster).sums() == CohortCounts(4, 3)


def test_months_do_not_give_away_who_left_between_them(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    """Two months have no recording in common: their difference is about nobody's in particular."""
    march = clinic.fixed(patients)
    april = clinic.fixed(patients, "2031-04")
    clock.set(AFTER)
    assert clinic.ask(march).sums() == ALL
    world.revoke(clinic.grants[patients[0].collector], patients[0])
    for patient in patients:
        clinic.tallies[patient.collector].append(
            world.tally_of(patient, 1, Counts(1, 0), "2031-04-30")
        )
    clock.set(datetime(2031, 5, 3, tzinfo=UTC).timestamp())
    asked = clinic.ask(april)
    assert asked.sums() == CohortCounts(3, 0)
    assert slug(clinic.ask(march).send()) == "cohort-opened"


def test_too_few_are_refused_for_good(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    empty = clinic.patient()
    roster = clinic.fixed([*patients[:LEAST], empty])
    clock.set(AFTER)
    world.revoke(clinic.grants[patients[0].collector], patients[0])
    assert slug(clinic.ask(roster).send()) == "cohort-too-small"
    clinic.patient(of=patients[0])
    assert len(clinic.members(roster)) == LEAST
    assert slug(clinic.ask(roster).send()) == "cohort-too-small"
    assert [one["state"] for one in clinic.query()] == ["too-small"]


def test_the_month_must_be_over_everywhere(
    clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    for moment in (DURING, BEFORE_THE_END, TOO_EARLY):
        clock.set(moment)
        answer = clinic.ask(roster).send()
        assert slug(answer) == "cohort-not-over"
        assert TOO_EARLY < answer.get_json()["opens_at"] <= AFTER
    clock.set(AFTER)
    assert clinic.ask(roster).sums() == ALL


def test_only_the_clinic_opens_its_roster(
    world: World, clinic: Clinic, patients: list[Party], doctor: Party, clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    members = clinic.members(roster)
    for party in (world.enrolled(CollectorKind.CLINIC), doctor, patients[0]):
        other = Clinic(world, party, tallies=clinic.tallies)
        assert slug(other.ask(roster, only=members).send()) == "not-found"
    stranger = Clinic(world, Party(CollectorKind.CLINIC), tallies=clinic.tallies)
    assert slug(stranger.ask(roster, only=members).send()) == "not-enrolled"
    assert slug(clinic.ask(roster).send(signer=CollectorKey.generate())) == "bad-signature"
    assert slug(clinic.ask(roster).send(issuer=SigningKey.generate())) == "bad-signature"
    assert clinic.ask(roster).sums() == ALL


def test_altered_statements_are_refused(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    now = int(time.time())
    for fields, expected in (
        ({"roster": new_id()}, "not-found"),
        ({"month": "2031-02"}, "cohort-differs"),
        ({"members": 3}, "cohort-differs"),
        ({"members_sha256": "0" * 64}, "cohort-differs"),
        ({"epsilon": 1000, "cap": 62}, "cohort-terms-differ"),
        ({"key_id": "0" * 64}, "foreign-key"),
        ({"iat": now - 400, "exp": now - 100}, "expired"),
        ({"thumbprint": CollectorKey.generate().thumbprint}, "bad-signature"),
    ):
        assert slug(clinic.ask(roster, **fields).send()) == expected
    another = clinic.ask(roster)
    another.ciphertext = world.encrypt(1).to_wire()
    assert slug(another.send()) == "bad-signature"


def test_what_a_did_not_blind_uses_the_roster_up(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    public = world.keys.paillier.public
    bare = public.constant(0)
    for tallies in clinic.tallies.values():
        for tally in tallies:
            bare = bare.add(tally.ciphertext)
    bare = bare.rerandomised()
    asked = clinic.ask(roster, ciphertext_sha256=sha256_hex(bare.to_wire()))
    asked.ciphertext = bare.to_wire()
    assert slug(asked.send()) == "blind-forgotten"
    assert slug(clinic.ask(roster).send()) == "cohort-opened"


def test_each_kind_has_its_own_way(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    cohort = clinic.ask(roster).body()
    assert slug(world.client.post("/v1/openings", json=cohort)) == "invalid-request"
    tally = world.ask(patients[0], *clinic.tallies[patients[0].collector]).body()
    assert slug(world.client.post("/v1/cohort-openings", json=tally)) == "invalid-request"


def test_only_a_asks_who_is_counted_in(world: World, clinic: Clinic, patients: list[Party]) -> None:
    roster = clinic.fixed(patients)
    path, body = "/v1/cohort-members", {"roster": roster.roster}
    assert slug(world.client.post(path, json=body)) == "not-authenticated"


# Noise


@pytest.fixture
def noisy(clinic: Clinic, patients: list[Party], world: World) -> CohortTerms:
    """Terms under which the last of the four patients, with four recordings, has too many."""
    terms = CohortTerms(epsilon=2000, cap=3)
    object.__setattr__(world.config, "cohort_terms", terms)
    return terms


def test_noise_is_drawn_once_and_spent_for_who_is_counted_in(
    world: World, clinic: Clinic, patients: list[Party], noisy: CohortTerms, clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    assert patients[3].collector not in clinic.members(roster)
    asked = clinic.ask(roster, terms=noisy)
    ours = noisy.noise(SeededRandom(bytes(32), b"A"))
    theirs = noisy.noise(world.keys.masks.noise(roster.roster))
    expected = CohortCounts(3 + ours[0] + theirs[0], 2 + ours[1] + theirs[1])
    assert asked.sums() == asked.sums() == expected
    [mine] = clinic.query()
    assert (mine["state"], mine["members"], mine["recordings"]) == ("opened", 3, 7)
    assert mine["epsilon"] == 2000
    [about] = query(world, patients[0])["cohorts"]
    assert about == {
        "month": MONTH,
        "clinic": clinic.party.collector,
        "state": "opened",
        "counted": True,
        "epsilon": 2000,
    }
    [left_out] = query(world, patients[3])["cohorts"]
    assert (left_out["counted"], left_out["epsilon"]) == (False, None)


def test_the_servers_must_agree_on_the_noise(
    clinic: Clinic, patients: list[Party], noisy: CohortTerms, clock: Clock
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    for terms in (NO_NOISE, CohortTerms(1000, 3), CohortTerms(2000, 4)):
        assert slug(clinic.ask(roster, terms=terms).send()) == "cohort-terms-differ"


@pytest.mark.parametrize(
    ("epsilon", "terms"),
    [
        ("0", NO_NOISE),
        ("0.5", CohortTerms(500, 62)),
        ("10", CohortTerms(10_000, 62)),
    ],
)
def test_the_setting_of_the_noise(epsilon: str, terms: CohortTerms) -> None:
    config = KeyholderConfig.from_environment({"COHORT_EPSILON": epsilon})
    assert config.cohort_terms == terms
    assert config.min_batch == 20


@pytest.mark.parametrize(
    "settings",
    [{"COHORT_EPSILON": text} for text in ("-1", "0.05", "10.1", "0.1234", "nan", "inf", "much")]
    + [{"COHORT_EPSILON": "1", "COHORT_CAP": "501"}, {"MIN_BATCH": "4"}],
    ids=str,
)
def test_settings_that_protect_nobody_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        KeyholderConfig.from_environment(settings)


# What B tells and keeps


def test_a_clinic_reads_its_rosters_and_nobody_elses(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    colleague = Clinic(world, world.enrolled(CollectorKind.CLINIC))
    roster = clinic.fixed(patients)
    [mine] = clinic.query()
    assert (mine["roster"], mine["month"], mine["state"]) == (roster.roster, MONTH, "fixed")
    assert Roster.claimed(mine["signed"]) == roster
    assert colleague.query() == []
    clock.set(AFTER)
    assert clinic.ask(roster).sums() == ALL
    [mine] = clinic.query()
    assert (mine["state"], mine["members"], mine["signed"]) == ("opened", 4, None)
    told = query(world, patients[0])
    assert (told["least"], told["epsilon"], told["cap"]) == (LEAST, 0, 0)
    assert [one["epsilon"] for one in told["cohorts"]] == [0]
    message = CohortQuery(collector=clinic.party.collector, iat=0, exp=60)
    answer = world.client.post("/v1/cohort-queries", json={"query": message.sign(clinic.party.key)})
    assert slug(answer) == "expired"
    now = int(time.time())
    message = replace(message, iat=now, exp=now + 60)
    answer = world.client.post(
        "/v1/cohort-queries", json={"query": message.sign(colleague.party.key)}
    )
    assert slug(answer) == "bad-signature"


def test_who_was_counted_in_reads_it_in_the_log(
    world: World, clinic: Clinic, patients: list[Party], clock: Clock
) -> None:
    roster = clinic.fixed([*patients, clinic.patient()])
    clock.set(AFTER)
    clinic.ask(roster).sums()
    with world.app.app_context():
        rows = db.session.execute(
            db.select(LogEntry.pseudonym, LogEntry.kind, LogEntry.recordings).where(
                LogEntry.subject == roster.roster
            )
        ).all()
    own = clinic.party.collector
    assert sorted(map(tuple, rows)) == sorted(
        [(own, "roster", 0), (own, "cohort", 11)]
        + [(p.collector, "cohort", n) for p, n in zip(patients, (3, 2, 2, 4), strict=True)]
    )


def test_many_statements_at_once_open_one(
    clinic: Clinic, patients: list[Party], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is faster between the look and the keeping: the other is refused, nothing is lost."""
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    slow, fast = clinic.ask(roster), clinic.ask(roster)
    original, opened = cohorts.open_cohort, []

    def overtaken(*arguments: Any) -> bytes:
        monkeypatch.setattr(cohorts, "open_cohort", original)
        opened.append(fast.sums())
        return original(*arguments)

    monkeypatch.setattr(cohorts, "open_cohort", overtaken)
    assert slug(slow.send()) == "cohort-opened"
    assert opened == [ALL]


def test_a_revocation_between_the_look_and_the_keeping_wins(
    world: World,
    clinic: Clinic,
    patients: list[Party],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    roster = clinic.fixed(patients)
    clock.set(AFTER)
    asked = clinic.ask(roster)
    original = cohorts.open_cohort

    def revoked(*arguments: Any) -> bytes:
        world.revoke(clinic.grants[patients[0].collector], patients[0])
        return original(*arguments)

    monkeypatch.setattr(cohorts, "open_cohort", revoked)
    assert slug(asked.send()) == "cohort-differs"
    assert clinic.ask(roster).sums() == CohortCounts(4, 3)


@pytest.mark.parametrize("seed", range(8))
def test_any_alteration_of_a_roster_is_refused_in_words(
    world: World, clinic: Clinic, patients: list[Party], seed: int
) -> None:
    rng = random.Random(seed)
    token = clinic.roster(patients).sign(clinic.party.key)
    place = rng.randrange(len(token))
    altered = token[:place] + rng.choice("AZaz09-_.") + token[place + 1 :]
    if altered == token:
        return
    answer = world.client.post("/v1/rosters", json={"roster": altered})
    assert answer.status_code in (400, 403, 422), answer.text
    assert slug(answer) != "internal-error"
