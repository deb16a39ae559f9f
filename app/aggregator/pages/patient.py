"""Pages of a patient."""

from __future__ import annotations

from flask import render_template

from app.aggregator.access import only
from app.aggregator.pages.blueprint import pages
from app.aggregator.pages.clinic import cohort_terms
from app.aggregator.tables import AccountKind


@pages.get("/recordings")
@only(AccountKind.PATIENT)
def recordings() -> str:
    """Send recordings, follow them, read the counts."""
    return render_template("pages/recordings.html")


@pages.get("/doctors")
@only(AccountKind.PATIENT)
def doctors() -> str:
    """Consent to a doctor or clinic and take it back."""
    return render_template("pages/doctors.html", **cohort_terms())
