"""The account's keys and devices, and what the key holder has written down about them."""

from __future__ import annotations

from flask import render_template

from app.aggregator.access import only
from app.aggregator.pages.blueprint import pages
from app.aggregator.tables import AccountKind


@pages.get("/keys")
@only(AccountKind.PATIENT, AccountKind.DOCTOR, AccountKind.CLINIC)
def keys() -> str:
    """Connect this browser, let others in, remove keys, recover a lost one."""
    return render_template("pages/keys.html")


@pages.get("/log")
@only(AccountKind.PATIENT, AccountKind.DOCTOR, AccountKind.CLINIC)
def log() -> str:
    """The key holder's log of this account, checked in the browser."""
    return render_template("pages/log.html")
