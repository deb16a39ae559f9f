"""Counting: each reported recording is compared with the key holder and added to its tally, once.

What makes it exactly once, whatever is killed, doubled or late: a recording gets its number and its
seed in one transaction before the first message; every message derives from them, so B answers a
repetition identically; and one transaction advances the tally from number - 1 to number and ends
the recording. Whoever comes second finds the tally advanced and changes nothing.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy import select, update

from app.aggregator.keyholder_client import KeyholderRefused
from app.aggregator.recordings.lifecycle import mark_counted, mark_void
from app.aggregator.services import services
from app.aggregator.tables import Comparison, Tally, db
from app.common.database import changes_a_row, in_transaction
from crypto.comparison.messages import RecordingPosition
from crypto.errors import CryptoError
from crypto.findings import DEFAULT_RATE_RANGES, AgeBand, FindingInputs, contribution
from crypto.paillier import PublicKey
from crypto.slots import OPERATING_POINT, pack_range
from workers.aggregation.rounds import Compared, compare, give_up
from workers.aggregation.tallies import (
    AssignedPosition,
    TallyName,
    first_waiting,
    give_back,
    next_position,
    take,
    tally_of,
)

ALREADY_SERVED = "position-already-served"

_log = logging.getLogger(__name__)


class KeyNotActive(Exception):
    """A report is under a Paillier key that is not in force: it waits until that is settled."""


class TallyInconsistent(Exception):
    """A recording is not waiting although its number is the tally's next: nothing was changed."""


def count_waiting(recording_id: str, seconds: float) -> str | None:
    """Count every recording that waits for the same tally as this one, in the order of upload.

    Stops after about `seconds` and returns a recording that still waits, to be queued again; None
    when none is left or another worker holds the tally.

    Raises
    ------
    KeyholderUnavailable, KeyholderRefused, KeyNotActive : nothing is lost; it can be tried again.
    """
    tally = tally_of(recording_id)
    if tally is None:
        return None
    key = services().keyholder.paillier_key(tally.key_id)
    if key is None:
        raise KeyNotActive("The report's Paillier key is not the active one.")
    deadline = time.monotonic() + seconds
    while True:
        token = take(tally, key, _now(), services().config.lease_seconds)
        if token is None:
            return None
        try:
            while position := _next(tally, token):
                _count(tally, key, position)
                if time.monotonic() > deadline:
                    return first_waiting(tally)
        finally:
            give_back(tally, token)
        # One reported while this worker held the tally had its message turned away: look again.
        if first_waiting(tally) is None:
            return None


def _next(tally: TallyName, token: str) -> AssignedPosition | None:
    around = services()
    return next_position(
        tally, token, around.secrets.storage_key, _now(), around.config.lease_seconds
    )


def _count(tally: TallyName, key: PublicKey, position: AssignedPosition) -> None:
    compared = _compared(tally, key, position)
    in_transaction(db, lambda: _add(tally, key, position, compared))


def _compared(tally: TallyName, key: PublicKey, position: AssignedPosition) -> Compared:
    """What B made of the position, given up if it cannot be compared any more.

    The number is taken and must be served, or nothing after it ever could be.
    """
    at = RecordingPosition(tally.pseudonym, tally.day, position.number)
    keyholder = services().keyholder
    inputs = _inputs_if_whole(key, position)
    if inputs is None or position.seed is None:
        _log.error("a recording cannot be compared: its report, range or seed is damaged")
        return give_up(keyholder, key, at)
    try:
        return compare(keyholder, key, at, inputs.differences(key), position.seed)
    except KeyholderRefused as refusal:
        if refusal.slug != ALREADY_SERVED:
            raise
        # Damaged after the first round, so that what is derived now differs from what B was sent.
        # If B finished the position, it refuses this too.
        _log.error("a recording cannot be compared: it is not what the first round was about")
        return give_up(keyholder, key, at)


def _inputs_if_whole(key: PublicKey, position: AssignedPosition) -> FindingInputs | None:
    try:
        return _inputs(key, position)
    except CryptoError:
        return None


def _inputs(key: PublicKey, position: AssignedPosition) -> FindingInputs:
    if position.bounds is None:
        lo, hi = DEFAULT_RATE_RANGES[AgeBand(position.age_band)]
        bounds = key.constant(pack_range(key.bits, OPERATING_POINT, lo, hi))
    else:
        bounds = key.parse(position.bounds)
    return FindingInputs(key.parse(position.report), bounds)


def _add(tally: TallyName, key: PublicKey, position: AssignedPosition, compared: Compared) -> bool:
    """Part of one transaction: the tally advances and the recording ends. False: done already."""
    held = db.session.execute(
        select(Tally.recordings, Tally.ciphertext).where(tally.row).with_for_update()
    ).one()
    if held.recordings != position.number - 1:
        return False
    total = key.parse(held.ciphertext).add(contribution(compared.bits, compared.mask))
    changes_a_row(
        db,
        update(Tally)
        .where(tally.row, Tally.recordings == position.number - 1)
        .values(recordings=position.number, ciphertext=total.to_bytes()),
    )
    ended = mark_void if compared.bits is None else mark_counted
    if not ended(position.recording, _now()):
        raise TallyInconsistent("A numbered recording is not waiting to be counted.")
    changes_a_row(
        db,
        update(Comparison)
        .where(Comparison.recording_id == position.recording)
        .values(sealed_seed=None),
    )
    return True


def _now() -> int:
    return int(time.time())
