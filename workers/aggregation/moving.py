"""What is under a retired Paillier key goes to the active one (docs/protocol.md, section 5.1).

One move is on its way at a time, in the one row of `key_moves`: what it takes is decided and held
fast in one transaction, its request is stored before it is sent, the key holder answers the
identical request identically, and one transaction puts the answer in force. So whoever finds a move
whose lease ran out goes on where it stands, as with batches.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import delete, select, update

from app.aggregator.keyholder_client import KeyholderRefused, KeyholderUnavailable
from app.aggregator.services import services
from app.aggregator.tables import KeyMove, Range, RangeState, Tally, db
from app.common.database import changes_a_row, in_transaction
from crypto.encoding import new_id
from crypto.errors import CryptoError, SealBroken
from crypto.moves import (
    TALLY,
    ZONED,
    Form,
    MovedTally,
    MoveRequest,
    decode_move,
    decode_moved,
    encode_move,
    masked,
    unmasked,
)
from crypto.paillier import Ciphertext, PublicKey
from crypto.random import KERNEL, SeededRandom, new_seed
from workers.aggregation import moved_items
from workers.aggregation.moved_items import Items
from workers.aggregation.settling import TallyInconsistent

AGAIN_SECONDS = 2
"""When a move that the key holder did not answer may be sent again."""

ASIDE_SECONDS = 60
"""How long a tally stays where it is once the key holder refused to move it."""

_ONLY = 1
_CONTEXT = b"key_moves.sealed_seed"

_log = logging.getLogger(__name__)


def move_some(now: int) -> bool:
    """Bring one move to its end, one that somebody left or a new one.

    False if there was none to do, or it is for later.

    Raises
    ------
    KeyholderUnavailable : nothing is lost; it can be tried again.
    """
    manifest = services().keyholder.manifest()
    target = manifest.active_key
    for source in manifest.retired_keys:
        _refuse_undecided(source)
        if not _taken(source, target, now):
            continue
        try:
            return _play(now)
        except (CryptoError, TallyInconsistent):
            _log.exception("a move to another key is left as it is")
            return False
    return False


def anything_to_move() -> bool:
    """Whether a worker would find something under a retired key."""
    try:
        retired = services().keyholder.manifest().retired_keys
    except KeyholderUnavailable:
        return False
    try:
        return any(moved_items.anything_under(key.key_id) for key in retired)
    finally:
        db.session.rollback()


def _refuse_undecided(source: PublicKey) -> None:
    """A range that its doctor has not put in force is made again under the active key."""
    undecided = (Range.key_id == source.key_id) & Range.state.in_(
        (RangeState.PROPOSED, RangeState.CHECKED)
    )
    if db.session.execute(select(Range.id).where(undecided).limit(1)).first() is not None:
        in_transaction(
            db,
            lambda: changes_a_row(
                db, update(Range).where(undecided).values(state=RangeState.REFUSED)
            ),
        )
    db.session.rollback()


def _taken(source: PublicKey, target: PublicKey, now: int) -> bool:
    return in_transaction(db, lambda: _take(source, target, now))


def _take(source: PublicKey, target: PublicKey, now: int) -> bool:
    """Lease the move that somebody left, or decide on a new one. False if there is none to do."""
    row = db.session.get(KeyMove, _ONLY, with_for_update=True)
    seconds = services().config.lease_seconds
    if row is not None:
        if row.lease_until > now or row.source != source.key_id:
            return False
        row.lease, row.lease_until = new_id(), now + seconds
        return True
    items = moved_items.choose(source, target, now)
    if not items:
        return False
    db.session.add(
        KeyMove(
            id=_ONLY,
            source=source.key_id,
            target=target.key_id,
            items=items.to_json(),
            sealed_seed=services().secrets.storage_key.seal(new_seed(), _CONTEXT),
            lease=new_id(),
            lease_until=now + seconds,
        )
    )
    return True


def _play(now: int) -> bool:
    row = db.session.get(KeyMove, _ONLY)
    if row is None:
        return False
    lease, request, items = row.lease, row.request, Items.from_json(row.items)
    sealed_seed, source_id, target_id = row.sealed_seed, row.source, row.target
    db.session.rollback()
    keys = [services().keyholder.key_in_use(key_id) for key_id in (source_id, target_id)]
    source, target = keys
    if source is None or target is None:
        _log.error("a move is left as it is: one of its Paillier keys is not in use any more")
        return False
    try:
        seed = services().secrets.storage_key.unseal(sealed_seed, _CONTEXT)
    except SealBroken:
        _log.error("a move is left as it is: its masks cannot be unsealed (storage key lost)")
        return False
    masks = _masks(seed, items)
    if request is None:
        request = _request(source, target, items, masks)
        if not _keep_request(lease, request, now):
            return False
    try:
        answer = services().keyholder.move(request)
    except KeyholderUnavailable:
        _postpone(lease, now + AGAIN_SECONDS)
        raise
    except KeyholderRefused as refusal:
        _refused(lease, request, refusal, now)
        return False
    moved = decode_moved(answer, decode_move(request), target)
    bare = [unmasked(form, one, mask) for (form, mask), one in zip(masks, moved, strict=True)]
    in_transaction(db, lambda: _put_in_force(request, items, source, bare))
    return True


def _masks(seed: bytes, items: Items) -> list[tuple[Form, list[int]]]:
    """Of the tallies, then of ranges and reports: always the same for a seed."""
    random = SeededRandom(seed, b"move-masks")
    forms = [TALLY] * len(items.tallies) + [ZONED] * len(items.ranges + items.reports)
    return [(form, form.draw(random)) for form in forms]


def _request(
    source: PublicKey,
    target: PublicKey,
    items: Items,
    masks: Sequence[tuple[Form, list[int]]],
) -> bytes:
    parts = [
        masked(form, source.stored(data), mask, KERNEL).to_wire()
        for (form, mask), data in zip(masks, moved_items.ciphertexts(items), strict=True)
    ]
    count = len(items.tallies)
    tallies = tuple(
        MovedTally(pseudonym, day, number, data)
        for (pseudonym, day, number), data in zip(items.tallies, parts[:count], strict=True)
    )
    return encode_move(MoveRequest(source.key_id, target.key_id, tallies, tuple(parts[count:])))


def _keep_request(lease: str, request: bytes, now: int) -> bool:
    """Store what will be sent. False if the move is somebody else's."""
    until = now + services().config.lease_seconds

    def work() -> bool:
        return changes_a_row(
            db,
            update(KeyMove)
            .where(KeyMove.id == _ONLY, KeyMove.lease == lease, KeyMove.request.is_(None))
            .values(request=request, lease_until=until),
        )

    return in_transaction(db, work)


