"""The account's own page: login name, this browser's key, doctor code, pinned fingerprint."""

from __future__ import annotations

from flask import render_template, request

from app.aggregator.pages.blueprint import pages
from app.aggregator.pages.page_data import pinned_fingerprint


@pages.get("/account", endpoint="account_page")
def account_page() -> str:
    """After registering (`?new=yes`) the login name stands out: it is shown nowhere before."""
    return render_template(
        "pages/account.html",
        new=request.args.get("new") == "yes",
        fingerprint=pinned_fingerprint(),
    )
