"""Appending to the log, in the transaction of what it tells of."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from app.keyholder.tables import LogEntry as LogRow
from app.keyholder.tables import LogHead as HeadRow
from app.keyholder.tables import db
from crypto.encoding import sha256_hex
from crypto.messages import LogEntry, LogKind
from crypto.messages.log import NOTHING

_HEAD = 1


@dataclass(frozen=True)
class Event:
    """What happened; see `crypto.messages.LogEntry` for the fields. `message`: the JWS."""

    pseudonym: str
    actor: str
    thumbprint: str
    kind: LogKind
    subject: str
    message: str
    cells: int = 0
    recordings: int = 0


def append(*events: Event) -> None:
    """Adds entries. Their order is the one in which transactions get the head's row.

    Call it after every other lock of the transaction is taken: all writers meet here.
    """
    db.session.flush()
    head = db.session.get(HeadRow, _HEAD, with_for_update=True, populate_existing=True)
    if head is None:
        head = HeadRow(id=_HEAD, seq=0, hash=NOTHING)
        db.session.add(head)
    for event in events:
        entry = _entry(event, head)
        db.session.add(row_of(entry))
        head.seq, head.hash = entry.seq, entry.hash
        db.session.flush()


def entry_of(row: LogRow) -> LogEntry:
    """The entry of a row, without the stored hash: that is to be computed."""
    fields = {name: getattr(row, name) for name in LogEntry.__dataclass_fields__}
    return LogEntry(**fields | {"kind": LogKind(row.kind)})


def row_of(entry: LogEntry) -> LogRow:
    return LogRow(**asdict(entry) | {"kind": entry.kind.value, "hash": entry.hash})


def last_own(pseudonym: str) -> LogRow | None:
    """The last entry of a pseudonym."""
    query = db.select(LogRow).filter_by(pseudonym=pseudonym).order_by(LogRow.seq.desc()).limit(1)
    row: LogRow | None = db.session.scalar(query)
    return row


def _entry(event: Event, head: HeadRow) -> LogEntry:
    own = last_own(event.pseudonym)
    return LogEntry(
        seq=head.seq + 1,
        at=int(time.time()),
        pseudonym=event.pseudonym,
        actor=event.actor,
        thumbprint=event.thumbprint,
        kind=event.kind,
        subject=event.subject,
        message_sha256=sha256_hex(event.message.encode()),
        cells=event.cells,
        recordings=event.recordings,
        prev=head.hash,
        own_prev=NOTHING if own is None else own.hash,
    )
