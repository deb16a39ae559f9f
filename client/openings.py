"""Opening counts: two half answers, one from each server, meet here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from client.collector import Collector, now
from client.errors import BadAnswer, WindowEmpty
from client.manifest import known_key
from client.service import field
from crypto.encoding import b64u, check_day, sha256_hex, unb64u
from crypto.errors import InvalidEncoding
from crypto.hpke import blind_info, value_info
from crypto.messages import Opening, RangeCheckStatement, Statement, TallyStatement
from crypto.opening import recover_bit, recover_counts
from crypto.paillier import PublicKey
from crypto.slots import max_cells
from crypto.unsealing import SealingKey

_OTHER_SCOPE = "The aggregator's statement is about something else than was asked for."
_MOST_DAYS = 12_000
"""In one request, over all its cells: it stays far below the 256 KiB that the aggregator reads."""

Days = list[tuple[str, int]]
"""Days and how many counted recordings each holds."""


@dataclass(frozen=True, repr=False)
class Opened:
    """The opened counts of one patient over some days. A secret of the collector's.

    `recordings`: how many were counted; `sound`, `rate`: how many of them were abnormal by sound
    and by heart rate. `range_inconsistent`: `rate` cannot be relied on, because a healthy range
    with its lower limit above the upper one was in force.
    """

    pseudonym: str
    days: tuple[str, ...]
    recordings: int
    sound: int
    rate: int
    range_inconsistent: bool = False

    def __repr__(self) -> str:
        return "Opened"


@dataclass(frozen=True)
class Scope:
    """One cell of an opening: a patient and the days to add up."""

    pseudonym: str
    days: tuple[str, ...]


def days_with_recordings(
    collector: Collector, first: date, last: date, pseudonym: str | None = None
) -> Days:
    """The days from `first` to `last` that hold counted recordings; a doctor names the patient."""
    query = {"first": first.isoformat(), "last": last.isoformat()}
    if pseudonym is not None:
        query["pseudonym"] = pseudonym
    rows = field(collector.aggregator.get("/api/tallies", **query), "days", list)
    return [_day(row) for row in rows]


def open_each_day(
    collector: Collector, first: date, last: date, pseudonym: str | None = None
) -> list[Opened]:
    """The counts of one patient, day by day; only days with recordings."""
    patient = pseudonym or collector.pseudonym
    days = days_with_recordings(collector, first, last, pseudonym)
    return open_scopes(collector, [Scope(patient, (day,)) for day, _ in days])


def open_patients(
    collector: Collector, pseudonyms: Sequence[str], first: date, last: date
) -> dict[str, Opened]:
    """A doctor's whole list over a window, in one opening where it fits in one.

    Every day of the window is asked for, so that the request says nothing about who recorded when.
    """
    days = tuple(
        (first + timedelta(days=passed)).isoformat() for passed in range((last - first).days + 1)
    )
    if not days:
        raise WindowEmpty("The first day is after the last one.")
    scopes = [Scope(pseudonym, days) for pseudonym in pseudonyms]
    return {one.pseudonym: one for one in open_scopes(collector, scopes)}


def open_scopes(collector: Collector, scopes: Sequence[Scope]) -> list[Opened]:
    """Opens scopes in their order, as many at once as a ciphertext and a request hold.

    Raises OpeningMismatch if an answer cannot be a count, SealBroken if one was altered on its
    way, NotFound or Refused if a server denies it (no grant, or a revoked one).
    """
    longest = max((len(scope.days) for scope in scopes), default=1)
    cells = max_cells(collector.manifest.active_key.bits)
    at_once = max(1, min(cells, _MOST_DAYS // longest))
    return [
        one
        for first in range(0, len(scopes), at_once)
        for one in _open_together(collector, scopes[first : first + at_once])
    ]


def open_range_check(collector: Collector, range_id: str) -> bool:
    """Whether lo <= hi holds for a range that this doctor proposed and the servers compared."""
    half = ask_half(collector, {"kind": "range_check", "range": range_id})
    statement = half.statement
    if not isinstance(statement, RangeCheckStatement) or statement.range != range_id:
        raise BadAnswer(_OTHER_SCOPE)
    value, blind = redeem(collector, half)
    return recover_bit(value, blind, half.key)


def _open_together(collector: Collector, scopes: Sequence[Scope]) -> Iterator[Opened]:
    cells = [{"pseudonym": scope.pseudonym, "days": list(scope.days)} for scope in scopes]
    half = ask_half(collector, {"kind": "tally", "cells": cells})
    statement = half.statement
    if not isinstance(statement, TallyStatement):
        raise BadAnswer(_OTHER_SCOPE)
    stated = [(cell.pseudonym, tuple(day for day, _ in cell.days)) for cell in statement.cells]
    if stated != [(scope.pseudonym, scope.days) for scope in scopes]:
        raise BadAnswer(_OTHER_SCOPE)
    value, blind = redeem(collector, half)
    recordings = [cell.recordings for cell in statement.cells]
    counts = recover_counts(value, blind, half.key, recordings)
    for scope, number, count in zip(scopes, recordings, counts, strict=True):
        inconsistent = count.range_inconsistent(number)
        yield Opened(scope.pseudonym, scope.days, number, count.sound, count.rate, inconsistent)


@dataclass(frozen=True, repr=False)
class Half:
    """The aggregator's half, its statement verified and found to be for this collector. A secret.

    `recipient` is the one-time key that both servers' answers are sealed to.
    """

    statement: Statement
    token: str
    ciphertext: str
    sealed_blind: bytes
    recipient: SealingKey
    key: PublicKey


def ask_half(collector: Collector, ask: Mapping[str, object], path: str = "/api/openings") -> Half:
    """The aggregator's half. Whether it is about what was asked for is for the caller to check."""
    recipient = SealingKey.generate()
    answer = collector.aggregator.post(path, **ask, recipient=b64u(recipient.public))
    return read_half(collector, answer, recipient, now())


