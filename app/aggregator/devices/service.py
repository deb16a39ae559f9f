"""How a further device gets the word of an older one, and how a device is removed.

A relays: it shows the new key to the older device and the signed answer to the new one. The person
compares the code of the key on both screens, so that A cannot pass another key off as the new one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update

from app.aggregator.devices.keys import (
    KeyAlreadyPinned,
    KeyRevoked,
    NotEnrolled,
    in_force,
    key_to_pin,
    pin,
    verified,
    verified_by,
)
from app.aggregator.tables import Account, CollectorKey, DeviceRequest, db
from app.common.database import in_transaction
from app.common.problems import InvalidRequest, NotFound, Problem
from crypto.encoding import new_id, sha256_hex
from crypto.errors import BadSignature
from crypto.jws import check_collector_jwk, thumbprint
from crypto.messages import Device, DeviceProof, DeviceRemoval, KeyType

MAX_LABEL = 40
MAX_REQUESTS = 10
"""Waiting, of one account."""
MAX_KEYS = 20
"""In force, of one account; the key holder takes as many."""
REQUEST_SECONDS = 86_400


class TooManyRequests(Problem):
    """Too many devices wait for approval already."""

    slug = "too-many-device-requests"
    title = "Too many devices are waiting"
    status = 409


class TooManyKeys(Problem):
    """The account has as many devices as one can have."""

    slug = "too-many-keys"
    title = "Too many devices"
    status = 409


class OwnKey(Problem):
    """A key was to end itself."""

    slug = "own-key"
    title = "A device cannot remove itself"
    status = 422


def ask(
    account: Account, key: Mapping[str, Any], key_type: KeyType, label: str
) -> tuple[str, bool]:
    """A new device's request: its id, and whether it is new. The same key has one.

    Raises:
        InvalidEncoding, InvalidRequest: no P-256 key, or no label of 1 to 40 characters.
        NotEnrolled: there is no older device that could sign.
        KeyAlreadyPinned: the key is in use. TooManyRequests: as its name says.
    """
    if account.thumbprint is None:
        raise NotEnrolled("This is the first device: it needs nobody's approval.")
    name = " ".join(label.split())
    if not 0 < len(name) <= MAX_LABEL or not name.isprintable():
        raise InvalidRequest(f"A device's name has 1 to {MAX_LABEL} printable characters.")
    jwk = check_collector_jwk(key)
    thumb, account_id = thumbprint(jwk), account.id

    def work() -> tuple[str, bool]:
        _lock(account_id)
        if db.session.get(CollectorKey, thumb) is not None:
            raise KeyAlreadyPinned("This key is in use: make a new one for this device.")
        _forget_old(account_id)
        waiting = _requests(account_id)
        for request in waiting:
            if request.thumbprint == thumb:
                return request.id, False
        if len(waiting) >= MAX_REQUESTS:
            raise TooManyRequests("Approve or refuse those that wait, or come back tomorrow.")
        made = DeviceRequest(
            id=new_id(),
            account_id=account_id,
            thumbprint=thumb,
            key_jwk=json.dumps(jwk),
            type=key_type.value,
            label=name,
            requested_at=int(time.time()),
        )
        db.session.add(made)
        return made.id, True

    return in_transaction(db, work)


def waiting(account: Account) -> list[DeviceRequest]:
    """The requests of an account that are not too old, oldest first."""
    oldest = int(time.time()) - REQUEST_SECONDS
    return [one for one in _requests(account.id) if one.requested_at > oldest]


def own_request(account: Account, request_id: str) -> DeviceRequest:
    """A request of this account. Raises NotFound."""
    found = db.session.get(DeviceRequest, request_id)
    if found is None or found.account_id != account.id:
        raise NotFound("You have no such request, or it was refused.")
    return found


def approve(account: Account, request_id: str, token: str) -> None:
    """Keeps an older device's word for a request.

    Raises NotFound, CryptoError, KeyRevoked, or InvalidRequest: it speaks of another key.
    """
    asked = own_request(account, request_id)
    signed = verified(Device, token, account, time.time())
    named = (signed.collector, signed.thumbprint, signed.type.value)
    if named != (account.collector, asked.thumbprint, asked.type):
        raise InvalidRequest("The message speaks of another key than the request.")
    in_transaction(
        db,
        lambda: db.session.execute(
            update(DeviceRequest).where(DeviceRequest.id == request_id).values(device=token)
        ),
    )


def refuse(account: Account, request_id: str) -> None:
    """Drops a request. Raises NotFound."""
    own_request(account, request_id)
    in_transaction(
        db,
        lambda: db.session.execute(delete(DeviceRequest).where(DeviceRequest.id == request_id)),
    )


def add(account: Account, token: str, proof: str) -> tuple[str, bool]:
    """Pins a further key by an older one's word; its thumbprint, and whether it is new.

    Raises CryptoError, KeyRevoked, KeyAlreadyPinned or TooManyKeys.
    """
    now = time.time()
    signed, signer = verified_by(Device, token, account, now)
    if signed.collector != account.collector:
        raise InvalidRequest("The message speaks of another account.")
    key = key_to_pin(signed.key, account.collector, signed.type)
    proven = DeviceProof.verify(proof, key, now)
    if (proven.device_sha256, proven.jti) != (sha256_hex(token.encode()), signed.jti):
        raise BadSignature("the proof is for another device message")
    account_id, thumb = account.id, signed.thumbprint

    def work() -> bool:
        _lock(account_id)
        _require_in_force(signer)
        known = db.session.get(CollectorKey, thumb)
        if known is not None:
            here = (known.account_id, known.type, known.revoked_at)
            if here != (account_id, signed.type.value, None):
                raise KeyAlreadyPinned("Make a new key for this device.")
            return False
        if len(in_force(account_id)) >= MAX_KEYS:
            raise TooManyKeys("Remove one that is not used any more.")
        asked = next((one for one in _requests(account_id) if one.thumbprint == thumb), None)
        pin(account_id, key, token, "" if asked is None else asked.label)
        if asked is not None:
            db.session.delete(asked)
        return True

    return thumb, in_transaction(db, work)


def remove(account: Account, token: str) -> str:
    """Ends a key by the word of another one; again is harmless. Returns its thumbprint.

    Raises CryptoError, KeyRevoked, OwnKey or NotFound.
    """
    signed, signer = verified_by(DeviceRemoval, token, account, time.time())
    if signed.collector != account.collector:
        raise InvalidRequest("The message speaks of another account.")
    if signed.thumbprint == signer:
        raise OwnKey("Remove it from another device.")
    account_id = account.id

    def work() -> None:
        _lock(account_id)
        _require_in_force(signer)
        known = db.session.get(CollectorKey, signed.thumbprint)
        if known is None or known.account_id != account_id:
            raise NotFound("You have no such device.")
        if known.revoked_at is None:
            known.revoked_at = int(time.time())

    in_transaction(db, work)
    return signed.thumbprint


def _lock(account_id: int) -> None:
    """Changes of one account's keys take turns."""
    db.session.execute(select(Account.id).where(Account.id == account_id).with_for_update())


def _require_in_force(thumb: str) -> None:
    key = db.session.get_one(CollectorKey, thumb, populate_existing=True)
    if key.revoked_at is not None:
        raise KeyRevoked("Use a device that was not removed.")


def _requests(account_id: int) -> list[DeviceRequest]:
    return list(
        db.session.scalars(
            select(DeviceRequest)
            .where(DeviceRequest.account_id == account_id)
            .order_by(DeviceRequest.requested_at, DeviceRequest.id)
        )
    )


def _forget_old(account_id: int) -> None:
    db.session.execute(
        delete(DeviceRequest).where(
            DeviceRequest.account_id == account_id,
            DeviceRequest.requested_at <= int(time.time()) - REQUEST_SECONDS,
        )
    )
