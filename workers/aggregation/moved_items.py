"""The rows of a move to another Paillier key: chosen and held fast, read, and replaced.

A tally is chosen while no batch has recordings for it, and nothing is compared for it until it has
moved. A report is chosen while it has no number, once its tally is under the new key: no worker can
give it a number under the old one any more. A range that moves becomes a new row, so that what was
numbered under the old one still finds it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Select, delete, exists, insert, select, tuple_, update

from app.aggregator.tables import (
    Comparison,
    Range,
    RangeState,
    Recording,
    RecordingState,
    Tally,
    db,
)
from app.common.database import changes_a_row
from crypto.encoding import new_id
from crypto.errors import CryptoError
from crypto.moves import MAX_MOVED
from crypto.paillier import Ciphertext, PublicKey
from workers.aggregation.tallies import in_flight

DAMAGED_ASIDE_SECONDS = 3600

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Items:
    """What a move takes: tallies with the number of their recordings, ids of ranges and reports."""

    tallies: list[tuple[str, str, int]]
    ranges: list[str]
    reports: list[str]

    def __bool__(self) -> bool:
        return bool(self.tallies or self.ranges or self.reports)

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Items:
        """What `to_json` gave."""
        held = json.loads(text)
        return cls([tuple(one) for one in held["tallies"]], held["ranges"], held["reports"])


def anything_under(key_id: str) -> bool:
    """Whether something has still to be moved away from this key."""
    return any(
        db.session.execute(query.limit(1)).first() is not None for query in _everything(key_id)
    )


def choose(source: PublicKey, target: PublicKey, now: int) -> Items:
    """What is moved next, at most `MAX_MOVED`; part of a transaction, which holds it fast."""
    tallies = _choose_tallies(source, target, now)
    ranges = _choose_ranges(source, MAX_MOVED - len(tallies))
    reports = _choose_reports(source, target, MAX_MOVED - len(tallies) - len(ranges))
    return Items(tallies, ranges, reports)


def ciphertexts(items: Items) -> list[bytes]:
    """As they are stored, tallies first, then ranges, then reports."""
    tallies = {
        (row.pseudonym, row.day): row.ciphertext
        for row in db.session.execute(
            select(Tally.pseudonym, Tally.day, Tally.ciphertext).where(
                tuple_(Tally.pseudonym, Tally.day).in_([one[:2] for one in items.tallies])
            )
        )
    }
    ranges = {
        row.id: row.bounds
        for row in db.session.execute(
            select(Range.id, Range.bounds).where(Range.id.in_(items.ranges))
        )
    }
    reports = {
        row.id: row.findings
        for row in db.session.execute(
            select(Recording.id, Recording.findings).where(Recording.id.in_(items.reports))
        )
    }
    db.session.rollback()
    return [
        *(tallies[one[:2]] for one in items.tallies),
        *(ranges[one] for one in items.ranges),
        *(reports[one] for one in items.reports),
    ]


def replace(items: Items, source_id: str, moved: Sequence[Ciphertext]) -> bool:
    """Put what moved in force; part of a transaction. False if a tally was not as it was chosen."""
    ready = iter(moved)
    for pseudonym, day, number in items.tallies:
        ciphertext = next(ready)
        if not changes_a_row(
            db,
            update(Tally)
            .where(
                Tally.pseudonym == pseudonym,
                Tally.day == day,
                Tally.key_id == source_id,
                Tally.recordings == number,
                Tally.moving,
            )
            .values(
                key_id=ciphertext.key.key_id,
                ciphertext=ciphertext.to_bytes(),
                moving=False,
                aside_until=0,
            ),
        ):
            return False
    for range_id in items.ranges:
        _replace_range(range_id, next(ready))
    for recording in items.reports:
        ciphertext = next(ready)
        changes_a_row(
            db,
            update(Recording)
            .where(
                Recording.id == recording,
                Recording.state == RecordingState.REPORTED,
                Recording.key_id == source_id,
            )
            .values(key_id=ciphertext.key.key_id, findings=ciphertext.to_bytes()),
        )
    return True


def _everything(key_id: str) -> tuple[Select[str], ...]:
    return (
        select(Tally.pseudonym).where(Tally.key_id == key_id),
        select(Range.id).where(Range.key_id == key_id, Range.state == RangeState.ACTIVE),
        select(Recording.id).where(
            Recording.key_id == key_id, Recording.state == RecordingState.REPORTED
        ),
    )


def _choose_tallies(source: PublicKey, target: PublicKey, now: int) -> list[tuple[str, str, int]]:
    free = (Tally.key_id == source.key_id, ~Tally.moving, Tally.aside_until <= now, ~in_flight)
    locked = db.session.execute(
        select(Tally.pseudonym, Tally.day)
        .where(*free)
        .order_by(Tally.aside_until, Tally.pseudonym, Tally.day)
        .limit(MAX_MOVED)
        .with_for_update(skip_locked=True)
    ).all()
    # Locked, then read: what another worker numbered meanwhile is seen.
    named = tuple_(Tally.pseudonym, Tally.day).in_([(row.pseudonym, row.day) for row in locked])
    rows = db.session.execute(
        select(Tally.pseudonym, Tally.day, Tally.recordings, Tally.ciphertext)
        .where(named, *free)
        .order_by(Tally.pseudonym, Tally.day)
    ).all()
    chosen = []
    for row in rows:
        here = (Tally.pseudonym == row.pseudonym) & (Tally.day == row.day)
        _take_numbers_back(source.key_id, row.pseudonym, row.day, row.recordings)
        if not row.recordings:
            empty = target.constant(0).to_bytes()
            values = {"key_id": target.key_id, "ciphertext": empty, "aside_until": 0}
        elif _whole(source, row.ciphertext):
            values = {"moving": True}
            chosen.append((row.pseudonym, row.day, row.recordings))
        else:
            _log.error("a tally cannot be moved to another key: it is damaged")
            values = {"aside_until": now + DAMAGED_ASIDE_SECONDS}
        changes_a_row(db, update(Tally).where(here).values(**values))
    return chosen


def _take_numbers_back(key_id: str, pseudonym: str, day: str, counted: int) -> None:
    """Numbers that no batch has and that were never served in force: others come under the new key.

    So also a day whose next number the key holder has served, and the aggregator has forgotten,
    goes on.
    """
    db.session.execute(
        delete(Comparison).where(
            Comparison.pseudonym == pseudonym,
            Comparison.day == day,
            Comparison.key_id == key_id,
            Comparison.number > counted,
            Comparison.session.is_(None),
        ),
        execution_options={"synchronize_session": False},
    )


def _choose_ranges(source: PublicKey, most: int) -> list[str]:
    rows = db.session.execute(
        select(Range.id, Range.bounds)
        .where(Range.key_id == source.key_id, Range.state == RangeState.ACTIVE)
        .order_by(Range.id)
        .limit(most)
    ).all()
    chosen = []
    for row in rows:
        if _whole(source, row.bounds):
            chosen.append(row.id)
            continue
        _log.error("a range in force cannot be moved to another key: it is damaged")
        changes_a_row(db, update(Range).where(Range.id == row.id).values(state=RangeState.REFUSED))
    return chosen


def _choose_reports(source: PublicKey, target: PublicKey, most: int) -> list[str]:
    rows = db.session.execute(
        select(Recording.id, Recording.pseudonym, Recording.day, Recording.findings, Tally.key_id)
        .outerjoin(Tally, (Tally.pseudonym == Recording.pseudonym) & (Tally.day == Recording.day))
        .where(
            Recording.state == RecordingState.REPORTED,
            Recording.key_id == source.key_id,
            ~exists().where(Comparison.recording_id == Recording.id),
            (Tally.key_id.is_(None)) | (Tally.key_id == target.key_id),
        )
        .order_by(Recording.uploaded_at, Recording.id)
        .limit(most)
    ).all()
    missing = sorted({(row.pseudonym, row.day) for row in rows if row.key_id is None})
    if missing:
        empty = {
            "key_id": target.key_id,
            "recordings": 0,
            "ciphertext": target.constant(0).to_bytes(),
        }
        db.session.execute(
            insert(Tally), [{"pseudonym": who, "day": day, **empty} for who, day in missing]
        )
    chosen = []
    for row in rows:
        if row.findings is not None and _whole(source, row.findings):
            chosen.append(row.id)
        else:
            # Without anything to compare it is counted void, as it would have been.
            changes_a_row(
                db,
                update(Recording)
                .where(Recording.id == row.id)
                .values(key_id=target.key_id, findings=b""),
            )
    return chosen


def _replace_range(range_id: str, moved: Ciphertext) -> None:
    old = db.session.get(Range, range_id, with_for_update=True)
    if old is None or old.state != RangeState.ACTIVE:
        return
    kept = {
        "pseudonym": old.pseudonym,
        "doctor_id": old.doctor_id,
        "proposal": old.proposal,
        "created_at": old.created_at,
        "digest": old.digest,
    }
    for row in (
        update(Range).where(Range.id == range_id).values(state=RangeState.REPLACED),
        insert(Range).values(
            id=new_id(),
            state=RangeState.ACTIVE,
            key_id=moved.key.key_id,
            bounds=moved.to_bytes(),
            **kept,
        ),
    ):
        db.session.execute(row, execution_options={"synchronize_session": False})


def _whole(key: PublicKey, data: bytes) -> bool:
    try:
        key.parse(data)
    except CryptoError:
        return False
    return True
