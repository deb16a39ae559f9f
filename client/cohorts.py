"""A clinic's cohorts: fix a roster for a month, open it once the month is over.

A cohort opens once at the key holder. What it takes to read the answer is kept in the profile
before the key holder is asked, so that a connection that breaks loses nothing: the same statement
gets the same answer whenever it is sent again. The figure itself is kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from client.collector import Collector, now
from client.errors import BadAnswer, NoSuchRoster, Refused
from client.openings import Half, ask_half, read_half, redeem
from client.service import field, patiently
from crypto.cohorts import CohortCounts, CohortTerms, recover_cohort
from crypto.encoding import b64u, check_id, new_id, unb64u
from crypto.messages import CohortQuery, CohortStatement, Roster, Statement
from crypto.months import check_month
from crypto.unsealing import SealingKey

_QUERY_SECONDS = 60
_RESEND_SECONDS = 30.0


@dataclass(frozen=True)
class Cohort:
    """A roster as the key holder knows it.

    `state`: `fixed`, `opened` or `too-small`; `opens_at`: Unix seconds; `members` and `recordings`
    count who was in it, `epsilon` (thousandths, 0 without noise) is what was spent, once opened.
    """

    roster: str
    month: str
    state: str
    opens_at: int
    members: int | None
    recordings: int | None
    epsilon: int | None


@dataclass(frozen=True, repr=False)
class OpenedCohort:
    """The figure of a month. A secret of the clinic's.

    `members` of the roster had `recordings` in the month, of which so many were abnormal by sound
    and by heart rate, give or take the noise of `terms`.
    """

    month: str
    members: int
    recordings: int
    sums: CohortCounts
    terms: CohortTerms

    def __repr__(self) -> str:
        return "OpenedCohort"


@dataclass(frozen=True)
class Candidate:
    """A patient who lets the clinic count."""

    pseudonym: str
    display_name: str


def candidates(clinic: Collector) -> list[Candidate]:
    """Everybody who can be on a roster fixed now."""
    rows = field(clinic.aggregator.get("/api/cohorts"), "patients", list)
    return [_candidate(row) for row in rows]


def declare(clinic: Collector, month: str, pseudonyms: Sequence[str]) -> str:
    """Fixes the roster of a month for good; returns its id.

    The key holder takes it first: it is the one that enforces it.
    """
    finish_rosters(clinic)
    roster = Roster(
        roster=new_id(),
        clinic=clinic.pseudonym,
        month=check_month(month),
        pseudonyms=tuple(sorted({check_id(pseudonym) for pseudonym in pseudonyms})),
        iat=now(),
    )
    token = roster.sign(clinic.identity.key)
    patiently(lambda: clinic.keyholder.post("/v1/rosters", roster=token), _RESEND_SECONDS)
    patiently(lambda: clinic.aggregator.post("/api/rosters", roster=token), _RESEND_SECONDS)
    return roster.roster


def cohorts(clinic: Collector) -> list[Cohort]:
    """The clinic's rosters at the key holder, newest month first."""
    return [_cohort(row) for row in _rows(clinic)]


def finish_rosters(clinic: Collector) -> None:
    """Brings the aggregator what an earlier command could bring to the key holder only."""
    kept = field(clinic.aggregator.get("/api/cohorts"), "rosters", list)
    known = {field(_object(row), "roster", str) for row in kept}
    for row in _rows(clinic):
        if row.get("signed") is not None and field(row, "roster", str) not in known:
            clinic.aggregator.post("/api/rosters", roster=field(row, "signed", str))


def open_cohort(clinic: Collector, month: str) -> OpenedCohort:
    """Opens the roster of a month, or shows again what was opened from this profile.

    Raises NoSuchRoster; OpeningMismatch or SealBroken if an answer cannot be true; Refused if a
    server denies it: the month is not over, too few patients have recordings, or it was opened
    from elsewhere.
    """
    finish_rosters(clinic)
    cohort = next((one for one in cohorts(clinic) if one.month == check_month(month)), None)
    if cohort is None:
        raise NoSuchRoster(f"No roster was fixed for {month}.")
    if (kept := _kept(clinic, cohort.roster)) is not None:
        try:
            return _redeemed(clinic, kept)
        except Refused as error:
            if cohort.state != "fixed" or error.status >= 500:
                raise
            # It was never opened, and it is too late now for this statement.
    half = ask_half(clinic, {"roster": cohort.roster}, "/api/cohort-openings")
    statement = half.statement
    if not isinstance(statement, CohortStatement) or (statement.roster, statement.month) != (
        cohort.roster,
        cohort.month,
    ):
        raise BadAnswer("The aggregator's statement is about something else than was asked for.")
    _keep(clinic, cohort.roster, half)
    return _redeemed(clinic, half)


def _redeemed(clinic: Collector, half: Half) -> OpenedCohort:
    statement = half.statement
    if not isinstance(statement, CohortStatement):
        raise BadAnswer("What was kept of this cohort is about something else.")
    value, blind = patiently(lambda: redeem(clinic, half, "/v1/cohort-openings"), _RESEND_SECONDS)
    terms = CohortTerms(statement.epsilon, statement.cap)
    sums = recover_cohort(value, blind, half.key, statement.recordings, terms)
    return OpenedCohort(statement.month, statement.members, statement.recordings, sums, terms)


def _keep(clinic: Collector, roster: str, half: Half) -> None:
    clinic.profile.keep_opening(
        roster,
        {
            "statement": half.token,
            "ciphertext": half.ciphertext,
            "sealed_blind": b64u(half.sealed_blind),
            "recipient": b64u(half.recipient.to_bytes()),
        },
    )


def _kept(clinic: Collector, roster: str) -> Half | None:
    kept = clinic.profile.opening(roster)
    if kept is None:
        return None
    recipient = SealingKey.from_bytes(unb64u(field(kept, "recipient", str)))
    issued = Statement.claimed(field(kept, "statement", str)).iat
    return read_half(clinic, kept, recipient, issued)


def _rows(clinic: Collector) -> list[Mapping[str, Any]]:
    moment = now()
    query = CohortQuery(collector=clinic.pseudonym, iat=moment, exp=moment + _QUERY_SECONDS)
    token = query.sign(clinic.identity.key)
    rows = field(clinic.keyholder.post("/v1/cohort-queries", query=token), "cohorts", list)
    return [_object(row) for row in rows]


def _cohort(row: Mapping[str, Any]) -> Cohort:
    def number(name: str) -> int | None:
        return None if row.get(name) is None else field(row, name, int)

    return Cohort(
        roster=check_id(row.get("roster")),
        month=check_month(row.get("month")),
        state=field(row, "state", str),
        opens_at=field(row, "opens_at", int),
        members=number("members"),
        recordings=number("recordings"),
        epsilon=number("epsilon"),
    )


def _candidate(row: object) -> Candidate:
    found = _object(row)
    return Candidate(check_id(found.get("pseudonym")), field(found, "display_name", str))


def _object(row: object) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise BadAnswer("The server's list cannot be read.")
    return row
