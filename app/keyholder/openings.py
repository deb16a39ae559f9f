"""Openings: decrypts a blinded tally for the collector that is entitled to it, once a statement.

The checks follow docs/protocol.md, section 4, in its order. What is computed is still blinded by A
and leaves sealed to the collector; neither it nor anything else secret is stored or logged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from app.common.database import in_transaction
from app.common.problems import InvalidRequest, NotAllowed, Problem
from app.common.requests import json_body
from app.keyholder.collector_keys import lock_signer, pinned, verified
from app.keyholder.context import keyholder
from app.keyholder.grants import granted_to
from app.keyholder.log import Event, append
from app.keyholder.served import range_digest
from app.keyholder.tables import Collector, ServedTally, SpentOpening, db
from crypto.encoding import b64u, sha256_hex, unb64u
from crypto.errors import BadSignature, Expired, PlaintextOutOfRange
from crypto.hpke import seal, value_info
from crypto.keyholder.opening import open_tally
from crypto.messages import (
    Cell,
    CohortStatement,
    LogKind,
    Opening,
    RangeCheckStatement,
    Statement,
    TallyStatement,
)
from crypto.paillier import Ciphertext
from crypto.slots import COUNT_SLOT_BITS, max_cells, rate_count_offset

MAX_BODY_BYTES = 2 << 20
"""The statement of a month for as many patients as fit takes some 100 kB."""

_QUOTA_SECONDS = 3600
_SMALL_BY_BITS = 128

Scope = TallyStatement | RangeCheckStatement

blueprint = Blueprint("openings", __name__)


class NotGranted(NotAllowed):
    """A pseudonym of the scope is neither the collector nor granted to it."""

    slug = "not-granted"
    title = "Not granted to this collector"


class NotServed(Problem):
    """The scope counts recordings, or names a range check, that role B never compared."""

    slug = "not-served"
    title = "The scope holds more than was compared"
    status = 422


class AlreadyOpened(Problem):
    """The statement was used."""

    slug = "already-opened"
    title = "This statement was used before"
    status = 409


class TooManyOpenings(Problem):
    """The collector's quota of this hour is used up."""

    slug = "too-many-openings"
    title = "Too many openings in an hour"
    status = 429
    retry_after = 600


class BlindForgotten(Problem):
    """What was decrypted is not uniform: A did not blind it, and B must not learn it."""

    slug = "blind-forgotten"
    title = "The aggregator did not blind this"
    status = 422


@blueprint.post("/v1/openings")
def open_scope() -> ResponseReturnValue:
    request.max_content_length = MAX_BODY_BYTES
    shown = presented()
    statement, opened = _check(shown)
    in_transaction(db, lambda: _spend(statement, shown))
    sealed = seal(statement.recipient, value_info(statement.jti), _value(statement, opened))
    return jsonify(sealed_value=b64u(sealed))


@dataclass(frozen=True)
class Presented:
    """A statement that its collector signed and A made, and what it is about: no more is checked.

    `signer` is the thumbprint of the key under `opening`; `late` is why it is too late to open it,
    if it is.
    """

    claim: Statement
    statement_sha256: str
    collector: Collector
    opening: str
    signer: str
    ciphertext: bytes  # empty where the statement is about none
    late: Expired | None

    def check_fresh(self) -> None:
        """Raises Expired or ForeignKey: A must be asked for a new statement."""
        if self.late is not None:
            raise self.late
        keyholder().keys.in_use(self.claim.key_id)


def presented() -> Presented:
    """What the current request presents: signatures, hashes and key of the collector are checked.

    Raises CryptoError, NotEnrolled or InvalidRequest.
    """
    body = json_body(statement=str, ciphertext=str | None, opening=str)
    statement: str = body["statement"]
    now = time.time()
    claim, too_late = _read_statement(statement, now)
    collector = pinned(claim.collector)
    opening: str = body["opening"]
    signed, signer = verified(Opening, opening, claim.collector, now)
    digest = sha256_hex(statement.encode())
    if (signed.statement_sha256, signed.jti) != (digest, claim.jti):
        raise BadSignature("the opening is for another statement")
    data = _ciphertext(claim, body["ciphertext"])
    if claim.thumbprint != collector.thumbprint:
        raise BadSignature("the statement is for another key of this collector")
    return Presented(claim, digest, collector, opening, signer, data, too_late)


def _ciphertext(claim: Statement, text: str | None) -> bytes:
    """The ciphertext that a statement is about; a range check is about none and comes without."""
    if not isinstance(claim, TallyStatement | CohortStatement):
        if text is not None:
            raise InvalidRequest("A range check is opened without a ciphertext.")
        return b""
    if text is None:
        raise InvalidRequest("The ciphertext of this statement is missing.")
    data = unb64u(text)
    if sha256_hex(data) != claim.ciphertext_sha256:
        raise BadSignature("the statement is for another ciphertext")
    return data


def _check(shown: Presented) -> tuple[Scope, Ciphertext | bytes]:
    """What may be opened: a scope with its blinded sum, or with the digest of its range."""
    shown.check_fresh()
    claim = shown.claim
    if not isinstance(claim, Scope):
        raise InvalidRequest("A cohort is opened at /v1/cohort-openings.")
    _check_scope(claim, shown.collector)
    if isinstance(claim, RangeCheckStatement):
        return claim, _digest(claim)
    return claim, keyholder().keys.in_use(claim.key_id).public.parse(shown.ciphertext)


