"""Grants: a patient's signature lets a doctor's key open the tallies, until taken back.

A clinic is granted the same way, with another use: its cohorts may count the patient in
(app.keyholder.cohorts), and no tally opens to it. The kind that is enrolled decides what can be
granted, so that nobody passes a clinic off as a doctor.
"""

from __future__ import annotations

import time
from collections.abc import Set

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.problems import NotFound, Problem
from app.common.requests import json_body
from app.keyholder.collector_keys import lock_signer, pinned, verified
from app.keyholder.log import Event, append
from app.keyholder.tables import Collector, db
from app.keyholder.tables import Grant as GrantRow
from crypto.messages import CollectorKind, Grant, GrantUse, LogKind, Revocation

blueprint = Blueprint("grants", __name__)


class GrantConflict(Problem):
    """The grant's identifier is taken by another grant, or by this one, revoked."""

    slug = "grant-conflict"
    title = "This grant cannot be taken"
    status = 409


class GrantExists(Problem):
    """This patient has a grant in force to this doctor's key; the member `grant` names it."""

    slug = "grant-exists"
    title = "There is a grant to this doctor"
    status = 409


class NotAPatient(Problem):
    """Only patients have tallies to grant."""

    slug = "not-a-patient"
    title = "Only a patient can grant"
    status = 403


class UnknownDoctor(Problem):
    """Nobody whom this use can be granted to has enrolled the key that the grant names."""

    slug = "unknown-doctor"
    title = "No doctor or clinic is enrolled with this key for this use"
    status = 422


@blueprint.post("/v1/grants")
def grant() -> ResponseReturnValue:
    token = json_body(grant=str)["grant"]
    message, signer = verified(Grant, token, Grant.claimed(token).patient, time.time())
    if pinned(message.patient).kind != CollectorKind.PATIENT:
        raise NotAPatient("Doctors have no tallies of their own.")
    created = in_transaction(db, lambda: _store(message, token, signer))
    return jsonify(grant=message.grant), 201 if created else 200


@blueprint.post("/v1/revocations")
def revoke() -> ResponseReturnValue:
    token = json_body(revocation=str)["revocation"]
    claim = Revocation.claimed(token)
    message, signer = verified(Revocation, token, claim.patient, time.time())
    in_transaction(db, lambda: _end(message, token, signer))
    return jsonify(grant=message.grant)


def granted_to(
    collector: str, thumbprint: str, pseudonyms: Set[str], use: GrantUse = GrantUse.COUNTS
) -> set[str]:
    """Those of these patients whose unrevoked grants name this collector with this key and use."""
    query = (
        db.select(GrantRow.patient)
        .filter_by(doctor=collector, doctor_thumbprint=thumbprint, use=use.value, revoked_at=None)
        .where(GrantRow.patient.in_(pseudonyms))
        .distinct()
    )
    return set(db.session.execute(query).scalars())


def _store(message: Grant, token: str, signer: str) -> bool:
    """Whether the grant is new. One that was revoked stays so, whoever sends it again."""
    lock_signer(message.patient, signer)
    # Before the row itself: the same grant, sent twice at once, must not stand in its own way.
    in_force = db.session.scalar(
        db.select(GrantRow.grant_id).filter_by(
            patient=message.patient,
            doctor=message.doctor,
            doctor_thumbprint=message.doctor_thumbprint,
            revoked_at=None,
        )
    )
    row = db.session.get(GrantRow, message.grant)
    if row is not None:
        # Not the time of signing: who was told of a grant in force may sign it once more.
        if row.revoked_at is not None or (
            row.patient,
            row.doctor,
            row.doctor_thumbprint,
            row.use,
        ) != (message.patient, message.doctor, message.doctor_thumbprint, message.use):
            raise GrantConflict("Sign a new grant with an identifier of its own.")
        return False
    doctor = db.session.get(Collector, message.doctor)
    if (
        doctor is None
        or doctor.thumbprint != message.doctor_thumbprint
        or GrantUse.to(CollectorKind(doctor.kind)) != message.use
    ):
        raise UnknownDoctor("Check the code; the doctor or clinic must have enrolled a key.")
    if in_force is not None:
        raise GrantExists("One grant to a doctor is enough.", grant=in_force)
    db.session.add(
        GrantRow(
            grant_id=message.grant,
            patient=message.patient,
            doctor=message.doctor,
            doctor_thumbprint=message.doctor_thumbprint,
            use=message.use.value,
            grant=token,
            revocation=None,
            granted_at=int(time.time()),
            revoked_at=None,
        )
    )
    append(_event(message, token, signer, LogKind.GRANT))
    return True


def _end(message: Revocation, token: str, signer: str) -> None:
    lock_signer(message.patient, signer)
    row = db.session.get(GrantRow, message.grant, with_for_update=True)
    if row is None or row.patient != message.patient:
        raise NotFound("You have no such grant.")
    if row.revoked_at is None:
        row.revocation = token
        row.revoked_at = int(time.time())
        append(_event(message, token, signer, LogKind.REVOCATION))


def _event(message: Grant | Revocation, token: str, signer: str, kind: LogKind) -> Event:
    return Event(
        pseudonym=message.patient,
        actor=message.patient,
        thumbprint=signer,
        kind=kind,
        subject=message.grant,
        message=token,
    )
