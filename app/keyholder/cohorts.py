"""Cohorts: the roster of a month (app.keyholder.rosters) is opened once, over enough patients.

Everything is checked here on pseudonyms, whatever A does (docs/protocol.md, section 6.1): who has
granted the clinic its cohorts, who has how many served recordings in the month, that nobody of them
is left out to single another one out, and that there are `min_batch` of them. The value leaves
sealed to the clinic and is kept in that form, so that a clinic whose connection broke sends the
same again and gets the same.
"""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import groupby

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import Select, select

from app.common.database import in_transaction
from app.common.problems import InvalidRequest, NotFound, Problem
from app.common.requests import json_body, require_service
from app.keyholder.collector_keys import lock_signer, pinned
from app.keyholder.context import keyholder
from app.keyholder.grants import granted_to
from app.keyholder.log import Event, append
from app.keyholder.openings import BlindForgotten, Presented, check_blinded, presented
from app.keyholder.tables import Collector, RosterMember, ServedTally, db
from app.keyholder.tables import Roster as RosterRow
from crypto.cohorts import CohortTerms, Members, members_hash, recordings_of
from crypto.encoding import b64u, check_id
from crypto.errors import ForeignKey
from crypto.hpke import seal, value_info
from crypto.keyholder.cohort import open_cohort
from crypto.messages import Audience, CohortStatement, GrantUse, LogKind
from crypto.months import bounds_of, opens_at

blueprint = Blueprint("cohorts", __name__)
for_aggregator = Blueprint("cohort_members", __name__)


class CohortNotOver(Problem):
    """The month is not over everywhere; the member `opens_at` says when it can be opened."""

    slug = "cohort-not-over"
    title = "The month is not over yet"
    status = 409


class CohortOpened(Problem):
    """The roster was opened under another statement."""

    slug = "cohort-opened"
    title = "This cohort was opened"
    status = 409


class CohortTooSmall(Problem):
    """Too few patients of the roster have recordings and a grant in force: for good."""

    slug = "cohort-too-small"
    title = "Too few patients to be opened"
    status = 409


class CohortDiffers(Problem):
    """The statement is about others, or other numbers, than were granted and compared."""

    slug = "cohort-differs"
    title = "The statement is not about everybody who belongs in it"
    status = 409


class KeyMoving(Problem):
    """Tallies of the roster's month are being moved to another Paillier key."""

    slug = "key-moving"
    title = "The counts are being moved to a new key"
    status = 503
    retry_after = 30


class CohortTermsDiffer(Problem):
    """The two servers are set to different noise."""

    slug = "cohort-terms-differ"
    title = "The servers do not agree on the noise"
    status = 409


@blueprint.post("/v1/cohort-openings")
def open_roster() -> ResponseReturnValue:
    shown = presented()
    claim = shown.claim
    if not isinstance(claim, CohortStatement):
        raise InvalidRequest("Tallies and range checks are opened at /v1/openings.")
    answer = _kept_answer(_own_roster(claim.roster, shown.collector), shown)
    if answer is None:
        shown.check_fresh()
        answer = _open(claim, shown)
    return jsonify(sealed_value=b64u(answer))


@for_aggregator.post("/v1/cohort-members")
def list_members() -> ResponseReturnValue:
    """Who is to be counted in, for A's statement: A brings its own numbers to it."""
    require_service(keyholder().statement_key.current(), Audience.KEYHOLDER)
    row = db.session.get(RosterRow, check_id(json_body(roster=str)["roster"]))
    if row is None:
        raise NotFound("There is no such roster.")
    return jsonify(members=[pseudonym for pseudonym, _ in _members(row)])


def _open(claim: CohortStatement, shown: Presented) -> bytes:
    """The sealed value, computed while no transaction is open and kept by the first to end.

    Whether it may be opened is looked at twice: before it is computed, and when it is kept.
    """
    members = in_transaction(db, lambda: _admitted(claim, shown))
    if isinstance(members, Problem):
        raise members
    b = keyholder()
    keys = b.keys
    private = keys.in_use(claim.key_id)
    ciphertext = private.public.parse(shown.ciphertext)
    terms = b.config.cohort_terms
    value = open_cohort(private, keys.masks, ciphertext, claim.roster, members, terms)
    sealed = None
    with suppress(BlindForgotten):
        check_blinded(value, private.public.bits, cells=1)
        sealed = seal(claim.recipient, value_info(claim.jti), value)
    kept = in_transaction(db, lambda: _keep(claim, shown, sealed))
    if isinstance(kept, Problem):
        raise kept
    return kept


