"""The keys of collectors: whose signature a message carries, and whether that key is in force."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TypeVar

from app.common.problems import NotAllowed, Problem
from app.keyholder.context import keyholder
from app.keyholder.tables import TOKEN_CHARS, Collector, CollectorKey, db
from crypto.encoding import json_bytes, json_object
from crypto.errors import BadSignature, InvalidEncoding
from crypto.jws import claimed_signer, thumbprint
from crypto.messages import KeyType, PinnedKey, SignedMessage
from crypto.webauthn import origin_of, rp_id_of

M = TypeVar("M", bound=SignedMessage)


class NotEnrolled(NotAllowed):
    """The collector has no key here."""

    slug = "not-enrolled"
    title = "No key is enrolled for this collector"


class KeyRevoked(NotAllowed):
    """The key that signed was a collector's and is not any more."""

    slug = "key-revoked"
    title = "This key was removed"


class KeyTaken(Problem):
    """The key is another collector's, or was removed before, or is here as another type."""

    slug = "key-taken"
    title = "This key cannot be added"
    status = 409


def pinned(collector: str) -> Collector:
    """The enrolled collector; raises NotEnrolled."""
    row = db.session.get(Collector, collector)
    if row is None:
        raise NotEnrolled("Enrol the collector's key first.")
    return row


def verified(
    kind: type[M], token: str, collector: str, now: float, longest: int = TOKEN_CHARS
) -> tuple[M, str]:
    """A message that a key in force of this collector signed, and that key's thumbprint.

    Raises NotEnrolled, KeyRevoked, or what `SignedMessage.verify` raises.
    """
    pinned(collector)
    check_length(token, longest)
    key = db.session.get(CollectorKey, claimed_signer(token, kind.TYP))
    if key is None or key.collector != collector:
        raise BadSignature("signed by no key of this collector")
    message = kind.verify(token, pinned_key(key), now)
    if key.revoked_at is not None:
        raise KeyRevoked("Use a device that was not removed.")
    return message, key.thumbprint


def check_length(token: str, longest: int = TOKEN_CHARS) -> None:
    """Raises InvalidEncoding for a message that is longer than any that is kept."""
    if len(token) > longest:
        raise InvalidEncoding(f"a collector's message has at most {longest} characters here")


def lock(collector: str) -> Collector:
    """Holds everything that depends on a collector's keys until the transaction ends."""
    return db.session.get_one(Collector, collector, with_for_update=True)


def lock_signer(collector: str, thumb: str) -> Collector:
    """`lock`, for what a key has signed. Raises KeyRevoked: it was removed meanwhile."""
    row = lock(collector)
    key = db.session.get_one(CollectorKey, thumb, populate_existing=True)
    if key.revoked_at is not None:
        raise KeyRevoked("Use a device that was not removed.")
    return row


def in_force(collector: str) -> list[CollectorKey]:
    """The collector's keys that were not revoked, oldest first."""
    query = (
        db.select(CollectorKey)
        .filter_by(collector=collector, revoked_at=None)
        .order_by(CollectorKey.added_at, CollectorKey.thumbprint)
    )
    return list(db.session.scalars(query))


def pinned_key(row: CollectorKey) -> PinnedKey:
    """What the messages of a stored key are verified with."""
    jwk = json_object(row.key_jwk.encode())
    return PinnedKey(jwk, row.collector, KeyType(row.type), row.rp_id, origins=(_origin(),))


def key_to_pin(jwk: Mapping[str, Any], collector: str, kind: KeyType) -> PinnedKey:
    """A key that asks to be pinned: a passkey must be of A's site."""
    rp_id = rp_id_of(keyholder().config.aggregator_url) if kind is KeyType.PASSKEY else None
    return PinnedKey(jwk, collector, kind, rp_id, origins=(_origin(),))


def pin(key: PinnedKey, message: str, added_by: str | None) -> None:
    """Stores a key; part of the caller's transaction. Raises KeyTaken."""
    thumb = thumbprint(key.jwk)
    if db.session.get(CollectorKey, thumb) is not None:
        raise KeyTaken("Make a new key for this device.")
    db.session.add(
        CollectorKey(
            thumbprint=thumb,
            collector=key.collector,
            key_jwk=json_bytes(key.jwk).decode(),
            type=key.type.value,
            rp_id=key.rp_id,
            message=message,
            added_by=added_by,
            added_at=int(time.time()),
            revoked_at=None,
        )
    )


def _origin() -> str:
    return origin_of(keyholder().config.aggregator_url)
