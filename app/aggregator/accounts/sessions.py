"""Browser sessions: who a cookie or a bearer token stands for."""

from __future__ import annotations

from flask import Request, g, session
from flask_login import LoginManager, login_user, logout_user

from app.aggregator.accounts.service import account_of_session, account_of_token, renew_session
from app.aggregator.tables import Account, db

_SCHEME = "Bearer "


def register_loaders(login_manager: LoginManager) -> None:
    """Tells Flask-Login how accounts are found."""
    login_manager.user_loader(account_of_session)
    login_manager.request_loader(_account_of_request)


def log_in(account: Account) -> None:
    """Begins a new session for the account; its older cookies stop working."""
    account_id = account.id
    renew_session(account_id)
    session.clear()
    session.permanent = True
    login_user(db.session.get_one(Account, account_id))


def log_out(account: Account) -> None:
    """Ends the session; copies of its cookie stop working too."""
    renew_session(account.id)
    logout_user()
    session.clear()


def _account_of_request(request: Request) -> Account | None:
    header = request.headers.get("Authorization", "")
    if not header.startswith(_SCHEME):
        return None
    found = account_of_token(header.removeprefix(_SCHEME))
    # What a foreign page makes a browser send carries no such header, so no CSRF token is needed.
    g.by_token = found is not None
    return found