def _admitted(claim: CohortStatement, shown: Presented) -> Members | Problem:
    """Who is counted in. A refusal for good is returned, so that it is committed."""
    row = db.session.get(RosterRow, claim.roster, with_for_update=True)
    if row is None or row.clinic != shown.collector.collector:
        raise NotFound("This clinic has no such roster.")
    now = time.time()
    if row.month != claim.month:
        raise CohortDiffers("The roster is of another month.")
    if now < opens_at(row.month):
        raise CohortNotOver("Wait until it is over everywhere.", opens_at=opens_at(row.month))
    config = keyholder().config
    if CohortTerms(claim.epsilon, claim.cap) != config.cohort_terms:
        raise CohortTermsDiffer("Compare COHORT_EPSILON and COHORT_CAP of both.")
    if claim.key_id != keyholder().keys.paillier.public.key_id:
        raise ForeignKey("not under the active key: ask the aggregator again")
    members = _members(row)
    if row.refused_at is None and len(members) < config.min_batch:
        row.refused_at = int(now)
    if row.refused_at is not None:
        return CohortTooSmall(
            f"Fewer than {config.min_batch} patients have recordings in this month."
        )
    if (claim.members_sha256, claim.members, claim.recordings) != (
        members_hash(members),
        len(members),
        recordings_of(members),
    ):
        raise CohortDiffers("Ask the aggregator for a new statement in a minute.")
    return members


def _keep(claim: CohortStatement, shown: Presented, sealed: bytes | None) -> bytes | Problem:
    """Marks the roster opened, unless another statement was faster; returns what is to be sent.

    So also where A did not blind (`sealed` is None): a refusal tells how large the sum is, and told
    for free it would tell it of one group of patients and then of another.

    Grants are looked at again once the log is held: no opening stands in it after the revocation of
    a patient whom it counts in.
    """
    lock_signer(claim.collector, shown.signer)
    row = db.session.get_one(RosterRow, claim.roster, with_for_update=True)
    known = _kept_answer(row, shown)
    if known is not None:
        return known
    append(*_events(claim, shown, _members(row)))
    members = _admitted(claim, shown)
    if isinstance(members, Problem):
        return members
    row.opened_at = int(time.time())
    row.statement_sha256 = shown.statement_sha256
    row.answer = sealed
    row.members, row.recordings, row.epsilon = claim.members, claim.recordings, claim.epsilon
    counted = {pseudonym for pseudonym, _ in members}
    for member in _rows_of(row.roster_id):
        if member.pseudonym in counted:
            member.epsilon = claim.epsilon
    return _not_blinded() if sealed is None else sealed


def _events(claim: CohortStatement, shown: Presented, members: Members) -> list[Event]:
    """What each patient counted in, and the clinic, reads in the log: how much, not which days."""
    numbers = {pseudonym: sum(n for _, n in days) for pseudonym, days in members}
    return [
        Event(
            pseudonym=pseudonym,
            actor=claim.collector,
            thumbprint=shown.signer,
            kind=LogKind.COHORT,
            subject=claim.roster,
            message=shown.opening,
            cells=1,
            recordings=recordings,
        )
        for pseudonym, recordings in [*numbers.items(), (claim.collector, claim.recordings)]
    ]


def _kept_answer(row: RosterRow, shown: Presented) -> bytes | None:
    """The answer of this very statement, however old, or None if there was no opening yet."""
    if row.opened_at is None:
        return None
    if row.statement_sha256 != shown.statement_sha256:
        raise CohortOpened("It is opened once; its figure is where it was opened.")
    if row.answer is None:
        raise _not_blinded()
    return row.answer


def _not_blinded() -> BlindForgotten:
    return BlindForgotten("Tell the aggregator's operator; the roster is used up.")


def _own_roster(roster: str, clinic: Collector) -> RosterRow:
    row = db.session.get(RosterRow, roster)
    if row is None or row.clinic != clinic.collector:
        raise NotFound("This clinic has no such roster.")
    return row


def _members(row: RosterRow) -> Members:
    """Everybody of a roster with a grant in force and recordings in its month, in order.

    Raises KeyMoving: not all that was served is under the active key yet, and nobody is left out.
    """
    keys = keyholder().keys
    if db.session.execute(_of_month(row, [*keys.retired]).limit(1)).first() is not None:
        raise KeyMoving("Try again in a minute.")
    clinic = pinned(row.clinic)
    pseudonyms = {member.pseudonym for member in _rows_of(row.roster_id)}
    granted = granted_to(row.clinic, clinic.thumbprint, pseudonyms, GrantUse.COHORT)
    served = db.session.execute(_of_month(row, [keys.paillier.public.key_id]))
    terms = keyholder().config.cohort_terms
    members = []
    for pseudonym, days in groupby(served, lambda found: str(found[0])):
        numbers = [(day, int(number)) for _, day, number in days]
        if pseudonym in granted and terms.admits(sum(number for _, number in numbers)):
            members.append((pseudonym, numbers))
    return members


def _of_month(row: RosterRow, key_ids: list[str]) -> Select[str, str, int]:
    """What was served of a roster's month under these keys, and not moved away from them."""
    return (
        select(ServedTally.pseudonym, ServedTally.day, ServedTally.served)
        .join(RosterMember, RosterMember.pseudonym == ServedTally.pseudonym)
        .where(
            RosterMember.roster_id == row.roster_id,
            ServedTally.day.between(*bounds_of(row.month)),
            ServedTally.key_id.in_(key_ids),
            ServedTally.moved_by.is_(None),
            ServedTally.served > 0,
        )
        .order_by(ServedTally.pseudonym, ServedTally.day)
    )


def _rows_of(roster: str) -> list[RosterMember]:
    rows = db.select(RosterMember).filter_by(roster_id=roster).order_by(RosterMember.pseudonym)
    return list(db.session.execute(rows).scalars())
