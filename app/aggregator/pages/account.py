"""The account's own page: login name, key, doctor code, pinned fingerprint, password, sessions."""

from __future__ import annotations

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from app.aggregator.access import account
from app.aggregator.accounts import service
from app.aggregator.accounts.sessions import forget_session, log_in
from app.aggregator.accounts.throttle import TooManyAttempts
from app.aggregator.pages.blueprint import pages
from app.aggregator.pages.forms import PasswordForm
from app.aggregator.pages.page_data import pinned_fingerprint


@pages.route("/account", methods=["GET", "POST"], endpoint="account_page")
def account_page() -> str | Response | tuple[str, int]:
    """After registering (`?new=yes`) the login name stands out: it is shown nowhere before.

    The form changes the password: every other session and every token ends, this browser stays
    logged in.
    """
    form = PasswordForm()
    if not form.is_submitted():
        return _page(form, new=request.args.get("new") == "yes")
    if not form.validate():
        return _page(form), 422
    own = account()
    try:
        service.change_password(own, form.present.data, form.password.data)
    except service.BadCredentials:
        form.present.errors = [_("This is not your present password.")]
        return _page(form), 422
    except TooManyAttempts:
        form.form_errors = [_("Too many attempts. Please wait a minute and try again.")]
        return _page(form), 429
    log_in(own)
    flash(
        _(
            "Your password is changed. Other browsers and programs have been logged out and need "
            "the new one."
        )
    )
    return redirect(url_for("pages.account_page"))


@pages.post("/account/log-out-everywhere")
def log_out_everywhere() -> Response:
    """Ends every session and every token of the account, this browser's session among them."""
    service.log_out_everywhere(account())
    forget_session()
    flash(_("You are logged out everywhere: in every browser and in every program."))
    return redirect(url_for("pages.login"))


def _page(form: PasswordForm, new: bool = False) -> str:
    return render_template(
        "pages/account.html", new=new, fingerprint=pinned_fingerprint(), form=form
    )
