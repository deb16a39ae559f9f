"""The two rounds of a batch of comparisons with the aggregator (docs/protocol.md, section 5).

A comparison takes about a second of computing. No database transaction is open meanwhile: the
position is looked up, computed and stored, and whoever computed the same one in another process and
stored it first has its answer sent by both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.problems import InvalidRequest, Problem, problem_from_crypto
from app.common.requests import require_service
from app.keyholder.context import keyholder
from app.keyholder.served import Asked, keep, recall
from app.keyholder.tables import db
from crypto.comparison import messages
from crypto.comparison.messages import FirstItem, SecondItem
from crypto.encoding import sha256_hex
from crypto.errors import CryptoError, ForeignKey
from crypto.keyholder.reference import ReferenceResponder
from crypto.messages import Audience
from crypto.slots import SCORE_BITS, ZONES

MAX_ITEMS = 32
"""Positions in one request: half a minute of computing."""

# One request sent twice is computed once: the second waits here, then finds the stored answer.
_COMPUTING = [threading.Lock() for _ in range(64)]

Item = TypeVar("Item", FirstItem, SecondItem)

blueprint = Blueprint("comparisons", __name__)


@blueprint.post("/v1/comparisons/first")
def first_round() -> ResponseReturnValue:
    key_id, items = _read(messages.decode_first_request)
    responder = _responder()
    answers = _serve(
        [_asked_first(key_id, item) for item in items],
        lambda i: messages.encode_first_answer([responder.first(items[i])]),
    )
    return _reply(
        messages.encode_first_answer(
            part for answer in answers for part in messages.decode_first_answer(answer)
        )
    )


@blueprint.post("/v1/comparisons/second")
def second_round() -> ResponseReturnValue:
    key_id, items = _read(messages.decode_second_request)
    responder = _responder()
    answers = _serve(
        [_asked_second(key_id, item) for item in items],
        lambda i: messages.encode_second_answer([responder.second(items[i])]),
    )
    return _reply(
        messages.encode_second_answer(
            part for answer in answers for part in messages.decode_second_answer(answer)
        )
    )


def _read(decode: Callable[[bytes], tuple[str, list[Item]]]) -> tuple[str, list[Item]]:
    public = keyholder().keys.paillier.public
    request.max_content_length = _max_body_bytes(public.ciphertext_bytes)
    require_service(keyholder().statement_key.current(), Audience.KEYHOLDER)
    key_id, items = decode(request.get_data())
    if key_id != public.key_id:
        raise ForeignKey("not under the active key: fetch the manifest")
    if len(items) > MAX_ITEMS:
        raise InvalidRequest(f"At most {MAX_ITEMS} positions in one request.")
    return key_id, items


def _max_body_bytes(ciphertext_bytes: int) -> int:
    ciphertexts = 1 + ZONES * (SCORE_BITS + 1)
    return 1024 + MAX_ITEMS * (512 + ciphertexts * (ciphertext_bytes + 8))


def _serve(asked: Sequence[Asked], compute: Callable[[int], bytes]) -> list[bytes]:
    """The answer of each item.

    All are looked up before anything is computed: a batch with an item out of turn is refused
    whole. The member `item` of the problem says which one it was.
    """
    for index, item in enumerate(asked):
        with _naming(index):
            _look_up(item)
    answers = []
    for index, item in enumerate(asked):
        with _naming(index):
            answers.append(_serve_one(item, partial(compute, index)))
    return answers


def _serve_one(asked: Asked, compute: Callable[[], bytes]) -> bytes:
    with _COMPUTING[hash(asked.name) % len(_COMPUTING)]:
        known = _look_up(asked)
        if known is not None:
            return known
        answer = compute()
        return in_transaction(db, lambda: keep(asked, answer))


def _look_up(asked: Asked) -> bytes | None:
    """The stored answer; the transaction is over before anything is computed."""
    return in_transaction(db, lambda: recall(asked))


@contextmanager
def _naming(index: int) -> Iterator[None]:
    """Names the item that a problem is about."""
    try:
        yield
    except Problem as problem:
        problem.members["item"] = index
        raise
    except CryptoError as error:
        refusal = problem_from_crypto(error)
        refusal.members["item"] = index
        raise refusal from None


def _asked_first(key_id: str, item: FirstItem) -> Asked:
    digest = _first_digest(key_id, item)
    return Asked(key_id, item.position, 1, digest, digest)


def _asked_second(key_id: str, item: SecondItem) -> Asked:
    return Asked(
        key_id,
        item.position,
        2,
        digest=sha256_hex(messages.encode_second_request(key_id, [item])),
        first_digest=_first_digest(key_id, FirstItem(item.position, item.count, item.masked)),
        gives_up=not item.tests,
    )


def _first_digest(key_id: str, item: FirstItem) -> str:
    return sha256_hex(messages.encode_first_request(key_id, [item]))


def _responder() -> ReferenceResponder:
    keys = keyholder().keys
    return ReferenceResponder(keys.paillier, keys.masks)


def _reply(message: bytes) -> Response:
    return Response(message, mimetype="application/msgpack")
