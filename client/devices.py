"""Further devices of an account: a new one asks, an old one signs, the person compares the code."""

from __future__ import annotations

import time
from dataclasses import dataclass

from client.collector import Collector, now
from client.errors import BadAnswer, CodeUnknown, StillWaiting
from client.grants import normalised_code
from client.log import read
from client.service import field, patiently
from crypto.encoding import check_id, new_id, sha256_hex
from crypto.jws import check_collector_jwk, doctor_code, thumbprint
from crypto.messages import Device, DeviceProof, DeviceRemoval, KeyType

_PAUSE_SECONDS = 2.0
_RESEND_SECONDS = 30.0


@dataclass(frozen=True)
class Waiting:
    """A device that waits for approval; `code` was computed here from its key."""

    request: str
    key: dict[str, str]
    type: KeyType
    label: str
    code: str


@dataclass(frozen=True)
class Listed:
    """A device whose key is in force at the key holder. `label` is None if A does not know it."""

    thumbprint: str
    type: str
    label: str | None
    added_at: int
    own: bool


def request(collector: Collector, label: str) -> str:
    """Asks for this device to be taken in; the code to compare. Again is harmless."""
    key = collector.identity.key
    answer = collector.aggregator.post(
        "/api/devices/requests", key=key.public_jwk, type=KeyType.SOFTWARE.value, label=label
    )
    asked = check_id(field(answer, "request", str))
    collector.profile.keep_waiting({"for": "device", "request": asked})
    return doctor_code(key.thumbprint)


def finish(collector: Collector, seconds: float) -> None:
    """Waits until another device has signed, and tells both servers.

    Raises StillWaiting after `seconds`: it can be called again. BadAnswer: nothing was asked for.
    """
    waiting = collector.profile.waiting()
    if waiting is None or waiting.get("for") != "device":
        raise BadAnswer("This device asked for nothing, or was taken in already.")
    path = f"/api/devices/requests/{check_id(waiting.get('request'))}"
    deadline = time.monotonic() + seconds
    while True:
        token = patiently(lambda: collector.aggregator.get(path), _RESEND_SECONDS).get("device")
        if isinstance(token, str):
            break
        if time.monotonic() > deadline:
            raise StillWaiting("No other device has approved this one yet. Look again later.")
        time.sleep(_PAUSE_SECONDS)
    _take_in(collector, token)
    collector.profile.forget_waiting()


def _take_in(collector: Collector, token: str) -> None:
    key = collector.identity.key
    signed = Device.claimed(token)  # by whom is for both servers to check
    if (signed.collector, signed.thumbprint) != (collector.pseudonym, key.thumbprint):
        raise BadAnswer("The other device has signed for another key than this one's.")
    proof = DeviceProof(device_sha256=sha256_hex(token.encode()), jti=signed.jti).sign(key)
    answer = patiently(
        lambda: collector.keyholder.post("/v1/devices", device=token, proof=proof),
        _RESEND_SECONDS,
    )
    if field(answer, "root", str) != collector.identity.root:
        raise BadAnswer("The aggregator named another first key than the key holder.")
    patiently(
        lambda: collector.aggregator.post("/api/devices", device=token, proof=proof),
        _RESEND_SECONDS,
    )


def waiting(collector: Collector) -> list[Waiting]:
    """The devices of this account that wait for approval."""
    rows = field(collector.aggregator.get("/api/devices"), "requests", list)
    return [_waiting(row) for row in rows if not (isinstance(row, dict) and row.get("approved"))]


def approve(collector: Collector, code: str) -> Waiting:
    """Signs for the device that shows this code. Raises CodeUnknown if none of that code waits.

    The code is computed here from the key: whoever relays keys cannot pass off another one.
    """
    code = normalised_code(code)
    for one in waiting(collector):
        if one.code == code:
            break
    else:
        raise CodeUnknown(
            "No device with this code waits. Compare the code that the new device shows; if it is "
            "right, somebody may have put another key in its place: tell the clinic."
        )
    signed = Device(
        collector=collector.pseudonym, key=one.key, type=one.type, jti=new_id(), iat=now()
    )
    path = f"/api/devices/requests/{one.request}/approval"
    collector.aggregator.post(path, device=signed.sign(collector.identity.key))
    return one


def listed(collector: Collector) -> list[Listed]:
    """The devices in force at the key holder, named as the aggregator knows them."""
    labels = {}
    for row in field(collector.aggregator.get("/api/devices"), "devices", list):
        if isinstance(row, dict):
            labels[row.get("thumbprint")] = row.get("label")
    history, _ = read(collector)
    return [
        Listed(
            thumbprint=key.thumbprint,
            type=key.type,
            label=labels.get(key.thumbprint),
            added_at=key.added_at,
            own=key.thumbprint == collector.identity.key.thumbprint,
        )
        for key in history.keys
    ]


def remove(collector: Collector, beginning: str) -> str:
    """Ends the device whose thumbprint begins like this; its thumbprint.

    Raises CodeUnknown unless it is exactly one. What it has signed before stays.
    """
    found = [one for one in listed(collector) if one.thumbprint.startswith(beginning)]
    if len(found) != 1:
        raise CodeUnknown("No device, or more than one, begins like this: see `device list`.")
    (device,) = found
    message = DeviceRemoval(
        collector=collector.pseudonym, thumbprint=device.thumbprint, jti=new_id(), iat=now()
    )
    token = message.sign(collector.identity.key)
    for call in (
        lambda: collector.keyholder.post("/v1/device-removals", removal=token),
        lambda: collector.aggregator.post("/api/devices/removals", removal=token),
    ):
        patiently(call, _RESEND_SECONDS)
    return device.thumbprint


def _waiting(row: object) -> Waiting:
    if not isinstance(row, dict):
        raise BadAnswer("The aggregator's list of devices cannot be read.")
    key = check_collector_jwk(field(row, "key", dict))
    try:
        kind = KeyType(field(row, "type", str))
    except ValueError:
        raise BadAnswer("The aggregator named a kind of key that there is not.") from None
    return Waiting(
        request=check_id(field(row, "request", str)),
        key=key,
        type=kind,
        label=field(row, "label", str),
        code=doctor_code(thumbprint(key)),
    )
