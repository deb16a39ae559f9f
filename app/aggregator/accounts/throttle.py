"""How often passwords may be tried and accounts made.

An attempt to log in counts three times: for the login from this address, for the address, and, if
it failed, for the login from everywhere. The last counter would let strangers lock an owner out, so
a device that logged in to the account before is not held to it: it shows the voucher that it was
given then, and has a counter of its own instead ("device cookies", OWASP).
"""

from __future__ import annotations

from collections.abc import Callable

from flask import has_request_context
from itsdangerous import BadData, URLSafeTimedSerializer
from limits import RateLimitItemPerMinute

from app.aggregator.extensions import caller_address, limiter
from app.aggregator.services import services
from app.common.problems import Problem
from crypto.encoding import new_id

VOUCHER_SECONDS = 365 * 24 * 3600
"""How long a device stays known after its last log-in."""

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


def count_login(login: str, voucher: str | None = None) -> None:
    """Counts an attempt to log in. Raises TooManyAttempts from the first one too many on.

    Args:
        voucher: of a device that logged in to an account before; another account's is ignored.
    """
    allowed = services().config.login_attempts_per_minute
    address = _address()
    device = None if voucher is None else _device_of(login, voucher)
    if device is None:
        _count(allowed, "login-from", login, address)
        _require(limiter.limiter.test, _SHARED * allowed, "login-failed", login)
    else:
        _count(allowed, "login-device", device)
    _count(_SHARED * allowed, "address", address)


def count_failed_login(login: str) -> None:
    """Counts a wrong password against its login, from wherever it came.

    Attempts at the same moment may all pass before the first of them has failed: as many as this
    role has threads.
    """
    allowed = services().config.login_attempts_per_minute
    _ask(limiter.limiter.hit, _SHARED * allowed, "login-failed", login)


def count_password_check(login: str) -> None:
    """Counts a password that somebody gives who is logged in to the account already.

    It has a counter of its own: strangers' guesses keep nobody from choosing another password.
    Raises TooManyAttempts.
    """
    _count(services().config.login_attempts_per_minute, "password-check", login)


def new_voucher(login: str) -> str:
    """What a device shows from now on when it logs in to this account. It opens nothing by itself.

    To be given only to who knew the password.
    """
    return _signer().dumps([login, new_id()])


def count_registration() -> None:
    """Counts a registration. Raises TooManyAttempts."""
    _count(_SHARED * services().config.login_attempts_per_minute, "register", _address())


def _device_of(login: str, voucher: str) -> str | None:
    """The device's own number if the voucher is genuine, of this account and not too old."""
    try:
        of_login, device = _signer().loads(voucher, max_age=VOUCHER_SECONDS)
    except (BadData, TypeError, ValueError):
        return None
    return str(device) if of_login == login else None


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(services().secrets.session_key, salt="hushbeat-device-voucher")


def _count(allowed: int, *what: str) -> None:
    _require(limiter.limiter.hit, allowed, *what)


def _require(ask: Callable[..., bool], allowed: int, *what: str) -> None:
    if not _ask(ask, allowed, *what):
        raise TooManyAttempts("Wait a minute and try again.")


def _ask(ask: Callable[..., bool], allowed: int, *what: str) -> bool:
    try:
        return ask(RateLimitItemPerMinute(allowed), *what)
    except limiter.storage.base_exceptions as error:
        raise ThrottleUnavailable("Try again in a moment.") from error


def _address() -> str:
    return caller_address() if has_request_context() else ""
