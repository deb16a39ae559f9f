"""Browser sessions: who a cookie or a bearer token stands for."""

from __future__ import annotations

from flask import Request, Response, after_this_request, g, request, session, url_for
from flask_login import LoginManager, login_user, logout_user

from app.aggregator.accounts.service import account_of_session, account_of_token, renew_session
from app.aggregator.accounts.throttle import VOUCHER_SECONDS, new_voucher
from app.aggregator.services import services
from app.aggregator.tables import Account, db
from app.common.problems import InvalidRequest

_SCHEME = "Bearer "
_VOUCHER_COOKIE = "hushbeat-device"


def register_loaders(login_manager: LoginManager) -> None:
    """Tells Flask-Login how accounts are found."""
    login_manager.user_loader(account_of_session)
    login_manager.request_loader(_account_of_request)


def log_in(account: Account) -> None:
    """Begins a session in this browser; others of the account go on, as a person has several.

    The browser gets a voucher as well: strangers who guess at the password do not lock it out.
    """
    account_id, login = account.id, account.login
    session.clear()
    session.permanent = True
    login_user(db.session.get_one(Account, account_id))
    after_this_request(lambda response: _with_voucher(response, login))


def log_out(account: Account) -> None:
    """Ends the account's session in every browser; programs keep their tokens."""
    renew_session(account.id)
    forget_session()


def forget_session() -> None:
    """Takes the cookie of a session that has ended from this browser."""
    logout_user()
    session.clear()


def voucher() -> str | None:
    """What this browser was given when it logged in before."""
    return request.cookies.get(_VOUCHER_COOKIE)


def bearer_token() -> str:
    """The bearer token that made the current call. Raises InvalidRequest if a session made it."""
    if not g.get("by_token", False):
        raise InvalidRequest("This ends a bearer token: call it with the token. Pages log out.")
    return request.headers["Authorization"].removeprefix(_SCHEME)


def _with_voucher(response: Response, login: str) -> Response:
    response.set_cookie(
        _VOUCHER_COOKIE,
        new_voucher(login),
        max_age=VOUCHER_SECONDS,
        path=url_for("pages.login"),
        secure=services().config.secure_cookies,
        httponly=True,
        samesite="Lax",
    )
    return response


def _account_of_request(request: Request) -> Account | None:
    header = request.headers.get("Authorization", "")
    if not header.startswith(_SCHEME):
        return None
    found = account_of_token(header.removeprefix(_SCHEME))
    # What a foreign page makes a browser send carries no such header, so no CSRF token is needed.
    g.by_token = found is not None
    return found
