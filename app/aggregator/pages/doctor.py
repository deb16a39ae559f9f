"""Pages of a doctor."""

from __future__ import annotations

from flask import render_template

from app.aggregator.access import account, only
from app.aggregator.consents.service import patients_of
from app.aggregator.pages.blueprint import pages
from app.aggregator.tables import AccountKind
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
    for found, _since in patients_of(account()):
        if found.collector == pseudonym:
            return render_template("pages/patient.html", patient=found)
    raise NotFound("None of your patients has this address, or the consent was taken back.")
