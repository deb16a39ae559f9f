"""The chain that an owner follows in B's log."""

from dataclasses import replace

import pytest

from crypto.encoding import new_id
from crypto.errors import ProtocolViolation
from crypto.messages import LogEntry, LogHead, LogKind, LogMark, LogRequest
from crypto.messages.log import NOTHING, check_head, follow

OWNER = "ab" * 16
REQUEST = LogRequest(collector=OWNER, after=0, jti=new_id(), iat=0, exp=300)


def entry(seq: int, own_prev: str, **changes: object) -> LogEntry:
    return replace(
        LogEntry(
            seq=seq,
            at=1_767_225_600,
            pseudonym=OWNER,
            actor=OWNER,
            thumbprint="jY82j9ch7vYK5QARJEbBM0dxzNGA0BQB9BdAoqd-5I8",
            kind=LogKind.TALLY,
            subject="cd" * 16,
            message_sha256="12" * 32,
            cells=2,
            recordings=5,
            prev=NOTHING,
            own_prev=own_prev,
        ),
        **changes,
    )


@pytest.fixture
def history() -> list[LogEntry]:
    entries: list[LogEntry] = []
    for seq in (1, 4, 9):
        entries.append(entry(seq, entries[-1].hash if entries else NOTHING))
    return entries


def test_a_known_entry_has_a_known_hash() -> None:
    """The same in every language: docs/protocol.md, section 8."""
    assert entry(1, NOTHING).hash == (
        "46e5b1c1000f144dcfa060783b7b018abdb92b0f9ea51606aefdd940de41e2aa"
    )


def test_every_field_is_in_the_hash() -> None:
    first = entry(1, NOTHING)
    changes = (
        {"seq": 2},
        {"at": 1},
        {"pseudonym": "cd" * 16},
        {"actor": "aggregator"},
        {"thumbprint": "A" * 43},
        {"kind": LogKind.GRANT},
        {"subject": "x"},
        {"message_sha256": "34" * 32},
        {"cells": 3},
        {"recordings": 6},
        {"prev": "56" * 32},
        {"own_prev": "56" * 32},
    )
    assert {name for change in changes for name in change} == set(first.__dict__)
    assert len({first.hash, *(replace(first, **change).hash for change in changes)}) == 13


def test_a_history_is_followed(history: list[LogEntry]) -> None:
    end = LogMark(9, history[-1].hash)
    assert follow(history, OWNER, LogMark()) == end
    assert follow(history[1:], OWNER, LogMark(1, history[0].hash)) == end
    assert follow([], OWNER, end) == end


def test_a_rewritten_history_shows(history: list[LogEntry]) -> None:
    first, second, third = history
    rewritten = replace(second, recordings=4)
    for entries in (
        [first, rewritten, third],
        [first, third],
        [second, third],
        [first, second, second],
        [first, second, replace(third, seq=2)],
        [first, replace(second, pseudonym="cd" * 16), third],
    ):
        with pytest.raises(ProtocolViolation):
            follow(entries, OWNER, LogMark())
    # What was seen before is remembered.
    with pytest.raises(ProtocolViolation):
        follow([third], OWNER, LogMark(4, rewritten.hash))


def test_the_head_ends_the_own_log(history: list[LogEntry]) -> None:
    mark = follow(history, OWNER, LogMark())
    head = LogHead(
        collector=OWNER,
        jti=REQUEST.jti,
        seq=12,
        hash="78" * 32,
        own_seq=mark.seq,
        own_hash=mark.hash,
        iat=0,
    )
    check_head(head, REQUEST, mark)
    for wrong in (
        replace(head, own_seq=10),
        replace(head, own_hash=NOTHING),
        replace(head, seq=8),
        replace(head, jti=new_id()),
        replace(head, collector="cd" * 16),
    ):
        with pytest.raises(ProtocolViolation):
            check_head(wrong, REQUEST, mark)
