"""Who may call what: everything is denied to whoever did not prove who it is.

One hook runs before every request. A call of a person is authenticated by the session cookie (then
a CSRF token is required for everything that changes something) or by a bearer token; a call of a
worker by its signature; only the endpoints of `PUBLIC` are open to anyone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, g, redirect, request, url_for
from flask_login import current_user
from flask_wtf.csrf import CSRFError, validate_csrf
from werkzeug.wrappers import Response
from wtforms import ValidationError

from app.aggregator.extensions import csrf
from app.aggregator.services import services
from app.aggregator.tables import Account, AccountKind
from app.common.problems import InvalidRequest, NotAllowed, NotAuthenticated, Problem
from app.common.requests import require_service

PUBLIC = frozenset(
    {
        "static",
        "healthz",
        "readyz",
        "accounts.register",
        "accounts.issue_token",
        "pages.welcome",
        "pages.register",
        "pages.login",
        "pages.about_privacy",
    }
)
"""Endpoints that anyone may call."""

PAGES = "pages"
WORKERS = "internal"
"""Blueprints that are not called by programs of persons: the pages, and the workers' calls."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

P = ParamSpec("P")
R = TypeVar("R")


class CsrfFailed(Problem):
    """A call with a session cookie lacks the CSRF token of that session."""

    slug = "csrf"
    title = "The page is out of date"
    status = 400


def register_access(app: Flask) -> None:
    """Puts the hook before every request of `app`."""
    app.before_request(_guard)


def only(*kinds: AccountKind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A view for these kinds of accounts; for others it answers NotAllowed."""

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            if account().kind not in kinds:
                raise NotAllowed("Your kind of account has no use for this.")
            return view(*args, **kwargs)

        return checked

    return decorate


def account() -> Account:
    """Who makes the current request."""
    if not current_user.is_authenticated:
        raise NotAuthenticated("Log in first.")
    caller: Account = current_user._get_current_object()
    return caller


def _guard() -> Response | None:
    if request.endpoint is None:
        return None  # no such address, and no view that would run
    if "\x00" in request.path or any("\x00" in value for value in request.args.values()):
        # PostgreSQL stores no NUL, and an address that holds one is nobody's.
        raise InvalidRequest("An address must not hold NUL.")
    if request.blueprint == WORKERS:
        require_service(services().keyholder.manifest().report_key, "aggregator")
        return None
    if request.endpoint not in PUBLIC and not current_user.is_authenticated:
        if request.blueprint == PAGES and request.method in _SAFE_METHODS:
            return redirect(url_for("pages.login"))
        raise NotAuthenticated("Log in, or send a token that has not expired.")
    _check_csrf()
    return None


def _check_csrf() -> None:
    if request.method in _SAFE_METHODS:
        return
    try:
        if request.blueprint == PAGES:
            csrf.protect()
        elif current_user.is_authenticated and not g.get("by_token", False):
            # Only the header: looking for a form field would read the body.
            validate_csrf(request.headers.get("X-CSRFToken"))
    except (CSRFError, ValidationError):
        raise CsrfFailed("Load the page again and repeat what you did.") from None
