"""Moves to another Paillier key with the aggregator (docs/protocol.md, section 5.1).

A tally is moved once: what serves it closes it under the old key and begins it under the new one,
in one transaction that comes before anything is computed. The answer follows from the request and
the keys, so the identical request gets the identical answer whenever it comes again.
"""

from __future__ import annotations

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from sqlalchemy import tuple_

from app.common.database import in_transaction
from app.common.problems import Problem
from app.common.requests import require_service
from app.keyholder.context import keyholder
from app.keyholder.openings import NotServed
from app.keyholder.restored import is_restored
from app.keyholder.tables import ServedTally, db
from crypto.encoding import sha256_hex
from crypto.errors import ForeignKey
from crypto.keyholder.moves import answer_move
from crypto.messages import Audience
from crypto.moves import MAX_MESSAGE_BYTES, MovedTally, MoveRequest, decode_move

blueprint = Blueprint("moves", __name__)


class AlreadyMoved(Problem):
    """The tally was moved by another request; the member `item` is its index."""

    slug = "already-moved"
    title = "This tally was moved"
    status = 409


@blueprint.post("/v1/moves")
def move() -> ResponseReturnValue:
    request.max_content_length = MAX_MESSAGE_BYTES
    require_service(keyholder().statement_key.current(), Audience.KEYHOLDER)
    body = request.get_data()
    asked, sha256 = decode_move(body), sha256_hex(body)
    keys = keyholder().keys
    source, target = keys.retired.get(asked.source), keys.in_use(asked.target)
    if source is None:
        raise ForeignKey("only what is under a retired key is moved: fetch the manifest")
    # What is no ciphertext is refused before anything is closed for it.
    source.public.parse_all([*(one.ciphertext for one in asked.tallies), *asked.zoned])
    in_transaction(db, lambda: _close(asked, sha256))
    answer = answer_move(source, target, keys.masks, asked, sha256)
    return Response(answer, mimetype="application/msgpack")


def _close(asked: MoveRequest, sha256: str) -> None:
    """Raises NotServed or AlreadyMoved with the index of the tally."""
    forgetful = is_restored(keyholder().config.secrets)
    held = _locked(asked, asked.source)
    begun = _locked(asked, asked.target)
    for item, one in enumerate(asked.tallies):
        tally, new = held.get(_day(one)), begun.get(_day(one))
        if forgetful:
            tally = tally or _remembered(one, asked.source)
            tally.served = max(tally.served, one.number)
        if tally is None or one.number > tally.served:
            raise NotServed("More recordings than were compared of this day.", item=item)
        if tally.moved_by == sha256:
            continue
        if tally.moved_by is not None or new is not None:
            raise AlreadyMoved("It goes on under the other key.", item=item)
        tally.moved_by = sha256
        db.session.add(
            ServedTally(
                pseudonym=one.pseudonym, day=one.day, key_id=asked.target, served=one.number
            )
        )


def _remembered(one: MovedTally, key_id: str) -> ServedTally:
    """The row of a tally that was first served after the backup."""
    row = ServedTally(pseudonym=one.pseudonym, day=one.day, key_id=key_id, served=one.number)
    db.session.add(row)
    return row


def _locked(asked: MoveRequest, key_id: str) -> dict[tuple[str, str], ServedTally]:
    days = [_day(one) for one in asked.tallies]
    rows = db.session.execute(
        db.select(ServedTally)
        .where(
            tuple_(ServedTally.pseudonym, ServedTally.day).in_(days),
            ServedTally.key_id == key_id,
        )
        .order_by(ServedTally.pseudonym, ServedTally.day)
        .with_for_update()
    ).scalars()
    return {(row.pseudonym, row.day): row for row in rows}


def _day(one: MovedTally) -> tuple[str, str]:
    return one.pseudonym, one.day