def read_half(
    collector: Collector, answer: Mapping[str, Any], recipient: SealingKey, moment: float
) -> Half:
    """The aggregator's answer, as it was to be read at a moment."""
    token = field(answer, "statement", str)
    ciphertext = field(answer, "ciphertext", str)
    statement = Statement.verify(token, collector.manifest.statement_key, moment)
    key = known_key(collector.manifest, statement.key_id)
    if (
        statement.collector != collector.pseudonym
        or statement.thumbprint != collector.identity.root
        or statement.recipient != recipient.public
        or statement.ciphertext_sha256 != sha256_hex(unb64u(ciphertext))
    ):
        raise BadAnswer("The aggregator's statement is not for this collector and this opening.")
    return Half(statement, token, ciphertext, _bytes(answer, "sealed_blind"), recipient, key)


def redeem(collector: Collector, half: Half, path: str = "/v1/openings") -> tuple[bytes, bytes]:
    """Signs the opening and gets the key holder's half: the value and the blind, unsealed."""
    jti = half.statement.jti
    opening = Opening(statement_sha256=sha256_hex(half.token.encode()), jti=jti)
    answer = collector.keyholder.post(
        path,
        statement=half.token,
        ciphertext=half.ciphertext,
        opening=opening.sign(collector.identity.key),
    )
    value = half.recipient.unseal(value_info(jti), _bytes(answer, "sealed_value"))
    return value, half.recipient.unseal(blind_info(jti), half.sealed_blind)


def _bytes(answer: Mapping[str, Any], name: str) -> bytes:
    return unb64u(field(answer, name, str))


def _day(row: object) -> tuple[str, int]:
    if isinstance(row, list) and len(row) == 2 and type(row[1]) is int:
        try:
            return check_day(row[0]), row[1]
        except InvalidEncoding:
            pass
    raise BadAnswer("The aggregator's list of days cannot be read.")
