"""Opening counts: two half answers, one from each server, meet here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from client.collector import Collector, now
from client.errors import BadAnswer, Refused, WindowEmpty
from client.service import field
from crypto.encoding import b64u, check_day, sha256_hex, unb64u
from crypto.errors import InvalidEncoding
from crypto.hpke import blind_info, value_info
from crypto.messages import (
    CohortStatement,
    Opening,
    RangeCheckStatement,
    Statement,
    TallyStatement,
)
from crypto.opening import range_is_valid, recover_counts
from crypto.paillier import PublicKey
from crypto.slots import max_cells
from crypto.unsealing import SealingKey

_OTHER_SCOPE = "The aggregator's statement is about something else than was asked for."
_OTHER_OPENING = "The aggregator's statement is not for this collector and this opening."
_MOST_DAYS = 12_000
"""In one request, over all its cells: it stays far below the 256 KiB that the aggregator reads."""

_MOST_DAYS_OF_CELL = 4_096
"""In one cell; the statement's format holds no more."""

_MOST_REFUSED = 32
"""How often the key holder is asked for parts of what it refused, before the rest stays closed."""

Days = list[tuple[str, int]]
"""Days and how many counted recordings each holds."""


@dataclass(frozen=True, repr=False)
class Opened:
    """The opened counts of one patient over some days. A secret of the collector's.

    `recordings`: how many were counted; `sound`, `rate`: how many of them were abnormal by sound
    and by heart rate, on `days`. `closed`: days that the key holder does not open now, because the
    aggregator counts more recordings in them than were compared. All are closed, and it is
    `denied`, if the key holder finds no consent of this patient, but of others in the same opening.
    """

    pseudonym: str
    days: tuple[str, ...]
    recordings: int
    sound: int
    rate: int
    closed: tuple[str, ...] = ()
    denied: bool = False

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

    What is too long, or refused because not all of it was compared or consented to, is opened in
    parts: only what has to be stays closed.

    Raises OpeningMismatch if an answer cannot be a count, SealBroken if one was altered on its
    way, NotFound or Refused if a server denies it (no grant, or a revoked one).
    """
    refusals = _Refusals()
    cells = max_cells(collector.manifest.active_key.bits)
    return [
        one for group in _groups(scopes, cells) for one in _open_served(collector, group, refusals)
    ]


def open_range_check(collector: Collector, range_id: str) -> bytes | None:
    """The key holder's digest if the range that this doctor proposed is valid, else None.

    The aggregator's half is a commitment to its own digest; only a valid range's are the same.
    """
    half = ask_half(collector, {"kind": "range_check", "range": range_id})
    statement = half.statement
    if not isinstance(statement, RangeCheckStatement) or statement.range != range_id:
        raise BadAnswer(_OTHER_SCOPE)
    digest, commitment = redeem(collector, half)
    return digest if range_is_valid(digest, commitment) else None


@dataclass
class _Refusals:
    """How often the key holder refused parts of one window as not compared."""

    times: int = 0


def _groups(scopes: Sequence[Scope], cells: int) -> Iterator[list[Scope]]:
    """Scopes that are opened together. One that is too long for any request is alone."""
    group: list[Scope] = []
    for scope in scopes:
        days = sum(len(one.days) for one in group) + len(scope.days)
        if group and (days > _MOST_DAYS or len(group) == cells):
            yield group
            group = []
        group.append(scope)
    if group:
        yield group


def _open_served(
    collector: Collector, scopes: Sequence[Scope], refusals: _Refusals
) -> list[Opened]:
    days = sum(len(scope.days) for scope in scopes)
    if days <= _MOST_DAYS and all(len(scope.days) <= _MOST_DAYS_OF_CELL for scope in scopes):
        try:
            return list(_open_together(collector, scopes))
        except Refused as refused:
            refusals.times += 1
            denied = refused.problem.get("pseudonym")
            others = [scope for scope in scopes if scope.pseudonym != denied]
            if refused.slug == "not-granted" and 0 < len(others) < len(scopes):
                if refusals.times >= _MOST_REFUSED:
                    raise
                rest = iter(_open_served(collector, others, refusals))
                return [_denied(one) if one.pseudonym == denied else next(rest) for one in scopes]
            if refused.slug != "not-served":
                raise
            if days == 1 or refusals.times >= _MOST_REFUSED:
                return [_closed(one) for one in scopes]
    opened = [one for half in _halves(scopes) for one in _open_served(collector, half, refusals)]
    return opened if len(scopes) > 1 else [_joined(*opened)]


def _closed(scope: Scope) -> Opened:
    return Opened(scope.pseudonym, (), 0, 0, 0, closed=scope.days)


def _denied(scope: Scope) -> Opened:
    return replace(_closed(scope), denied=True)


def _halves(scopes: Sequence[Scope]) -> tuple[Sequence[Scope], Sequence[Scope]]:
    """Half of the scopes each, or half of the days of the only one."""
    if len(scopes) > 1:
        middle = len(scopes) // 2
        return scopes[:middle], scopes[middle:]
    [scope] = scopes
    middle = len(scope.days) // 2
    parts = scope.days[:middle], scope.days[middle:]
    first, second = ([Scope(scope.pseudonym, part)] for part in parts)
    return first, second


def _joined(one: Opened, other: Opened) -> Opened:
    return Opened(
        one.pseudonym,
        one.days + other.days,
        one.recordings + other.recordings,
        one.sound + other.sound,
        one.rate + other.rate,
        one.closed + other.closed,
    )


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
    counts = recover_counts(value, blind, half.key, recordings, statement.slot_bits)
    for scope, number, count in zip(scopes, recordings, counts, strict=True):
        yield Opened(scope.pseudonym, scope.days, number, count.sound, count.rate)


@dataclass(frozen=True, repr=False)
class Half:
    """The aggregator's half, its statement verified and found to be for this collector. A secret.

    `recipient` is the one-time key that both servers' answers are sealed to; a range check has no
    ciphertext.
    """

    statement: Statement
    token: str
    ciphertext: str | None
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
    statement = Statement.verify(token, collector.manifest.statement_key, moment)
    key = collector.paillier_key(statement.key_id)
    ciphertext = _ciphertext(answer, statement)
    if (
        statement.collector != collector.pseudonym
        or statement.thumbprint != collector.identity.root
        or statement.recipient != recipient.public
    ):
        raise BadAnswer(_OTHER_OPENING)
    return Half(statement, token, ciphertext, _bytes(answer, "sealed_blind"), recipient, key)


def redeem(collector: Collector, half: Half, path: str = "/v1/openings") -> tuple[bytes, bytes]:
    """Signs the opening and gets the key holder's half: the value and the blind, unsealed."""
    jti = half.statement.jti
    opening = Opening(statement_sha256=sha256_hex(half.token.encode()), jti=jti)
    about = {} if half.ciphertext is None else {"ciphertext": half.ciphertext}
    signed = opening.sign(collector.identity.key)
    answer = collector.keyholder.post(path, statement=half.token, opening=signed, **about)
    value = half.recipient.unseal(value_info(jti), _bytes(answer, "sealed_value"))
    return value, half.recipient.unseal(blind_info(jti), half.sealed_blind)


def _ciphertext(answer: Mapping[str, Any], statement: Statement) -> str | None:
    """The ciphertext that a statement is about; a range check is about none and comes without."""
    if not isinstance(statement, TallyStatement | CohortStatement):
        if "ciphertext" in answer:
            raise BadAnswer(_OTHER_SCOPE)
        return None
    ciphertext = field(answer, "ciphertext", str)
    if statement.ciphertext_sha256 != sha256_hex(unb64u(ciphertext)):
        raise BadAnswer(_OTHER_OPENING)
    return ciphertext


def _bytes(answer: Mapping[str, Any], name: str) -> bytes:
    return unb64u(field(answer, name, str))


def _day(row: object) -> tuple[str, int]:
    if isinstance(row, list) and len(row) == 2 and type(row[1]) is int:
        try:
            return check_day(row[0]), row[1]
        except InvalidEncoding:
            pass
    raise BadAnswer("The aggregator's list of days cannot be read.")
