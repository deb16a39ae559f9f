"""A doctor's patients, and healthy ranges encrypted before they leave the doctor."""

from __future__ import annotations

import time
from dataclasses import dataclass

from client.collector import Collector, now
from client.errors import BadAnswer, RangeRefused, StillWaiting
from client.openings import open_range_check
from client.service import field, patiently
from crypto.encoding import b64u, new_id
from crypto.messages import RangeProposal
from crypto.slots import OPERATING_POINT, SCORE_BITS, pack_range

_HIGHEST = (1 << SCORE_BITS) - 1
_PAUSE_SECONDS = 0.5
_RESEND_SECONDS = 60.0
_NOT_VALID = "The servers compared the limits: they are out of order or out of range."


@dataclass(frozen=True, repr=False)
class HealthyRange:
    """A recording is abnormal by sound from `threshold` on (0..65,535), and by heart rate below
    `lo` or above `hi` (tenths of bpm). Raises RangeRefused when it makes no sense."""

    lo: int
    hi: int
    threshold: int = OPERATING_POINT

    def __post_init__(self) -> None:
        if not all(0 <= value <= _HIGHEST for value in (self.lo, self.hi, self.threshold)):
            raise RangeRefused(f"Limits lie from 0 to {_HIGHEST} (heart rates: tenths of bpm).")
        if self.hi == _HIGHEST:
            raise RangeRefused(f"The upper limit of the heart rate is at most {_HIGHEST - 1}.")
        if self.lo > self.hi:
            raise RangeRefused("The lower limit of the heart rate is above the upper one.")

    def __repr__(self) -> str:
        return "HealthyRange"


@dataclass(frozen=True)
class Patient:
    """A consenting patient of this doctor. `range_state` is None without a range of any doctor."""

    pseudonym: str
    display_name: str
    range_state: str | None


def patients(collector: Collector) -> list[Patient]:
    """Who consents to this doctor now."""
    rows = field(collector.aggregator.get("/api/patients"), "patients", list)
    return [_patient(row) for row in rows]


def set_range(
    collector: Collector, pseudonym: str, healthy: HealthyRange, seconds: float = 120.0
) -> str:
    """Encrypts and proposes a range, waits until the servers compared its limits, opens that check
    and accepts the range; returns its id. It counts for recordings compared from then on.

    Raises RangeRefused if the check fails, StillWaiting after `seconds`.
    """
    range_id = propose(collector, pseudonym, healthy)
    _wait_until_checked(collector, range_id, seconds)
    digest = open_range_check(collector, range_id)
    state = decide(collector, range_id, digest)
    if digest is None or state != "active":
        raise RangeRefused(_NOT_VALID)
    return range_id


def propose(collector: Collector, pseudonym: str, healthy: HealthyRange) -> str:
    """Encrypts the limits under the key holder's key, signs them and sends them."""
    collector.fetch_manifest()
    key = collector.manifest.active_key
    packed = pack_range(key.bits, healthy.threshold, healthy.lo, healthy.hi)
    signed = RangeProposal(
        range=new_id(),
        pseudonym=pseudonym,
        key_id=key.key_id,
        bounds=key.encrypt(packed).to_wire(),
        iat=now(),
    )
    token = signed.sign(collector.identity.key)
    answer = collector.aggregator.post(f"/api/patients/{pseudonym}/ranges", range=token)
    if field(answer, "range", str) != signed.range:
        raise BadAnswer("The aggregator took another range than the one it was sent.")
    return signed.range


def decide(collector: Collector, range_id: str, digest: bytes | None) -> str:
    """Puts a checked range in force by the key holder's digest, or drops it; returns its state.

    Raises Refused (`range-not-valid`) for any other digest, which ends the range.
    """
    proof = {"accept": False} if digest is None else {"accept": True, "digest": b64u(digest)}
    answer = collector.aggregator.post(f"/api/ranges/{range_id}/decision", **proof)
    return field(answer, "state", str)


def range_state(collector: Collector, range_id: str) -> str:
    """`proposed`, `checked`, `active`, `refused` or `replaced`."""
    return field(collector.aggregator.get(f"/api/ranges/{range_id}"), "state", str)


def _wait_until_checked(collector: Collector, range_id: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (
        state := patiently(lambda: range_state(collector, range_id), _RESEND_SECONDS)
    ) == "proposed":
        if time.monotonic() > deadline:
            raise StillWaiting("The servers have not compared the limits yet. Try again later.")
        time.sleep(_PAUSE_SECONDS)
    if state == "refused":
        raise RangeRefused(_NOT_VALID)
    if state != "checked":
        raise RangeRefused(f"The range is {state} by now: it was decided elsewhere.")


def _patient(row: object) -> Patient:
    if not isinstance(row, dict):
        raise BadAnswer("The aggregator's list of patients cannot be read.")
    healthy = row.get("range")
    return Patient(
        pseudonym=field(row, "pseudonym", str),
        display_name=field(row, "display_name", str),
        range_state=field(healthy, "state", str) if isinstance(healthy, dict) else None,
    )