def _postpone(lease: str, until: int) -> None:
    in_transaction(
        db,
        lambda: changes_a_row(
            db, update(KeyMove).where(KeyMove.lease == lease).values(lease_until=until)
        ),
    )


def _refused(lease: str, request: bytes, refusal: KeyholderRefused, now: int) -> None:
    """Nothing of it was moved: everything is let go, and the tally refused is left aside."""
    tallies = decode_move(request).tallies
    refused = refusal.item if refusal.item in range(len(tallies)) else None

    def work() -> bool:
        row = db.session.get(KeyMove, _ONLY, with_for_update=True)
        if row is None or row.lease != lease:
            return False
        db.session.delete(row)
        for index, one in enumerate(tallies):
            aside = {"aside_until": now + ASIDE_SECONDS} if index == refused else {}
            changes_a_row(
                db,
                update(Tally)
                .where(Tally.pseudonym == one.pseudonym, Tally.day == one.day)
                .values(moving=False, **aside),
            )
        return True

    if in_transaction(db, work):
        _log.error("the key holder refuses to move something: %s", refusal.slug)


def _put_in_force(
    request: bytes, items: Items, source: PublicKey, bare: Sequence[Ciphertext]
) -> None:
    """Once: whoever comes second finds the row gone.

    Raises TallyInconsistent: nothing was changed.
    """
    row = db.session.get(KeyMove, _ONLY, with_for_update=True)
    if row is None or row.request != request:
        return
    db.session.execute(delete(KeyMove).where(KeyMove.id == _ONLY))
    if not moved_items.replace(items, source.key_id, bare):
        raise TallyInconsistent("A tally is not as the move found it.")
