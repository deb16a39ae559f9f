"""The page of a clinic, and what every page says about cohorts."""

from __future__ import annotations

from flask import render_template

from app.aggregator.access import only
from app.aggregator.pages.blueprint import pages
from app.aggregator.services import services
from app.aggregator.tables import AccountKind


@pages.get("/clinic")
@only(AccountKind.CLINIC)
def clinic() -> str:
    """The clinic's code, its rosters and the figures of months that are over."""
    return render_template("pages/clinic.html", **cohort_terms())


def cohort_terms() -> dict[str, object]:
    """How many patients a cohort has at least, and under which noise it is opened, as set here."""
    config = services().config
    terms = config.cohort_terms
    epsilon = f"{terms.epsilon / 1000:g}" if terms.epsilon else None
    return {"least": config.min_batch, "epsilon": epsilon, "cap": terms.cap}
