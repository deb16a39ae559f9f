"""Counting: all that waits is compared with the key holder, batch by batch, and put in force once.

What makes it exactly once, whatever is killed, doubled or late: a batch's positions, its number and
its request are stored before the request is sent, the key holder answers the identical request
identically, and one transaction puts the answer in force and settles the batch. Whoever finds a
batch whose lease ran out goes on where it stands.
"""

from __future__ import annotations

import logging
import time

from app.aggregator.keyholder_client import KeyholderRefused, KeyholderUnavailable
from app.aggregator.services import services
from crypto.comparison.batches import decode_request
from crypto.comparison.fast import FastInitiator
from crypto.errors import CryptoError, SealBroken
from crypto.paillier import PublicKey
from workers.aggregation import assigning, batches, contents, moving, sessions
from workers.aggregation.assigning import ASIDE_SECONDS, LeasedBatch
from workers.aggregation.sessions import SessionNeeded
from workers.aggregation.settling import TallyInconsistent, settle

SESSION_ENDED = "session-ended"
ALREADY_SERVED = "batch-already-served"
POSITION_REFUSED = ("position-already-served", "position-out-of-order")

AGAIN_SECONDS = 2
"""When a batch that the key holder did not answer may be sent again."""

_log = logging.getLogger(__name__)


def count_waiting(seconds: float) -> bool:
    """Compare and count until nothing waits, and move what is under a retired Paillier key.

    Returns True if time ran out first.

    What cannot be settled now stays leased for a while, and is taken up again after that.

    Raises
    ------
    KeyholderUnavailable, KeyholderRefused : nothing is lost; it can be tried again.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        moved = moving.move_some(_now())
        leased = _next()
        if leased is None:
            if moved:
                continue
            return False
        try:
            _play(leased)
        except KeyholderUnavailable as error:
            batches.postpone(leased, _now() + AGAIN_SECONDS)
            _log.warning("a batch is left for later: %s", error.detail)
            # The key holder may be there, and fail with this batch only.
            _active_key()
        except (CryptoError, TallyInconsistent):
            _log.exception("a batch is left as it is")
    return True


def _next() -> LeasedBatch | None:
    """A batch that somebody left, else a new one."""
    seconds = services().config.lease_seconds
    left = assigning.take_over(_now(), seconds)
    if left is not None:
        return left
    key = _active_key()
    try:
        return assigning.assign(key, _now(), seconds)
    except SessionNeeded:
        sessions.open_session(key.key_id, _now())
        return assigning.assign(key, _now(), seconds)


def _active_key() -> PublicKey:
    """The key of new batches. Raises KeyholderUnavailable also while it only seems to be there:
    what cannot be sent had better be one batch later than many small ones now."""
    keyholder = services().keyholder
    key = keyholder.manifest().active_key
    if not keyholder.answered:
        raise KeyholderUnavailable("It did not answer a moment ago.")
    return key


def _play(leased: LeasedBatch) -> None:
    """Bring a batch to its end from where it stands."""
    request = batches.request_of(leased.name)
    try:
        session, key_id = sessions.evaluator(leased.name.session)
    except SealBroken:
        _session_lost(leased, sent=request is not None)
        return
    key = services().keyholder.key_in_use(key_id)
    if key is None:
        _log.error("a batch is left as it is: its Paillier key is not in use")
        return
    initiator = FastInitiator(key, session)
    if request is None:
        request = _request(leased, key, initiator)
        if request is None:
            return
    try:
        answer = services().keyholder.compare(request)
    except KeyholderRefused as refusal:
        _refused(leased, key_id, request, refusal)
        return
    outcomes = initiator.finish(request, answer)
    settle(leased.name, key, outcomes, decode_request(request).settled)


def _request(leased: LeasedBatch, key: PublicKey, initiator: FastInitiator) -> bytes | None:
    """A new request, stored; None if somebody else has the batch by now."""
    found = contents.items(leased.name, key)
    request = initiator.request(leased.name.number, found, batches.settled_names())
    seconds = services().config.lease_seconds
    return request if batches.keep_request(leased, request, _now(), seconds) else None


def _session_lost(leased: LeasedBatch, *, sent: bool) -> None:
    if sent:
        # It may have been served, and nobody can use the answer any more.
        batches.end_session(leased.name)
        _log.error("a batch is left as it is: its session cannot be unsealed (storage key lost)")
    else:
        _log.error("a session is given up: it cannot be unsealed (storage key lost)")
        batches.assign_anew(leased, ended=True)


def _refused(leased: LeasedBatch, key_id: str, request: bytes, refusal: KeyholderRefused) -> None:
    """The key holder served nothing of this request."""
    positions = decode_request(request).positions
    if not batches.is_ours(leased):
        # Somebody else brought it to its end, and told the key holder.
        return
    if refusal.slug == SESSION_ENDED:
        batches.assign_anew(leased, ended=True)
    elif (
        refusal.slug in POSITION_REFUSED
        and refusal.item is not None
        and 0 <= refusal.item < len(positions)
    ):
        _log.error("the key holder refuses a position, which is left aside: %s", refusal.slug)
        until = _now() + ASIDE_SECONDS
        batches.set_aside(leased, key_id, positions[refusal.item], until)
    else:
        if refusal.slug == ALREADY_SERVED:
            # Its number was used before, as by a database that was restored: no further one may be.
            batches.end_session(leased.name)
        _log.error("a batch is left as it is: the key holder refuses it: %s", refusal.slug)


def _now() -> int:
    return int(time.time())