def _read_statement(token: str, now: float) -> tuple[Statement, Expired | None]:
    """A's statement, its signature verified; an expiry is reported only after who asks is known."""
    try:
        return Statement.verify(token, keyholder().statement_key.current(), now), None
    except Expired as error:  # the last check of verify: the signature is good
        return Statement.claimed(token), error


def _check_scope(claim: Scope, collector: Collector) -> None:
    _check_granted(_pseudonyms(claim), collector)
    if isinstance(claim, TallyStatement):
        _check_counted(claim.cells, claim.key_id)
        if len(claim.cells) > max_cells(keyholder().keys.in_use(claim.key_id).public.bits):
            raise PlaintextOutOfRange("more cells than fit in one ciphertext: ask in parts")


def _digest(claim: RangeCheckStatement) -> bytes:
    digest = range_digest(claim.range, claim.pseudonym, claim.key_id)
    if digest is None:
        raise NotServed("This range was not compared.")
    return digest


def _check_granted(pseudonyms: set[str], collector: Collector) -> None:
    foreign = pseudonyms - {collector.collector}
    missing = foreign and foreign - granted_to(collector.collector, collector.thumbprint, foreign)
    if missing:
        raise NotGranted(
            "A patient of this scope has not granted it, or has taken it back.",
            pseudonym=min(missing),
        )


def _check_counted(cells: tuple[Cell, ...], key_id: str) -> None:
    days = [day for cell in cells for day, _ in cell.days]
    query = db.select(ServedTally.pseudonym, ServedTally.day, ServedTally.served).where(
        ServedTally.pseudonym.in_({cell.pseudonym for cell in cells}),
        ServedTally.day.between(min(days), max(days)),
        ServedTally.key_id == key_id,
    )
    served = {(row.pseudonym, row.day): row.served for row in db.session.execute(query)}
    for cell in cells:
        for day, recordings in cell.days:
            if recordings > served.get((cell.pseudonym, day), 0):
                raise NotServed("More recordings than were compared for this patient and day.")


def _spend(claim: Scope, shown: Presented) -> None:
    """Marks the nonce used, within the quota, and logs who opens what.

    One collector's openings queue up at its row. Grants are looked at again once the log is held:
    an opening that stands after a revocation there was not granted.
    """
    now = int(time.time())
    collector = lock_signer(claim.collector, shown.signer)
    if db.session.get(SpentOpening, claim.jti) is not None:
        raise AlreadyOpened("Ask the aggregator for a new statement.")
    recent = db.select(db.func.count()).where(
        SpentOpening.collector == claim.collector, SpentOpening.spent_at > now - _QUOTA_SECONDS
    )
    if db.session.execute(recent).scalar_one() >= keyholder().config.openings_per_hour:
        raise TooManyOpenings("Try again later.")
    db.session.execute(
        db.delete(SpentOpening).where(
            SpentOpening.spent_at <= now - _QUOTA_SECONDS, SpentOpening.expires_at < now
        )
    )
    db.session.add(
        SpentOpening(
            jti=claim.jti,
            collector=claim.collector,
            recordings=_recordings(claim),
            spent_at=now,
            expires_at=claim.exp,
        )
    )
    append(*_events(claim, shown))
    _check_granted(_pseudonyms(claim), collector)


def _events(claim: Scope, shown: Presented) -> list[Event]:
    """An entry for each pseudonym of the scope: only how much of it, not which days."""
    cells = _cells(claim)
    return [
        Event(
            pseudonym=pseudonym,
            actor=claim.collector,
            thumbprint=shown.signer,
            kind=LogKind.TALLY if cells else LogKind.RANGE_CHECK,
            subject=claim.jti,
            message=shown.opening,
            cells=sum(cell.pseudonym == pseudonym for cell in cells),
            recordings=sum(cell.recordings for cell in cells if cell.pseudonym == pseudonym),
        )
        for pseudonym in sorted(_pseudonyms(claim))
    ]


def _pseudonyms(claim: Scope) -> set[str]:
    if isinstance(claim, TallyStatement):
        return {cell.pseudonym for cell in claim.cells}
    return {claim.pseudonym}


def _cells(claim: Scope) -> tuple[Cell, ...]:
    return claim.cells if isinstance(claim, TallyStatement) else ()


def _slot_bits(claim: Scope) -> int:
    return claim.slot_bits if isinstance(claim, TallyStatement) else COUNT_SLOT_BITS


def _recordings(claim: Scope) -> int:
    return sum(cell.recordings for cell in _cells(claim))


def _value(claim: Scope, opened: Ciphertext | bytes) -> bytes:
    """What leaves sealed: the counts, still blinded by A, or a digest."""
    if isinstance(opened, bytes):
        return opened
    keys = keyholder().keys
    private = keys.in_use(claim.key_id)
    value = open_tally(private, keys.masks, opened, _cells(claim), _slot_bits(claim))
    check_blinded(value, private.public.bits, len(_cells(claim)))
    return value


def check_blinded(value: bytes, bits: int, cells: int) -> None:
    """Raises BlindForgotten for a number that could be the counts of that many cells themselves.

    A's blind is uniform, so it leaves such a number once in 2^127 openings, and once in 2^48 in the
    largest ones, whose counts reach higher: then the collector asks once more.
    """
    highest = rate_count_offset(bits) + COUNT_SLOT_BITS * cells
    if int.from_bytes(value, "big") >> max(bits - _SMALL_BY_BITS, highest) == 0:
        raise BlindForgotten("Tell the aggregator's operator; nothing was opened.")
