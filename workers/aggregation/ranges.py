"""Checking a proposed range: [hi >= lo] under encryption, for its doctor to open."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import select, update

from app.aggregator.services import services
from app.aggregator.tables import Range, RangeState, db
from app.common.database import changes_a_row, in_transaction
from crypto.at_rest import StorageKey
from crypto.comparison.messages import RangePosition
from crypto.comparison.reference import range_order
from workers.aggregation.counting import KeyNotActive
from workers.aggregation.rounds import Compared, compare


@dataclass(frozen=True, slots=True, repr=False)
class _Proposed:
    pseudonym: str
    key_id: str
    bounds: bytes
    seed: bytes


def check(range_id: str) -> None:
    """Compare the bounds of a PROPOSED range; it is CHECKED then, or REFUSED if B served it void.

    Raises
    ------
    KeyholderUnavailable, KeyholderRefused, KeyNotActive : nothing is lost; it can be tried again.
    """
    around = services()
    storage_key = around.secrets.storage_key
    proposed = in_transaction(db, lambda: _begin(range_id, storage_key))
    if proposed is None:
        return
    key = around.keyholder.paillier_key(proposed.key_id)
    if key is None:
        raise KeyNotActive("The range's Paillier key is not the active one.")
    order = range_order(key, key.parse(proposed.bounds))
    position = RangePosition(range_id, proposed.pseudonym)
    compared = compare(around.keyholder, key, position, order, proposed.seed)
    in_transaction(db, lambda: _finish(range_id, compared))


def _begin(range_id: str, storage_key: StorageKey) -> _Proposed | None:
    """The range with the seed of its check, made before the first message and then kept."""
    row = db.session.scalar(select(Range).where(Range.id == range_id).with_for_update())
    if row is None or row.state != RangeState.PROPOSED:
        return None
    context = b"ranges.sealed_seed/" + range_id.encode()
    if row.sealed_seed is None:
        row.sealed_seed = storage_key.seal(secrets.token_bytes(32), context)
    seed = storage_key.unseal(row.sealed_seed, context)
    return _Proposed(row.pseudonym, row.key_id, row.bounds, seed)


def _finish(range_id: str, compared: Compared) -> None:
    proposed = update(Range).where(Range.id == range_id, Range.state == RangeState.PROPOSED)
    if compared.bits is None:
        changes_a_row(db, proposed.values(state=RangeState.REFUSED, sealed_seed=None))
    else:
        bit = compared.bits[0].add(compared.mask).to_bytes()
        changes_a_row(db, proposed.values(state=RangeState.CHECKED, check=bit, sealed_seed=None))
