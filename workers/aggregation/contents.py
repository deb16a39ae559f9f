"""What a reserved batch compares, in the order in which it is sent, as ciphertexts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from app.aggregator.tables import Comparison, Range, Recording, db
from crypto.comparison.batches import BatchName
from crypto.comparison.fast import Item
from crypto.comparison.positions import Position, RangePosition, RecordingPosition
from crypto.errors import CryptoError
from crypto.findings import DEFAULT_RATE_RANGES, AgeBand
from crypto.paillier import Ciphertext, PublicKey
from crypto.slots import OPERATING_POINT, pack_range

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A recording of the batch; without a range the defaults of its age band hold."""

    position: RecordingPosition
    report: bytes
    range_id: str | None
    age_band: str


def items(name: BatchName, key: PublicKey) -> list[Item]:
    """The batch's positions with what is compared for each.

    One that is damaged has nothing to compare: its number is taken and must be served, or nothing
    after it ever could be.
    """
    recordings, checks, bounds = _read(name)
    reports = _parsed(key, [one.report for one in recordings])
    proposed = _parsed(key, [bytes_ for _, bytes_ in checks])
    negative = _negated(key, bounds)
    found = [
        Item(one.position, _difference(key, one, report, negative))
        for one, report in zip(recordings, reports, strict=True)
    ]
    found += [Item(position, cells) for (position, _), cells in zip(checks, proposed, strict=True)]
    if any(item.ciphertext is None for item in found):
        _log.error("something cannot be compared: its report or its range is damaged")
    return found


def recordings_of(name: BatchName) -> dict[Position, str]:
    """The recording that stands at each position of the batch."""
    rows = db.session.execute(
        select(
            Comparison.recording_id, Comparison.pseudonym, Comparison.day, Comparison.number
        ).where(Comparison.session == name.session, Comparison.batch == name.number)
    )
    return {RecordingPosition(row.pseudonym, row.day, row.number): row.recording_id for row in rows}


def _read(
    name: BatchName,
) -> tuple[list[_Numbered], list[tuple[RangePosition, bytes]], dict[str, bytes]]:
    """Recordings in the order of their numbers, range checks, and the bounds that hold."""
    rows = db.session.execute(
        select(
            Comparison.pseudonym,
            Comparison.day,
            Comparison.number,
            Comparison.range_id,
            Comparison.age_band,
            Recording.findings,
        )
        .join(Recording, Recording.id == Comparison.recording_id)
        .where(Comparison.session == name.session, Comparison.batch == name.number)
        .order_by(Comparison.pseudonym, Comparison.day, Comparison.number)
    ).all()
    recordings = [
        _Numbered(
            RecordingPosition(row.pseudonym, row.day, row.number),
            row.findings or b"",
            row.range_id,
            row.age_band,
        )
        for row in rows
    ]
    checks = [
        (RangePosition(row.id, row.pseudonym), row.bounds)
        for row in db.session.execute(
            select(Range.id, Range.pseudonym, Range.bounds)
            .where(Range.session == name.session, Range.batch == name.number)
            .order_by(Range.id)
        )
    ]
    wanted = {one.range_id for one in recordings if one.range_id}
    bounds = {
        row.id: row.bounds
        for row in db.session.execute(select(Range.id, Range.bounds).where(Range.id.in_(wanted)))
    }
    db.session.rollback()
    return recordings, checks, bounds


def _difference(
    key: PublicKey,
    one: _Numbered,
    report: Ciphertext | None,
    negative: dict[str, Ciphertext],
) -> Ciphertext | None:
    """The report minus the range that holds for it."""
    if report is None:
        return None
    if one.range_id is None:
        lo, hi = DEFAULT_RATE_RANGES[AgeBand(one.age_band)]
        return report.add_constant(-pack_range(key.bits, OPERATING_POINT, lo, hi))
    bounds = negative.get(one.range_id)
    return None if bounds is None else report.add(bounds)


def _negated(key: PublicKey, bounds: dict[str, bytes]) -> dict[str, Ciphertext]:
    """Each range that is whole, negated."""
    parsed = _parsed(key, list(bounds.values()))
    whole = {name: cell for name, cell in zip(bounds, parsed, strict=True) if cell is not None}
    return dict(zip(whole, key.invert_all(list(whole.values())), strict=True))


def _parsed(key: PublicKey, parts: Sequence[bytes]) -> Sequence[Ciphertext | None]:
    """Each ciphertext, None where it is none: all at once if all are whole."""
    try:
        return key.parse_all(parts)
    except CryptoError:
        return [_parsed_alone(key, data) for data in parts]


def _parsed_alone(key: PublicKey, data: bytes) -> Ciphertext | None:
    try:
        return key.parse(data)
    except CryptoError:
        return None
