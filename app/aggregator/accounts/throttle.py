"""How often passwords may be tried and accounts made."""

from __future__ import annotations

from flask import has_request_context, request
from limits import RateLimitItemPerMinute

from app.aggregator.extensions import limiter
from app.aggregator.services import services
from app.common.problems import Problem

_SHARED = 5
"""A clinic behind one address, or a person with several devices, gets this many times more."""


class TooManyAttempts(Problem):
    """Too many log-ins or registrations within a minute."""

    slug = "too-many-attempts"
    title = "Too many attempts"
    status = 429
    retry_after = 60


class ThrottleUnavailable(Problem):
    """The store of attempts does not answer, and passwords are not tried uncounted."""

    slug = "throttle-unavailable"
    title = "Logging in is not possible at the moment"
    status = 503
    retry_after = 10


def count_login(login: str) -> None:
    """Counts an attempt to log in. Raises TooManyAttempts from the first one too many on."""
    allowed = services().config.login_attempts_per_minute
    address = _address()
    _count(allowed, "login-from", login, address)
    _count(_SHARED * allowed, "login", login)
    _count(_SHARED * allowed, "address", address)


def count_registration() -> None:
    """Counts a registration. Raises TooManyAttempts."""
    _count(_SHARED * services().config.login_attempts_per_minute, "register", _address())


def _count(allowed: int, *what: str) -> None:
    try:
        counted = limiter.limiter.hit(RateLimitItemPerMinute(allowed), *what)
    except limiter.storage.base_exceptions as error:
        raise ThrottleUnavailable("Try again in a moment.") from error
    if not counted:
        raise TooManyAttempts("Wait a minute and try again.")


def _address() -> str:
    return (request.remote_addr or "") if has_request_context() else ""
