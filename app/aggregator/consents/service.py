"""Granting, revoking, and who may see whom. The key holder enforces grants on its own as well.

A consent to a clinic opens no counts: it lets app.aggregator.cohorts count the patient in.
"""

from __future__ import annotations

import time

from sqlalchemy import select

from app.aggregator.devices.keys import verified
from app.aggregator.ranges.ending import end_ranges
from app.aggregator.tables import Account, AccountKind, Consent, db
from app.common.database import in_transaction
from app.common.problems import InvalidRequest, NotFound, Problem
from crypto.messages import Grant, GrantUse, Revocation

_GRANTEES = {GrantUse.COUNTS: AccountKind.DOCTOR, GrantUse.COHORT: AccountKind.CLINIC}


class GrantConflict(Problem):
    """The grant's id was used for another grant, or this grant was taken back."""

    slug = "grant-conflict"
    title = "This grant cannot be taken"
    status = 409


class GrantExists(Problem):
    """The patient has a consent to this doctor in force; the member `grant` names it."""

    slug = "grant-exists"
    title = "There is a consent to this doctor"
    status = 409


def grant(patient: Account, token: str) -> tuple[str, bool]:
    """Keeps a grant that its patient signed. Returns its id and whether it is new.

    Raises:
        CryptoError: not signed by the patient's pinned key, or malformed.
        InvalidRequest: it speaks of another patient.
        NotFound: no such doctor or clinic, or one with another key.
        GrantConflict, GrantExists: as their names say.
    """
    signed = verified(Grant, token, patient, time.time())
    if signed.patient != patient.collector:
        raise InvalidRequest("The grant speaks of another patient.")
    doctor = db.session.scalar(
        select(Account).where(
            Account.collector == signed.doctor,
            Account.kind == _GRANTEES[signed.use],
            Account.thumbprint == signed.doctor_thumbprint,
        )
    )
    if doctor is None:
        raise NotFound("There is no doctor or clinic with this key.")
    patient_id, doctor_id = patient.id, doctor.id

    def work() -> bool:
        # Before the row itself: the same grant, sent twice at once, must not stand in its own way.
        in_force = db.session.scalar(
            select(Consent.grant_id).where(
                Consent.patient_id == patient_id,
                Consent.doctor_id == doctor_id,
                Consent.revoked_at.is_(None),
            )
        )
        known = db.session.get(Consent, signed.grant)
        if known is not None:
            # Not the time of signing: who was told of a grant in force may sign it once more.
            people = (known.patient_id, known.doctor_id)
            if known.revoked_at is not None or people != (patient_id, doctor_id):
                raise GrantConflict("Sign a new grant.")
            return False
        if in_force is not None:
            raise GrantExists("One consent to a doctor is enough.", grant=in_force)
        db.session.add(
            Consent(
                grant_id=signed.grant,
                patient_id=patient_id,
                doctor_id=doctor_id,
                grant=token,
                granted_at=int(time.time()),
            )
        )
        return True

    return signed.grant, in_transaction(db, work)


def revoke(patient: Account, grant_id: str, token: str) -> None:
    """Ends a grant by a revocation that its patient signed; again is harmless.

    With it end the doctor's ranges for this patient.

    Raises:
        CryptoError: not signed by the patient's pinned key, or malformed.
        InvalidRequest: it speaks of another grant or patient.
        NotFound: the patient never gave this grant.
    """
    signed = verified(Revocation, token, patient, time.time())
    if (signed.grant, signed.patient) != (grant_id, patient.collector):
        raise InvalidRequest("The revocation speaks of another grant or patient.")
    patient_id, pseudonym = patient.id, patient.collector

    def work() -> None:
        known = db.session.get(Consent, grant_id, with_for_update=True)
        if known is None or known.patient_id != patient_id:
            raise NotFound("You gave no such grant.")
        if known.revoked_at is None:
            known.revocation = token
            known.revoked_at = int(time.time())
            db.session.flush()
        if not _in_force(known.doctor_id, pseudonym):
            end_ranges(known.doctor_id, pseudonym)

    in_transaction(db, work)


def may_open(caller: Account, pseudonym: str) -> bool:
    """Whether the caller is this patient, or a doctor to whom the patient consents."""
    if caller.kind == AccountKind.PATIENT:
        return pseudonym == caller.collector
    return caller.kind == AccountKind.DOCTOR and _in_force(caller.id, pseudonym)


def consents_of(patient: Account) -> list[Consent]:
    """The grants in force of a patient, oldest first."""
    return list(
        db.session.scalars(
            select(Consent)
            .where(Consent.patient_id == patient.id, Consent.revoked_at.is_(None))
            .order_by(Consent.granted_at, Consent.grant_id)
        )
    )


def patients_of(doctor: Account) -> list[tuple[Account, int]]:
    """Who consents to a doctor or clinic, and since when (Unix seconds), by name."""
    rows = db.session.execute(
        select(Account, Consent.granted_at)
        .join(Consent, Consent.patient_id == Account.id)
        .where(Consent.doctor_id == doctor.id, Consent.revoked_at.is_(None))
    )
    listed = [(patient, since) for patient, since in rows]
    return sorted(listed, key=lambda row: (row[0].display_name, row[0].id))


def _in_force(doctor_id: int, pseudonym: str) -> bool:
    consent = db.session.scalar(
        select(Consent.grant_id)
        .join(Account, Account.id == Consent.patient_id)
        .where(
            Account.collector == pseudonym,
            Consent.doctor_id == doctor_id,
            Consent.revoked_at.is_(None),
        )
        .limit(1)
    )
    return consent is not None


def doctor_of_code(code: str) -> Account:
    """The doctor or clinic of a code (ABCD-EFGH-IJKL-MNOP). Raises NotFound."""
    doctor: Account | None = db.session.scalar(
        select(Account).where(Account.doctor_code == code, Account.kind.in_(_GRANTEES.values()))
    )
    if doctor is None:
        raise NotFound("There is no doctor or clinic with this code: compare it once more.")
    return doctor
