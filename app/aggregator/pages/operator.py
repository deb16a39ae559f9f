"""The operator's page: how the machinery runs, without any patient data."""

from __future__ import annotations

from flask import render_template

from app.aggregator.access import only
from app.aggregator.operations import overview
from app.aggregator.pages.blueprint import pages
from app.aggregator.tables import AccountKind


@pages.get("/operator")
@only(AccountKind.OPERATOR)
def operator() -> str:
    """Queues, workers, rates and failures."""
    return render_template("pages/operator.html", overview=overview())


@pages.get("/operator/recoveries")
@only(AccountKind.OPERATOR)
def operator_recoveries() -> str:
    """Patients who lost their keys: the operator vouches for who they are."""
    return render_template("pages/operator_recoveries.html")


@pages.get("/operator/figures")
@only(AccountKind.OPERATOR)
def operator_figures() -> str:
    """The part of the page that is fetched again and again."""
    return render_template("pages/_operator_figures.html", overview=overview())
