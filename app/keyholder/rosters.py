"""Rosters: whom a clinic wants counted together in a month, fixed once before the month ends.

No patient's month is in two rosters, so the cohorts that are opened never overlap, and no
difference of two of them is about fewer people than one (docs/protocol.md, section 6.1).
"""

from __future__ import annotations

import time

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.problems import NotAllowed, Problem
from app.common.requests import json_body
from app.keyholder.collector_keys import lock_signer, pinned, verified
from app.keyholder.context import keyholder
from app.keyholder.grants import granted_to
from app.keyholder.log import Event, append
from app.keyholder.openings import NotGranted
from app.keyholder.tables import Roster as RosterRow
from app.keyholder.tables import RosterMember, db
from crypto.messages import CohortQuery, CollectorKind, GrantUse, LogKind, Roster
from crypto.months import may_be_declared, opens_at

MAX_BODY_BYTES = 128 << 10
"""A roster of 2,000 pseudonyms takes some 95 kB."""

blueprint = Blueprint("rosters", __name__)


class NotAClinic(NotAllowed):
    """Rosters are for clinics."""

    slug = "not-a-clinic"
    title = "Only a clinic has rosters"


class RosterTooSmall(Problem):
    """Fewer patients than a cohort needs; the member `least` says how many it needs."""

    slug = "roster-too-small"
    title = "Too few patients in this roster"
    status = 422


class RosterNotNow(Problem):
    """The month is over, or far ahead."""

    slug = "roster-not-now"
    title = "A roster is fixed before or during its month"
    status = 409


class RosterFixed(Problem):
    """The clinic has another roster for this month, or the identifier is taken."""

    slug = "roster-fixed"
    title = "The roster of this month is fixed"
    status = 409


class RosterOverlap(Problem):
    """Another roster of the month has one of these patients; the member `pseudonym` says whom."""

    slug = "roster-overlap"
    title = "A patient is in another roster of this month"
    status = 409


@blueprint.post("/v1/rosters")
def declare() -> ResponseReturnValue:
    request.max_content_length = MAX_BODY_BYTES
    token = json_body(roster=str)["roster"]
    clinic = Roster.claimed(token).clinic
    message, signer = verified(Roster, token, clinic, time.time(), longest=MAX_BODY_BYTES)
    if pinned(clinic).kind != CollectorKind.CLINIC:
        raise NotAClinic("Doctors open the counts of their patients one by one.")
    created = in_transaction(db, lambda: _fix(message, token, signer))
    return jsonify(roster=message.roster), 201 if created else 200


@blueprint.post("/v1/cohort-queries")
def query() -> ResponseReturnValue:
    """A clinic's rosters, or the rosters that a patient is in; no count is in here."""
    token = json_body(query=str)["query"]
    collector = CohortQuery.claimed(token).collector
    verified(CohortQuery, token, collector, time.time())
    terms, least = keyholder().config.cohort_terms, keyholder().config.min_batch
    about = _about_clinic if pinned(collector).kind == CollectorKind.CLINIC else _about_patient
    return jsonify(cohorts=about(collector), least=least, epsilon=terms.epsilon, cap=terms.cap)


def _fix(message: Roster, token: str, signer: str) -> bool:
    """Whether the roster is new. A fixed one stays as it is."""
    clinic = lock_signer(message.clinic, signer)
    row = db.session.get(RosterRow, message.roster)
    if row is not None and Roster.claimed(row.roster) == message:
        return False
    if row is not None or _roster_of(message.clinic, message.month) is not None:
        raise RosterFixed("It cannot be changed: the next one is for the month after.")
    if not may_be_declared(message.month, time.time()):
        raise RosterNotNow("Fix it from the month before until the month ends.")
    least = keyholder().config.min_batch
    if len(message.pseudonyms) < least:
        raise RosterTooSmall(f"A cohort has at least {least} patients.", least=least)
    named = set(message.pseudonyms)
    granted = granted_to(message.clinic, clinic.thumbprint, named, GrantUse.COHORT)
    if missing := sorted(named - granted):
        raise NotGranted("A patient has not agreed, or not any more.", pseudonym=missing[0])
    taken = db.select(RosterMember.pseudonym).where(
        RosterMember.month == message.month, RosterMember.pseudonym.in_(named)
    )
    elsewhere = db.session.scalar(taken.limit(1))
    if elsewhere is not None:
        raise RosterOverlap("Leave this patient out.", pseudonym=elsewhere)
    db.session.add(
        RosterRow(
            roster_id=message.roster,
            clinic=message.clinic,
            month=message.month,
            roster=token,
            declared_at=int(time.time()),
        )
    )
    db.session.flush()
    db.session.add_all(
        RosterMember(roster_id=message.roster, pseudonym=pseudonym, month=message.month)
        for pseudonym in message.pseudonyms
    )
    append(
        Event(
            pseudonym=message.clinic,
            actor=message.clinic,
            thumbprint=signer,
            kind=LogKind.ROSTER,
            subject=message.roster,
            message=token,
        )
    )
    return True


def _roster_of(clinic: str, month: str) -> RosterRow | None:
    row: RosterRow | None = db.session.scalar(
        db.select(RosterRow).filter_by(clinic=clinic, month=month)
    )
    return row


def _about_clinic(clinic: str) -> list[dict[str, object]]:
    """Newest month first. The signed roster comes along while it can still be opened."""
    rows = db.select(RosterRow).filter_by(clinic=clinic).order_by(RosterRow.month.desc())
    return [
        {
            "roster": row.roster_id,
            "month": row.month,
            "state": _state(row),
            "opens_at": opens_at(row.month),
            "opened_at": row.opened_at,
            "members": row.members,
            "recordings": row.recordings,
            "epsilon": row.epsilon,
            "signed": row.roster if _state(row) == "fixed" else None,
        }
        for row in db.session.execute(rows).scalars()
    ]


def _about_patient(patient: str) -> list[dict[str, object]]:
    rows = db.session.execute(
        db.select(RosterMember, RosterRow)
        .join(RosterRow, RosterRow.roster_id == RosterMember.roster_id)
        .where(RosterMember.pseudonym == patient)
        .order_by(RosterMember.month.desc())
    )
    return [
        {
            "month": row.month,
            "clinic": row.clinic,
            "state": _state(row),
            "counted": member.epsilon is not None,
            "epsilon": member.epsilon,
        }
        for member, row in rows
    ]


def _state(row: RosterRow) -> str:
    if row.opened_at is not None:
        return "opened"
    return "fixed" if row.refused_at is None else "too-small"
