"""The key holder's log of one's own keys, consents and openings, checked on from what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from client.collector import Collector, now
from client.errors import BadAnswer
from client.service import field
from crypto.encoding import check_id, new_id
from crypto.errors import ProtocolViolation
from crypto.messages import LogEntry, LogHead, LogKind, LogMark, LogRequest
from crypto.messages.log import check_head, follow
from crypto.wire import from_record

_REQUEST_SECONDS = 60
_MOST_ANSWERS = 1000

_OF_KEYS = {LogKind.DEVICE, LogKind.DEVICE_REMOVAL, LogKind.RECOVERY_COMPLETION}


@dataclass(frozen=True)
class Key:
    """A key in force, as the key holder knows it. `added_at`: Unix seconds."""

    thumbprint: str
    type: str
    added_at: int


@dataclass(frozen=True)
class Coming:
    """A recovery that will replace every key unless one of them cancels it until `completes_at`."""

    recovery: str
    thumbprint: str
    completes_at: int


@dataclass(frozen=True)
class History:
    """What the key holder tells: `entries` after those asked for, to the end of the log."""

    entries: tuple[LogEntry, ...]
    keys: tuple[Key, ...]
    recoveries: tuple[Coming, ...]


def read(collector: Collector, known: LogMark | None = None) -> tuple[History, LogMark]:
    """The own log after `known` (from the beginning without it), and where it ends now.

    Raises ProtocolViolation: it does not continue what is known, or not end as it is signed.
    """
    mark = known or LogMark()
    told: list[LogEntry] = []
    for _ in range(_MOST_ANSWERS):
        asked = LogRequest(
            collector=collector.pseudonym,
            after=mark.seq,
            jti=new_id(),
            iat=now(),
            exp=now() + _REQUEST_SECONDS,
        )
        answer = collector.keyholder.post("/v1/log", request=asked.sign(collector.identity.key))
        head = LogHead.verify(field(answer, "head", str), collector.manifest_key, now())
        part = [from_record(LogEntry, entry) for entry in field(answer, "entries", list)]
        mark = follow(part, collector.pseudonym, mark)
        told += part
        if not part or mark.seq == head.own_seq:
            check_head(head, asked, mark)
            keys = tuple(_key(row) for row in field(answer, "keys", list))
            coming = tuple(_coming(row) for row in field(answer, "recoveries", list))
            return History(tuple(told), keys, coming), mark
    raise ProtocolViolation("the log has no end")


def look(collector: Collector) -> History:
    """What is new since the last look; the place is kept in the profile.

    Raises ProtocolViolation, and goes on doing so: the place is kept as it was.
    """
    history, mark = read(collector, collector.profile.log_mark())
    collector.profile.keep_log_mark(mark)
    return history


def of_other_devices(collector: Collector, entries: Sequence[LogEntry]) -> list[LogEntry]:
    """Changes of keys that this device did not make itself: its owner should know of each."""
    own = collector.identity.key.thumbprint
    return [entry for entry in entries if entry.kind in _OF_KEYS and entry.thumbprint != own]


def _key(row: object) -> Key:
    if not isinstance(row, dict):
        raise BadAnswer("The key holder's list of keys cannot be read.")
    return Key(field(row, "thumbprint", str), field(row, "type", str), field(row, "added_at", int))


def _coming(row: object) -> Coming:
    if not isinstance(row, dict):
        raise BadAnswer("The key holder's list of recoveries cannot be read.")
    return Coming(
        check_id(field(row, "recovery", str)),
        field(row, "thumbprint", str),
        field(row, "completes_at", int),
    )
