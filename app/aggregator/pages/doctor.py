"""Pages of a doctor."""

from __future__ import annotations

from flask import render_template
from sqlalchemy import select

from app.aggregator.access import account, only
from app.aggregator.pages.blueprint import pages
from app.aggregator.tables import Account, AccountKind, Consent, db
from app.common.problems import NotFound


@pages.get("/patients")
@only(AccountKind.DOCTOR)
def patients() -> str:
    """The consenting patients with their counts."""
    return render_template("pages/patients.html")


@pages.get("/patients/<pseudonym>")
@only(AccountKind.DOCTOR)
def patient(pseudonym: str) -> str:
    """One consenting patient: counts by day, and the healthy range."""
    found = db.session.scalar(
        select(Account)
        .join(Consent, Consent.patient_id == Account.id)
        .where(
            Account.collector == pseudonym,
            Consent.doctor_id == account().id,
            Consent.revoked_at.is_(None),
        )
    )
    if found is None:
        raise NotFound("None of your patients has this address, or the consent was taken back.")
    return render_template("pages/patient.html", patient=found)
