"""Pages for everybody: welcome, registering, logging in and out, and how the privacy works."""

from __future__ import annotations

from flask import redirect, render_template, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from app.aggregator.access import account
from app.aggregator.accounts import service
from app.aggregator.accounts.sessions import log_in, log_out, voucher
from app.aggregator.accounts.throttle import TooManyAttempts
from app.aggregator.pages.blueprint import pages
from app.aggregator.pages.clinic import cohort_terms
from app.aggregator.pages.forms import LoginForm, RegistrationForm
from app.aggregator.tables import AccountKind

_HOME = {
    AccountKind.PATIENT: "pages.recordings",
    AccountKind.DOCTOR: "pages.patients",
    AccountKind.CLINIC: "pages.clinic",
    AccountKind.OPERATOR: "pages.operator",
}

Page = str | Response | tuple[str, int]


@pages.get("/")
def welcome() -> Page:
    """What Hushbeat is, or straight on to one's own page."""
    if current_user.is_authenticated:
        return redirect(url_for(_HOME[AccountKind(current_user.kind)]))
    return render_template("pages/welcome.html")


@pages.route("/register", methods=["GET", "POST"])
def register() -> Page:
    """Makes an account and logs it in; its page then makes the key and shows the login name."""
    if current_user.is_authenticated:
        return redirect(url_for("pages.account_page"))
    form = RegistrationForm()
    if not form.validate_on_submit():
        return _answer("pages/register.html", form)
    try:
        made = service.register(
            form.display_name.data,
            form.password.data,
            AccountKind(form.kind.data),
            form.age_band.data,
        )
    except service.BadDisplayName:
        form.display_name.errors = [_("A name has 1 to 80 letters that can be printed.")]
        return _answer("pages/register.html", form)
    except service.WeakPassword:
        form.password.errors = [_("This password cannot be used. Please choose another one.")]
        return _answer("pages/register.html", form)
    except TooManyAttempts:
        form.form_errors = [_("Too many attempts. Please wait a minute and try again.")]
        return _answer("pages/register.html", form, 429)
    log_in(made)
    return redirect(url_for("pages.account_page", new="yes"))


@pages.route("/login", methods=["GET", "POST"])
def login() -> Page:
    """Logs in; a wrong name and a wrong password get the same answer."""
    if current_user.is_authenticated:
        return redirect(url_for("pages.welcome"))
    form = LoginForm()
    if not form.validate_on_submit():
        return _answer("pages/login.html", form)
    try:
        found = service.authenticate(form.login.data, form.password.data, voucher())
    except service.BadCredentials:
        form.form_errors = [
            _("Login name and password do not fit. The login name ends with digits.")
        ]
        return _answer("pages/login.html", form, 401)
    except TooManyAttempts:
        form.form_errors = [_("Too many attempts. Please wait a minute and try again.")]
        return _answer("pages/login.html", form, 429)
    log_in(found)
    return redirect(url_for("pages.welcome"))


@pages.post("/logout")
def logout() -> Page:
    """Ends the session in every browser; programs keep their tokens."""
    log_out(account())
    return redirect(url_for("pages.welcome"))


@pages.get("/about-privacy")
def about_privacy() -> Page:
    """Who sees what, in plain words."""
    return render_template("pages/about_privacy.html", **cohort_terms())


def _answer(template: str, form: LoginForm | RegistrationForm, status: int = 422) -> Page:
    """The form itself, with its errors if it was sent."""
    page = render_template(template, form=form)
    return (page, status) if form.is_submitted() else page
