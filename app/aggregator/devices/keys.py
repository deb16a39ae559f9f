"""The public keys that can sign in an account's name: pinned here as at the key holder.

A learns of further keys from the signed messages themselves, which every device sends to both
servers, so that what A checks does not depend on the key holder's word.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import select

from app.aggregator.services import services
from app.aggregator.tables import TOKEN_CHARS, Account, CollectorKey, db
from app.common.problems import NotAllowed, Problem
from crypto.encoding import json_object
from crypto.errors import BadSignature, InvalidEncoding
from crypto.jws import claimed_signer, thumbprint
from crypto.messages import KeyType, PinnedKey, SignedMessage
from crypto.webauthn import origin_of, rp_id_of

M = TypeVar("M", bound=SignedMessage)


class KeyAlreadyPinned(Problem):
    """The account has another first key, or the key belongs to another account."""

    slug = "key-already-pinned"
    title = "Another key is pinned"
    status = 409


class KeyRevoked(NotAllowed):
    """The key was one of the account's and was removed."""

    slug = "key-revoked"
    title = "This key was removed"


class NotEnrolled(Problem):
    """The account has no collector key yet."""

    slug = "not-enrolled"
    title = "This account has no key yet"
    status = 409


def verified(
    kind: type[M], token: str, account: Account, now: float, longest: int = TOKEN_CHARS
) -> M:
    """A message that a key in force of the account signed.

    Args:
        longest: in characters; what is kept must fit where it is kept.

    Raises:
        NotEnrolled, KeyRevoked, or what `SignedMessage.verify` raises.
    """
    return verified_by(kind, token, account, now, longest)[0]


def verified_by(
    kind: type[M], token: str, account: Account, now: float, longest: int = TOKEN_CHARS
) -> tuple[M, str]:
    """`verified`, and the thumbprint of the key that signed."""
    if account.thumbprint is None:
        raise NotEnrolled("Log in where the account is used, so that its key is made.")
    check_length(token, longest)
    key = db.session.get(CollectorKey, claimed_signer(token, kind.TYP))
    if key is None or key.account_id != account.id:
        raise BadSignature("signed by no key of this account")
    message = kind.verify(token, _pinned_key(key, account.collector), now)
    if key.revoked_at is not None:
        raise KeyRevoked("Use a device that was not removed.")
    return message, key.thumbprint


def check_length(token: str, longest: int = TOKEN_CHARS) -> None:
    """Raises InvalidEncoding for a message that is longer than any that is kept."""
    if len(token) > longest:
        raise InvalidEncoding(f"a collector's message has at most {longest} characters here")


def in_force(account_id: int) -> list[CollectorKey]:
    """The account's keys that were not removed, oldest first; the one no other signed leads."""
    return list(
        db.session.scalars(
            select(CollectorKey)
            .where(CollectorKey.account_id == account_id, CollectorKey.revoked_at.is_(None))
            .order_by(
                CollectorKey.added_at, CollectorKey.message.is_not(None), CollectorKey.thumbprint
            )
        )
    )


def public_jwk(row: CollectorKey) -> dict[str, Any]:
    """The public key of a row."""
    return json_object(row.key_jwk.encode())


def key_to_pin(jwk: Mapping[str, Any], collector: str, key_type: KeyType) -> PinnedKey:
    """A key that asks to be pinned: a passkey must be of this site."""
    url = services().config.public_url
    rp_id = rp_id_of(url) if key_type is KeyType.PASSKEY else None
    return PinnedKey(jwk, collector, key_type, rp_id, origins=(origin_of(url),))


def pin_first(account_id: int, jwk: Mapping[str, Any], key_type: KeyType) -> None:
    """Pins the first key of an account, unless it is; part of the caller's transaction.

    Raises KeyAlreadyPinned or KeyRevoked.
    """
    known = db.session.get(CollectorKey, thumbprint(jwk))
    if known is None:
        pin(account_id, key_to_pin(jwk, "", key_type), message=None, label="")
        return
    if known.revoked_at is not None:
        raise KeyRevoked("It was removed: connect this device anew.")
    if (known.account_id, known.type) != (account_id, key_type.value):
        raise KeyAlreadyPinned("This key belongs to another account: make a new one.")


def pin(account_id: int, key: PinnedKey, message: str | None, label: str) -> None:
    """Stores a key; part of the caller's transaction. Raises KeyAlreadyPinned."""
    thumb = thumbprint(key.jwk)
    if db.session.get(CollectorKey, thumb) is not None:
        raise KeyAlreadyPinned("Make a new key for this device.")
    db.session.add(
        CollectorKey(
            thumbprint=thumb,
            account_id=account_id,
            key_jwk=json.dumps(dict(key.jwk)),
            type=key.type.value,
            rp_id=key.rp_id,
            label=label,
            message=message,
            added_at=int(time.time()),
        )
    )


def read_key_type(text: str) -> KeyType:
    """`software` or `passkey`; raises InvalidEncoding."""
    try:
        return KeyType(text)
    except ValueError:
        raise InvalidEncoding("type is software or passkey") from None


def _pinned_key(row: CollectorKey, collector: str) -> PinnedKey:
    origin = origin_of(services().config.public_url)
    return PinnedKey(public_jwk(row), collector, KeyType(row.type), row.rp_id, origins=(origin,))
