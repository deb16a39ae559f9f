"""Batches of comparisons with the aggregator (docs/protocol.md, section 5).

A batch takes up to some seconds of computing. No database transaction is open meanwhile: the batch
is looked up, computed and stored, and if another process stored the same one first, its answer is
sent by both.
"""

from __future__ import annotations

import logging

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.requests import require_service
from app.keyholder.context import keyholder
from app.keyholder.restored import is_restored
from app.keyholder.served import Batch, keep, recall
from app.keyholder.sessions import SessionEnded, add_session, end_session, held_session
from app.keyholder.tables import db
from crypto.comparison.base_transfer import TRANSFERS
from crypto.comparison.batches import decode_request
from crypto.comparison.parameters import MAX_ITEMS, Layout, Parameters
from crypto.comparison.session import GarblerSession, accept_session
from crypto.encoding import sha256_hex
from crypto.errors import SealBroken
from crypto.keyholder.fast import FastResponder
from crypto.messages import Audience
from crypto.paillier import PublicKey

_MAX_SESSION_BYTES = 1024

_log = logging.getLogger(__name__)

blueprint = Blueprint("comparisons", __name__)


@blueprint.post("/v1/comparison-sessions")
def open_session() -> ResponseReturnValue:
    session, answer = accept_session(_body(_MAX_SESSION_BYTES))
    in_transaction(db, lambda: add_session(session))
    return _reply(answer)


@blueprint.post("/v1/comparisons")
def compare() -> ResponseReturnValue:
    keys = keyholder().keys
    longest = max(max_body_bytes(one.private.public) for one in keys.all_paillier)
    body = _body(longest)
    batch = Batch(decode_request(body), sha256_hex(body))
    keys.in_use(batch.request.key_id)
    try:
        return _reply(_serve(batch))
    except SealBroken as error:
        name = batch.request.name.session
        _log.warning("session %s of comparisons is ended: %s", name, error)
        in_transaction(db, lambda: end_session(name))
        raise SessionEnded("It cannot go on: open a new session.") from None


def max_body_bytes(public: PublicKey) -> int:
    """Above the largest honest batch, one of range checks only."""
    bits = Layout(Parameters(), public.bits, recordings=0, ranges=MAX_ITEMS).range_bits
    columns = TRANSFERS * (bits // 8 + 64)
    return 1024 + MAX_ITEMS * (public.ciphertext_bytes + 256) + columns


def _serve(batch: Batch) -> bytes:
    keys = keyholder().keys
    responder = FastResponder(keys.in_use(batch.request.key_id), keys.masks)
    ready = in_transaction(db, lambda: _known_or_session(batch, responder))
    if isinstance(ready, bytes):
        return ready
    if ready is None:
        _log.warning("session %s of comparisons is ended", batch.request.name.session)
        raise SessionEnded("The transferred columns do not agree: open a new session.")
    served = responder.answer(ready, batch.request)
    return in_transaction(db, lambda: keep(batch, served))


def _known_or_session(batch: Batch, responder: FastResponder) -> bytes | GarblerSession | None:
    """The stored answer, or what is needed to compute it; None: A cheated, the session is over.

    The session is held while the transfer is checked, some milliseconds. So what A sends at one
    moment is checked one after the other, and the first wrong guess of its offset is the last one.
    """
    known = recall(batch)
    if known is not None:
        return known
    b = keyholder()
    if batch.request.key_id in b.keys.retired and is_restored(b.config.secrets):
        raise SessionEnded("What was served under this key is not remembered: use the active one.")
    name = batch.request.name.session
    session = held_session(name)
    if responder.agrees(session, batch.request):
        return session
    end_session(name)
    return None


def _body(limit: int) -> bytes:
    request.max_content_length = limit
    require_service(keyholder().statement_key.current(), Audience.KEYHOLDER)
    return request.get_data()


def _reply(message: bytes) -> Response:
    return Response(message, mimetype="application/msgpack")
