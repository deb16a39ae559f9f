"""A clinic's month end to end: A, B and the client, in one process with small keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from flask import Flask

from app.aggregator.tables import Account, AccountKind, Roster, Tally, db
from app.keyholder.tables import ServedTally
from app.keyholder.tables import db as keyholder_db
from client import cohorts, grants
from client.collector import Collector
from client.errors import Conflict, NoSuchRoster, NotFound, Refused, Unreachable
from client.profile import Profile
from crypto.cohorts import CohortCounts, CohortTerms, packed
from crypto.encoding import new_id
from crypto.messages import Roster as SignedRoster
from crypto.paillier import PublicKey
from tests.aggregator.cast import PASSWORD, Cast
from tests.aggregator.conftest import Keyholder

MONTH = "2031-03"
DURING = datetime(2031, 3, 5, tzinfo=UTC).timestamp()
AFTER = datetime(2031, 4, 2, 12, 0, 5, tzinfo=UTC).timestamp()
LEAST = 3


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


class Servers(httpx.BaseTransport):
    """Both roles, each at its address; `lose` answers of the key holder get lost."""

    def __init__(self, aggregator: Flask, keyholder: Keyholder) -> None:
        self._routes = {
            8000: httpx.WSGITransport(app=aggregator),
            8001: httpx.WSGITransport(app=keyholder.app),
        }
        self.lose: str | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._routes[request.url.port or 0].handle_request(request)
        if self.lose == request.url.path:
            answer.read()
            self.lose = None
            raise httpx.ReadError("lost", request=request)
        return answer


@pytest.fixture(autouse=True)
def small_cohorts(keyholder: Keyholder, app: Flask) -> Iterator[None]:
    """Three patients are enough here; the setting starts at five."""
    roles = [keyholder.app.extensions["hushbeat-keyholder"], app.extensions["hushbeat"]]
    before = [role.config for role in roles]
    set_terms(keyholder, app, CohortTerms(0, 0))
    yield
    for role, config in zip(roles, before, strict=True):
        object.__setattr__(role, "config", config)


def set_terms(keyholder: Keyholder, app: Flask, terms: CohortTerms) -> None:
    for role in (keyholder.app.extensions["hushbeat-keyholder"], app.extensions["hushbeat"]):
        config = replace(role.config, min_batch=LEAST, cohort_terms=terms)
        object.__setattr__(role, "config", config)


@pytest.fixture
def servers(app: Flask, keyholder: Keyholder) -> Servers:
    return Servers(app, keyholder)


Join = Callable[[str], Collector]


@pytest.fixture
def join(
    app: Flask, servers: Servers, keyholder: Keyholder, tmp_path: Path, clock: Clock
) -> Iterator[Join]:
    """Registers somebody of that kind with the Python client."""
    everybody: list[Collector] = []
    fingerprint = keyholder.config.fingerprint_file.read_text().strip()

    def made(kind: str) -> Collector:
        everybody.append(
            Collector.register(
                Profile(tmp_path / f"{kind}-{len(everybody)}"),
                "http://127.0.0.1:8001",
                fingerprint,
                PASSWORD,
                display_name=f"{kind.capitalize()} {len(everybody)}",
                kind=kind,
                http=httpx.Client(transport=servers),
            )
        )
        return everybody[-1]

    yield made
    for one in everybody:
        one.close()


Count = Callable[[Collector, str, int, int, int], None]


@pytest.fixture
def count(app: Flask, keyholder: Keyholder, key: PublicKey) -> Count:
    """Leaves (day, recordings, sound, rate) as comparing and counting would have."""

    def counted(patient: Collector, day: str, recordings: int, sound: int, rate: int) -> None:
        name = {"pseudonym": patient.pseudonym, "day": day, "key_id": key.key_id}
        mask = keyholder.keys.masks.total(key, patient.pseudonym, day, recordings)
        tally = key.encrypt((packed(key, sound, rate) + mask) % key.n)
        with app.app_context():
            db.session.add(Tally(**name, recordings=recordings, ciphertext=tally.to_bytes()))
            db.session.commit()
        with keyholder.app.app_context():
            keyholder_db.session.add(ServedTally(**name, served=recordings))
            keyholder_db.session.commit()

    return counted


@pytest.fixture
def clinic(join: Join) -> Collector:
    return join("clinic")


@pytest.fixture
def patients(join: Join, clinic: Collector, count: Count) -> list[Collector]:
    code = clinic.account()["doctor_code"]
    made = [join("patient") for _ in range(4)]
    for patient in made:
        found = grants.find_doctor(patient, code)
        assert found.use == "cohort"
        grants.grant(patient, found)
    count(made[0], f"{MONTH}-01", 3, 2, 1)
    count(made[0], f"{MONTH}-02", 1, 1, 0)
    count(made[1], f"{MONTH}-31", 2, 0, 1)
    count(made[2], f"{MONTH}-15", 4, 3, 2)
    count(made[2], "2031-04-01", 4, 4, 4)
    return made  # the fourth has recorded nothing


def everybody(clinic: Collector) -> list[str]:
    return [one.pseudonym for one in cohorts.candidates(clinic)]


def test_a_month_from_the_consent_to_the_figure(
    clinic: Collector, patients: list[Collector], clock: Clock
) -> None:
    assert everybody(clinic) == [patient.pseudonym for patient in patients]
    with pytest.raises(NoSuchRoster):
        cohorts.open_cohort(clinic, MONTH)
    roster = cohorts.declare(clinic, MONTH, everybody(clinic))
    with pytest.raises(Conflict) as too_early:
        cohorts.open_cohort(clinic, MONTH)
    assert too_early.value.slug == "cohort-not-over"
    clock.set(AFTER)
    opened = cohorts.open_cohort(clinic, MONTH)
    assert (opened.month, opened.members, opened.recordings) == (MONTH, 3, 10)
    assert opened.sums == CohortCounts(6, 4)
    [known] = cohorts.cohorts(clinic)
    assert (known.roster, known.state, known.members) == (roster, "opened", 3)
    clock.set(AFTER + 40 * 86_400)
    clinic.aggregator.token = None  # its login has ended long ago
    clinic.log_in(PASSWORD)
    assert cohorts.open_cohort(clinic, MONTH).sums == opened.sums, "shown again, not drawn again"


def test_noise_of_both_servers_is_in_the_figure_once(
    app: Flask,
    keyholder: Keyholder,
    clinic: Collector,
    patients: list[Collector],
    count: Count,
    clock: Clock,
) -> None:
    terms = CohortTerms(epsilon=500, cap=4)
    set_terms(keyholder, app, terms)
    cohorts.declare(clinic, MONTH, everybody(clinic))
    clock.set(AFTER)
    opened = cohorts.open_cohort(clinic, MONTH)
    assert opened.terms == terms
    theirs = terms.noise(keyholder.keys.masks.noise(cohorts.cohorts(clinic)[0].roster))
    without = (opened.sums.sound - theirs[0], opened.sums.rate - theirs[1])
    assert without != (6, 4), "the aggregator's share is in there as well"
    assert cohorts.open_cohort(clinic, MONTH).sums == opened.sums


def test_a_lost_answer_loses_nothing(
    clinic: Collector,
    patients: list[Collector],
    servers: Servers,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cohorts.declare(clinic, MONTH, everybody(clinic))
    clock.set(AFTER)
    monkeypatch.setattr(cohorts, "_RESEND_SECONDS", 0.0)
    servers.lose = "/v1/cohort-openings"
    with pytest.raises(Unreachable):
        cohorts.open_cohort(clinic, MONTH)
    assert cohorts.cohorts(clinic)[0].state == "opened"
    clock.set(AFTER + 3600)
    assert cohorts.open_cohort(clinic, MONTH).sums == CohortCounts(6, 4)


def test_a_statement_that_was_never_opened_is_asked_for_anew(
    clinic: Collector,
    patients: list[Collector],
    servers: Servers,
    keyholder: Keyholder,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cohorts.declare(clinic, MONTH, everybody(clinic))
    clock.set(AFTER)

    def refused(*_: object) -> object:
        raise Unreachable("down")

    with monkeypatch.context() as patch:
        patch.setattr(cohorts, "redeem", refused)
        patch.setattr(cohorts, "_RESEND_SECONDS", 0.0)
        with pytest.raises(Unreachable):
            cohorts.open_cohort(clinic, MONTH)
    clock.set(AFTER + 3600)
    assert cohorts.open_cohort(clinic, MONTH).sums == CohortCounts(6, 4)


def test_another_device_does_not_open_it_again(
    clinic: Collector, patients: list[Collector], clock: Clock
) -> None:
    roster = cohorts.declare(clinic, MONTH, everybody(clinic))
    clock.set(AFTER)
    cohorts.open_cohort(clinic, MONTH)
    (clinic.profile.folder / f"cohort-{roster}.json").unlink()
    with pytest.raises(Conflict) as refusal:
        cohorts.open_cohort(clinic, MONTH)
    assert refusal.value.slug == "cohort-opened"


def test_a_roster_that_only_the_key_holder_has_is_brought_on(
    clinic: Collector, patients: list[Collector], servers: Servers, app: Flask, clock: Clock
) -> None:
    signed = SignedRoster(
        roster=new_id(),
        clinic=clinic.pseudonym,
        month=MONTH,
        pseudonyms=tuple(sorted(everybody(clinic))),
        iat=int(time.time()),
    ).sign(clinic.identity.key)
    clinic.keyholder.post("/v1/rosters", roster=signed)
    clock.set(AFTER)
    assert cohorts.open_cohort(clinic, MONTH).sums == CohortCounts(6, 4)
    with app.app_context():
        assert db.session.query(Roster).count() == 1


def test_a_roster_is_kept_once(
    clinic: Collector, patients: list[Collector], join: Join, clock: Clock
) -> None:
    named = tuple(sorted(everybody(clinic)))
    roster = SignedRoster(
        roster=new_id(), clinic=clinic.pseudonym, month=MONTH, pseudonyms=named, iat=0
    )

    def keep(one: SignedRoster, by: Collector = clinic) -> str:
        try:
            by.aggregator.post("/api/rosters", roster=one.sign(by.identity.key))
        except Refused as error:
            return error.slug
        return "kept"

    assert [keep(roster), keep(roster)] == ["kept", "kept"]
    assert keep(replace(roster, roster=new_id())) == "roster-fixed"
    assert keep(replace(roster, pseudonyms=named[:1])) == "roster-fixed"
    assert keep(replace(roster, month="2031-04"), join("clinic")) == "invalid-request"
    assert keep(roster, join("doctor")) == "not-allowed"
    assert keep(roster, patients[0]) == "not-allowed"


def test_a_colleague_sees_and_opens_nothing_of_it(
    clinic: Collector, patients: list[Collector], join: Join, clock: Clock
) -> None:
    roster = cohorts.declare(clinic, MONTH, everybody(clinic))
    colleague, doctor = join("clinic"), join("doctor")
    clock.set(AFTER)
    assert cohorts.candidates(colleague) == []
    assert cohorts.cohorts(colleague) == []
    with pytest.raises(NotFound):
        cohorts.ask_half(colleague, {"roster": roster}, "/api/cohort-openings")
    for other in (doctor, patients[0]):
        with pytest.raises(Refused) as refusal:
            cohorts.ask_half(other, {"roster": roster}, "/api/cohort-openings")
        assert refusal.value.slug == "not-allowed"


def test_a_clinic_sees_no_patients_days_and_opens_no_tally(
    clinic: Collector, patients: list[Collector]
) -> None:
    about = patients[0].pseudonym
    for call in (
        lambda: clinic.aggregator.get(
            "/api/tallies", first=f"{MONTH}-01", last=f"{MONTH}-31", pseudonym=about
        ),
        lambda: cohorts.ask_half(
            clinic,
            {"kind": "tally", "cells": [{"pseudonym": about, "days": [f"{MONTH}-01"]}]},
        ),
        lambda: clinic.aggregator.get("/api/patients"),
        lambda: clinic.aggregator.post(f"/api/patients/{about}/ranges", range="x.y.z"),
    ):
        with pytest.raises(Refused) as refusal:
            call()
        assert refusal.value.slug == "not-allowed"


def test_the_aggregator_cannot_pass_a_clinic_off_as_a_doctor(
    app: Flask, clinic: Collector, join: Join
) -> None:
    """The key holder knows the key by its kind, and the patient signed for what was shown."""
    patient = join("patient")
    code = clinic.account()["doctor_code"]
    with app.app_context():
        row = db.session.query(Account).filter_by(collector=clinic.pseudonym).one()
        row.kind = AccountKind.DOCTOR
        db.session.commit()
    found = grants.find_doctor(patient, code)
    assert found.use == "counts"
    with pytest.raises(Refused) as refusal:
        grants.grant(patient, found)
    assert refusal.value.slug == "unknown-doctor"


def test_who_took_the_consent_back_is_out(
    clinic: Collector, patients: list[Collector], clock: Clock, count: Count
) -> None:
    count(patients[3], f"{MONTH}-20", 1, 0, 0)
    cohorts.declare(clinic, MONTH, everybody(clinic))
    [consent] = grants.consents(patients[0])
    grants.revoke(patients[0], consent.grant)
    clock.set(AFTER)
    opened = cohorts.open_cohort(clinic, MONTH)
    assert (opened.members, opened.recordings) == (3, 7)
    assert opened.sums == CohortCounts(3, 3)


def test_a_consent_that_the_aggregator_lost_keeps_it_closed(
    app: Flask, clinic: Collector, patients: list[Collector], clock: Clock
) -> None:
    cohorts.declare(clinic, MONTH, everybody(clinic))
    [consent] = grants.consents(patients[0])
    signed = grants._revocation(patients[0].pseudonym, consent.grant)
    token = signed.sign(patients[0].identity.key)
    patients[0].aggregator.delete(f"/api/consents/{consent.grant}", revocation=token)
    clock.set(AFTER)
    with pytest.raises(Conflict) as refusal:
        cohorts.open_cohort(clinic, MONTH)
    assert refusal.value.slug == "cohort-differs"


def test_nobody_with_recordings(clinic: Collector, join: Join, clock: Clock) -> None:
    code = clinic.account()["doctor_code"]
    for _ in range(LEAST):
        patient = join("patient")
        grants.grant(patient, grants.find_doctor(patient, code))
    cohorts.declare(clinic, MONTH, everybody(clinic))
    clock.set(AFTER)
    with pytest.raises(Conflict) as refusal:
        cohorts.open_cohort(clinic, MONTH)
    assert refusal.value.slug == "cohort-too-small"


def test_strangers_and_operators_have_no_cohorts(cast: Cast) -> None:
    for caller, status in ((cast.stranger, 401), (cast.operator, 403), (cast.patient, 403)):
        assert caller.get("/api/cohorts").status_code == status
        assert caller.post("/api/rosters", {"roster": "x"}).status_code == status
        body = {"roster": new_id(), "recipient": ""}
        assert caller.post("/api/cohort-openings", body).status_code == status
