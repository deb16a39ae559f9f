"""Registering, logging in and enrolling: what the pages and the API both call."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
import unicodedata
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from app.aggregator.accounts.throttle import (
    count_failed_login,
    count_login,
    count_password_check,
    count_registration,
)
from app.aggregator.devices.keys import KeyAlreadyPinned, NotEnrolled, pin_first
from app.aggregator.services import services
from app.aggregator.tables import Account, AccountKind, ApiToken, db
from app.common.database import in_transaction
from app.common.problems import Problem
from crypto.encoding import new_id
from crypto.findings import AgeBand
from crypto.jws import check_collector_jwk, doctor_code, thumbprint
from crypto.messages import CollectorKind, Enrolment, GrantUse, KeyType

MIN_PASSWORD = 12
MAX_PASSWORD = 256
MAX_DISPLAY_NAME = 80
TOKEN_SECONDS = 30 * 24 * 3600
MAX_TOKENS = 20
"""Live bearer tokens of one account; a further one ends the oldest."""
ENROLMENT_SECONDS = 600

_LOGIN = re.compile(r"[a-z0-9-]{1,64}")
_LOGIN_DIGITS = range(5, 13)
"""How many digits a login ends with; more than the fewest only where the shorter are crowded."""
_DRAWS = 3
_MAX_SLUG = 40

# RFC 9106, section 4, second recommended option.
_hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)
# Verified against when there is no such login, so that the answer takes as long.
_nobody = _hasher.hash(secrets.token_hex())


class BadCredentials(Problem):
    """Login and password do not belong together; which of them is wrong stays open."""

    slug = "bad-credentials"
    title = "Login or password is wrong"
    status = 401


class WeakPassword(Problem):
    """A password that is too short or too long."""

    slug = "weak-password"
    title = "This password cannot be used"
    status = 422


class BadDisplayName(Problem):
    """A name that is empty, too long or not printable."""

    slug = "bad-display-name"
    title = "This name cannot be used"
    status = 422


class UnknownAgeBand(Problem):
    """An age band that has no default heart-rate range."""

    slug = "unknown-age-band"
    title = "There is no such age band"
    status = 422


class LoginsCrowded(Problem):
    """No free login could be drawn for a name that too many others have."""

    slug = "logins-crowded"
    title = "No login is free for this name"
    status = 503
    retry_after = 10


@dataclass(frozen=True, slots=True, repr=False)
class IssuedToken:
    """A bearer token, shown once, and when it ends (Unix seconds)."""

    token: str
    expires_at: int


def register(display_name: str, password: str, kind: AccountKind, age_band: str) -> Account:
    """Makes an account. Its login is made from the name and five random digits, or more.

    Args:
        age_band: one of `crypto.findings.AgeBand`; means something for patients only.

    Raises:
        BadDisplayName, WeakPassword, UnknownAgeBand, TooManyAttempts.
    """
    name = _checked_name(display_name)
    if age_band not in set(AgeBand):
        raise UnknownAgeBand(f"Choose one of {', '.join(AgeBand)}.")
    _check_password(password)
    count_registration()
    return create_account(None, name, password, kind, age_band)


def create_account(
    login: str | None,
    display_name: str,
    password: str,
    kind: AccountKind,
    age_band: str = AgeBand.ADULT,
) -> Account:
    """The row itself; without a login one is drawn.

    Raises IntegrityError if a given login is taken.
    """
    password_hash = _hasher.hash(password)

    def work() -> int:
        account = Account(
            login=login or _draw_login(display_name, kind),
            display_name=display_name,
            password_hash=password_hash,
            kind=kind,
            age_band=age_band,
            collector=new_id(),
            session_id=new_id(),
            created_at=int(time.time()),
        )
        db.session.add(account)
        db.session.flush()
        return account.id

    return db.session.get_one(Account, in_transaction(db, work))


def authenticate(login: str, password: str, voucher: str | None = None) -> Account:
    """The account of a login and its password.

    Args:
        voucher: `throttle.new_voucher` of an earlier log-in on the same device, if there is one.

    Raises:
        BadCredentials: an unknown login and a wrong password look and take the same.
        TooManyAttempts: for this login or from this address, whether right or wrong.
    """
    login = login.strip().lower()
    # What cannot be a login is looked up under a name that nobody has.
    login = login if _LOGIN.fullmatch(login) else ""
    count_login(login, voucher)
    account: Account | None = db.session.scalar(select(Account).where(Account.login == login))
    stored = account.password_hash if account else _nobody
    try:
        _hasher.verify(stored, password[: MAX_PASSWORD + 1])
    except (VerificationError, InvalidHashError):
        account = None
    if account is None:
        count_failed_login(login)
        raise BadCredentials("Check the login, with its digits, and the password.")
    if _hasher.check_needs_rehash(stored):
        _set(account.id, password_hash=_hasher.hash(password))
    return account


def change_password(account: Account, present: str, new: str) -> None:
    """Another password; every session and token that the old one began ends.

    Raises:
        BadCredentials: `present` is not the password.
        WeakPassword, TooManyAttempts.
    """
    _check_password(new)
    account_id, stored = account.id, account.password_hash
    count_password_check(account.login)
    try:
        _hasher.verify(stored, present[: MAX_PASSWORD + 1])
    except (VerificationError, InvalidHashError):
        raise BadCredentials("Check the present password.") from None
    _end_everything(account_id, password_hash=_hasher.hash(new))


def log_out_everywhere(account: Account) -> None:
    """Ends every session and every token of the account."""
    _end_everything(account.id)


def renew_session(account_id: int) -> None:
    """Makes every session cookie of the account worthless."""
    _set(account_id, session_id=new_id())


def issue_token(account: Account) -> IssuedToken:
    """A new bearer token for a program; only its hash is kept. The oldest beyond MAX_TOKENS end."""
    account_id = account.id
    token = secrets.token_urlsafe(32)
    now = int(time.time())

    def work() -> None:
        # Two at once take turns: each sees what the other one left.
        db.session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
        newest = (
            select(ApiToken.token_hash)
            .where(ApiToken.account_id == account_id, ApiToken.expires_at > now)
            .order_by(ApiToken.expires_at.desc(), ApiToken.token_hash)
            .limit(MAX_TOKENS - 1)
        )
        kept = list(db.session.scalars(newest))
        db.session.execute(
            delete(ApiToken).where(
                ApiToken.account_id == account_id, ApiToken.token_hash.not_in(kept)
            )
        )
        db.session.add(
            ApiToken(
                token_hash=_token_hash(token),
                account_id=account_id,
                expires_at=now + TOKEN_SECONDS,
            )
        )

    in_transaction(db, work)
    return IssuedToken(token, now + TOKEN_SECONDS)


def end_token(token: str) -> None:
    """Makes a bearer token worthless; again is harmless."""
    hashed = _token_hash(token)
    in_transaction(
        db, lambda: db.session.execute(delete(ApiToken).where(ApiToken.token_hash == hashed))
    )


def account_of_token(token: str) -> Account | None:
    """Whose unexpired token this is."""
    return db.session.scalar(
        select(Account)
        .join(ApiToken, ApiToken.account_id == Account.id)
        .where(ApiToken.token_hash == _token_hash(token), ApiToken.expires_at > int(time.time()))
    )


def account_of_session(session_id: str) -> Account | None:
    """Whose present session this is."""
    return db.session.scalar(select(Account).where(Account.session_id == session_id))


def enrol(account: Account, key: object, key_type: KeyType = KeyType.SOFTWARE) -> str:
    """Pins a collector's first public key (ES256) and states so for the key holder.

    The same key again gets a new statement. Further keys come by `app.aggregator.devices`.

    Raises:
        InvalidEncoding: not a public P-256 JWK.
        KeyAlreadyPinned: another key is pinned, or the key is another account's.
        KeyRevoked: it was removed.
    """
    jwk = check_collector_jwk(key)
    thumb = thumbprint(jwk)
    account_id, kind = account.id, CollectorKind(account.kind)
    code = doctor_code(thumb) if GrantUse.to(kind) else None

    def work() -> str | None:
        db.session.execute(
            update(Account)
            .where(Account.id == account_id, Account.thumbprint.is_(None))
            .values(key_jwk=json.dumps(jwk), thumbprint=thumb, doctor_code=code)
        )
        pinned = db.session.scalar(select(Account.thumbprint).where(Account.id == account_id))
        if pinned == thumb:
            pin_first(account_id, jwk, key_type)
        return pinned

    try:
        pinned = in_transaction(db, work)
    except IntegrityError:
        raise KeyAlreadyPinned("This key belongs to another account: make a new one.") from None
    if pinned != thumb:
        raise KeyAlreadyPinned("Use the browser or program in which the account was first used.")
    now = int(time.time())
    enrolment = Enrolment(
        collector=account.collector,
        kind=kind,
        thumbprint=thumb,
        type=key_type,
        jti=new_id(),
        iat=now,
        exp=now + ENROLMENT_SECONDS,
    )
    return enrolment.sign(services().secrets.statement_key)


def public_key(account: Account) -> dict[str, Any]:
    """The first key's public JWK, which names the account. Raises NotEnrolled if there is none.

    It verifies nothing: the account's messages may come from any of its devices
    (`app.aggregator.devices.keys.verified`), and this one may have been removed.
    """
    if account.key_jwk is None:
        raise NotEnrolled("Log in where the account is used, so that its key is made.")
    jwk: dict[str, Any] = json.loads(account.key_jwk)
    return jwk


def _end_everything(account_id: int, **values: str) -> None:
    def work() -> None:
        # `issue_token` holds this row as well: a token is either seen here or made afterwards.
        db.session.execute(
            update(Account)
            .where(Account.id == account_id)
            .values(session_id=new_id(), **values)
            .execution_options(synchronize_session=False)
        )
        db.session.execute(delete(ApiToken).where(ApiToken.account_id == account_id))

    in_transaction(db, work)


def _set(account_id: int, **values: str) -> None:
    in_transaction(
        db,
        lambda: db.session.execute(
            update(Account).where(Account.id == account_id).values(**values)
        ),
    )


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _checked_name(display_name: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", display_name).split())
    if not 0 < len(name) <= MAX_DISPLAY_NAME or not name.isprintable():
        raise BadDisplayName(f"A name has 1 to {MAX_DISPLAY_NAME} printable characters.")
    return name


def _check_password(password: str) -> None:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise WeakPassword(f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.")


def _draw_login(display_name: str, kind: AccountKind) -> str:
    letters = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", letters.lower()).strip("-")[:_MAX_SLUG].strip("-")
    for digits in _LOGIN_DIGITS:
        for _ in range(_DRAWS):
            login = f"{slug or kind.value}-{secrets.randbelow(10**digits):0{digits}d}"
            if db.session.scalar(select(Account.id).where(Account.login == login)) is None:
                return login
    raise LoginsCrowded("Choose another name.")
