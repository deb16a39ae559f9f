"""Further devices: a key in force takes another one in, or ends another one."""

from __future__ import annotations

import time

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.problems import NotFound, Problem
from app.common.requests import json_body
from app.keyholder.collector_keys import (
    KeyTaken,
    in_force,
    key_to_pin,
    lock_signer,
    pin,
    pinned,
    verified,
)
from app.keyholder.log import Event, append
from app.keyholder.tables import CollectorKey, db
from crypto.encoding import sha256_hex
from crypto.errors import BadSignature
from crypto.messages import Device, DeviceProof, DeviceRemoval, LogKind, PinnedKey

MAX_KEYS = 20
"""In force, of one collector."""

blueprint = Blueprint("devices", __name__)


class TooManyKeys(Problem):
    """The collector has as many devices as one can have."""

    slug = "too-many-keys"
    title = "Too many devices"
    status = 409


class OwnKey(Problem):
    """A key was to end itself: the last one could go that way."""

    slug = "own-key"
    title = "A device cannot remove itself"
    status = 422


@blueprint.post("/v1/devices")
def add() -> ResponseReturnValue:
    body = json_body(device=str, proof=str)
    token, now = body["device"], time.time()
    device, signer = verified(Device, token, Device.claimed(token).collector, now)
    key = key_to_pin(device.key, device.collector, device.type)
    proven = DeviceProof.verify(body["proof"], key, now)
    if (proven.device_sha256, proven.jti) != (sha256_hex(token.encode()), device.jti):
        raise BadSignature("the proof is for another device message")
    created = in_transaction(db, lambda: _add(device, key, token, signer))
    answer = jsonify(
        collector=device.collector,
        thumbprint=device.thumbprint,
        root=pinned(device.collector).thumbprint,
    )
    return answer, 201 if created else 200


@blueprint.post("/v1/device-removals")
def remove() -> ResponseReturnValue:
    token = json_body(removal=str)["removal"]
    claim = DeviceRemoval.claimed(token)
    removal, signer = verified(DeviceRemoval, token, claim.collector, time.time())
    if removal.thumbprint == signer:
        raise OwnKey("Remove it from another device.")
    in_transaction(db, lambda: _remove(removal, token, signer))
    return jsonify(thumbprint=removal.thumbprint)


def _add(device: Device, key: PinnedKey, token: str, signer: str) -> bool:
    """Whether the key is new."""
    lock_signer(device.collector, signer)
    known = db.session.get(CollectorKey, device.thumbprint)
    if known is not None:
        here = (known.collector, known.type, known.revoked_at)
        if here != (device.collector, device.type.value, None):
            raise KeyTaken("Make a new key for this device.")
        return False
    if len(in_force(device.collector)) >= MAX_KEYS:
        raise TooManyKeys("Remove one that is not used any more.")
    pin(key, token, added_by=signer)
    append(
        Event(
            pseudonym=device.collector,
            actor=device.collector,
            thumbprint=signer,
            kind=LogKind.DEVICE,
            subject=device.thumbprint,
            message=token,
        )
    )
    return True


def _remove(removal: DeviceRemoval, token: str, signer: str) -> None:
    lock_signer(removal.collector, signer)
    known = db.session.get(CollectorKey, removal.thumbprint)
    if known is None or known.collector != removal.collector:
        raise NotFound("You have no such device.")
    if known.revoked_at is not None:
        return
    known.revoked_at = int(time.time())
    append(
        Event(
            pseudonym=removal.collector,
            actor=removal.collector,
            thumbprint=signer,
            kind=LogKind.DEVICE_REMOVAL,
            subject=removal.thumbprint,
            message=token,
        )
    )
